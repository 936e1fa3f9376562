"""The content of `/docs/lifecycles`: each lifecycle with its drawing and its table of transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from weelo_api.docs_site.diagram import PARTIES, SEVERAL, draw
from weelo_workers.lifecycles import assignment, broadcast, hold, mailbox, truck_request
from weelo_workers.lifecycles.lifecycle import Lifecycle


@dataclass(frozen=True, slots=True)
class Section:
    anchor: str
    title: str
    text: str
    lifecycle: Lifecycle[Any]

    @property
    def drawing(self) -> Markup:
        return draw(self.lifecycle)

    def states_of(self, transition: Any) -> list[str]:
        """Return the states in which a transition is possible, in the order of the lifecycle."""
        return [state for state in type(self.lifecycle.initial) if state in transition.when]


_SECTIONS = (
    Section(
        "broadcast",
        "Broadcast",
        "A booking or an order, as its `status` shows it. Open are `created`, `broadcasting`, `active` and"
        " `partially_filled`: a customer can have one open broadcast. If trucks were won before it is `expired`, their"
        " trips go on, and the customer may continue with these trucks.",
        broadcast.LIFECYCLE,
    ),
    Section(
        "truck-request",
        "Truck request",
        "One truck that a broadcast asks for (a slot). After a truck is lost the slot is `searching` again.",
        truck_request.LIFECYCLE,
    ),
    Section(
        "assignment",
        "Assignment",
        "A truck and its driver on a slot, from the accept to the delivery. A driver may leave out steps of the trip, but"
        " not go back. With a new driver the assignment is `pending` again, under the same `id`.",
        assignment.LIFECYCLE,
    ),
    Section(
        "hold",
        "Hold",
        "Slots that are kept for one transporter for a short time.",
        hold.LIFECYCLE,
    ),
    Section(
        "mailbox",
        "Command",
        "A command in the mailbox, for operators. Clients see less of it: `pending` until it is settled, then `succeeded`"
        " or `rejected`.",
        mailbox.LIFECYCLE,
    ),
)


def content() -> dict[str, Any]:
    return {"sections": _SECTIONS, "parties": (*PARTIES, SEVERAL)}
