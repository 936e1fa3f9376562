"""The pages in the order of the navigation, each with its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from weelo_api.docs_site import events, lifecycles, socket
from weelo_workers.contracts.rejections import Code

Content = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the documentation.

    `name`: the last part of its address, empty for `/docs` itself. `content`: returns the variables of its template.
    """

    name: str
    title: str
    summary: str
    template: str
    content: Callable[[], Content] = dict
    has_viewer: bool = False

    @property
    def address(self) -> str:
        return f"/docs/{self.name}" if self.name else "/docs"


def _codes() -> Content:
    by_status = sorted(Code, key=lambda code: code.http_status)
    return {
        "statuses": [
            (status, list(codes)) for status, codes in groupby(by_status, lambda code: code.http_status)
        ],
        "count": len(Code),
    }


PAGES = (
    Page("", "Start", "What to do first, with a session to paste into a terminal", "start.html"),
    Page("http", "HTTP", "Every request, to read and to try", "http.html", has_viewer=True),
    Page("events", "Events", "Every frame of the socket, in both directions", "events.html", events.content),
    Page("codes", "Codes", "Every error code, with its cause and what to do", "codes.html", _codes),
    Page(
        "lifecycles",
        "Lifecycles",
        "The states of requests, trucks and holds, drawn",
        "lifecycles.html",
        lifecycles.content,
    ),
    Page(
        "socket",
        "Socket",
        "The rules of the socket: order, acks, limits, close codes",
        "socket.html",
        socket.content,
    ),
)
