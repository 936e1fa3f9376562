"""The content of `/docs/events`, read from the AsyncAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weelo_api.docs_site.schema import Document, Field, fields, resolve
from weelo_api.websocket import asyncapi

ABOUT = ("broadcastId", "kind", "bookingId", "orderId", "status", "stateChangedAt", "version")
"""The fields that all events about a broadcast have. The page shows them once."""

_TOPICS = {
    "outcomes": ("Outcomes of commands", ""),
    "requests": ("Requests", "What happens to a booking or an order until its trucks are found."),
    "trucks": ("Trucks and trips", "What happens to a truck after it was won."),
    "fleet": ("Fleet", ""),
    "outside-the-log": (
        "Frames outside the log",
        "They have no `id` and no `seq`, they are not sent again, and no push is sent for them.",
    ),
    "webhooks": (
        "Webhooks",
        "A webhook receives the frames of the log to whose events it is subscribed. `webhook_test` is in no log: only webhooks receive it.",
    ),
    "ops": ("From the client", "Text frames that an app sends."),
    "pushes": ("Pushes", "Data messages of FCM. All their values are texts."),
}
"""Title and text of each topic, by its anchor, in the order of the page."""

_TOPIC_OF = {"command_settled": "outcomes", "webhook_disabled": "webhooks"}
"""The topics of events whose topic does not follow from their fields."""


@dataclass(frozen=True, slots=True)
class Example:
    title: str
    json: str


@dataclass(frozen=True, slots=True)
class Message:
    """A frame or a push. `about_broadcast`: whether it also has the fields ABOUT, which are not listed in `fields`."""

    anchor: str
    topic: str
    name: str
    text: str
    recipients: str
    pushed: bool
    about_broadcast: bool
    fields: tuple[Field, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    anchor: str
    title: str
    text: str
    messages: tuple[Message, ...]


def content() -> dict[str, Any]:
    document = asyncapi.document()
    messages = [_message(document, key) for key in document["components"]["messages"]]
    topics = [
        Topic(anchor, title, text, tuple(each for each in messages if each.topic == anchor))
        for anchor, (title, text) in _TOPICS.items()
    ]
    return {"topics": [topic for topic in topics if topic.messages]}


def _message(document: Document, key: str) -> Message:
    message = resolve(document, document["components"]["messages"][key])
    payload = resolve(document, message["payload"])
    properties: Mapping[str, Any] = payload.get("properties", {})
    is_frame = {"event", "data"} <= {*properties}
    shown = fields(document, properties["data"] if is_frame else payload)
    names = {each.name for each in shown}
    about = is_frame and {*ABOUT} - {"bookingId", "orderId"} <= names
    return Message(
        anchor=key,
        topic=_topic(key, properties, names, about),
        name=next(
            (
                str(properties[key]["const"])
                for key in ("op", "event", "type")
                if "const" in properties.get(key, {})
            ),
            key,
        ),
        text=str(message.get("summary", "")),
        recipients=", ".join(message.get("x-recipients", ())),
        pushed=bool(message.get("x-pushed")),
        about_broadcast=about,
        fields=tuple(each for each in shown if not (about and each.name in ABOUT) and each.name != "op"),
        examples=tuple(
            Example(
                str(example.get("name", "")), json.dumps(example["payload"], indent=2, ensure_ascii=False)
            )
            for example in message.get("examples", ())
            if "payload" in example
        ),
    )


def _topic(key: str, properties: Mapping[str, Any], names: set[str], about: bool) -> str:
    """Return the anchor of the topic under which a message is listed.

    `names`: the names of the message's fields. `about`: whether the message is about a broadcast.
    """
    if "event" not in properties:
        return "ops" if "op" in properties else "pushes"
    if "seq" not in properties:
        return "outside-the-log"
    if properties["seq"].get("type") == "null":
        return "webhooks"
    if key in _TOPIC_OF:
        return _TOPIC_OF[key]
    if not about:
        return "fleet"
    return "trucks" if "assignment" in names else "requests"
