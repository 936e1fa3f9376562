"""Opens pages in Chromium and records what a page must not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

from tests.support.waiting import slowdown

# Chromium needs --no-sandbox if root runs it. The last four options keep Chromium itself from contacting servers.
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_SECONDS = 30.0

VIEWPORTS = {"desktop": (1280, 900), "phone": (390, 844)}

_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event =>
  console.error(`blocked by ${event.effectiveDirective}: ${event.blockedURI}`));
"""


@dataclass
class Visit:
    """An open page. `complaints`: errors and warnings of its console, uncaught errors, and failed requests."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Addresses on other servers that the page tried to load."""
    asked: list[str] = field(default_factory=list)
    """The page's requests to its own server, each as method and path."""

    def _requested(self, request: Request) -> None:
        url = urlsplit(request.url)
        if f"{url.scheme}://{url.netloc}" == self.origin:
            self.asked.append(f"{request.method} {url.path}")
        elif url.scheme not in ("data", "blob"):
            self.elsewhere.append(request.url)

    def _printed(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def open(self, path: str) -> None:
        """Load a page of the server and wait until it is loaded and no request is under way."""
        response = self.page.goto(f"{self.origin}{path}", wait_until="load")
        assert response is not None
        assert response.status == 200
        self.page.wait_for_load_state("networkidle")

    def prefer(self, scheme: Literal["light", "dark"]) -> None:
        """Set the colours that the reader prefers."""
        self.page.emulate_media(color_scheme=scheme)

    @property
    def too_wide_by(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    @property
    def dead_anchors(self) -> list[str]:
        """Return the links of the page to parts of itself that do not exist."""
        found: list[str] = self.page.evaluate(
            """[...document.querySelectorAll('a[href^="#"]')].map(link => link.getAttribute("href"))
               .filter(href => !document.getElementById(decodeURIComponent(href.slice(1))))"""
        )
        return found

    @property
    def background(self) -> str:
        return str(self.page.evaluate("getComputedStyle(document.body).backgroundColor"))


class Browser:
    """Chromium with a new profile. Use it as a context manager."""

    def __init__(self, executable: str) -> None:
        self._executable = executable

    def __enter__(self) -> Self:
        self._playwright = sync_playwright().start()
        try:
            self._chromium = self._playwright.chromium.launch(executable_path=self._executable, args=_OPTIONS)
        except BaseException:
            self._playwright.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._chromium.close()
        self._playwright.stop()

    @contextmanager
    def visit(self, origin: str, viewport: str = "desktop") -> Iterator[Visit]:
        """Yield an empty page in a new context, which shares no storage with other visits."""
        width, height = VIEWPORTS[viewport]
        context = self._chromium.new_context(
            viewport={"width": width, "height": height}, has_touch=viewport == "phone"
        )
        try:
            context.set_default_timeout(_PATIENCE_SECONDS * slowdown() * 1000)
            context.add_init_script(_REPORT_VIOLATIONS)
            visit = Visit(context.new_page(), origin)
            visit.page.on("request", visit._requested)
            visit.page.on("console", visit._printed)
            visit.page.on("pageerror", lambda error: visit.complaints.append(f"uncaught: {error}"))
            yield visit
        finally:
            context.close()


def chromium() -> Iterator[Browser]:
    """Yield a browser, for a fixture. Skips the tests where Debian's package `chromium` is not installed."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with Browser(executable) as browser:
        yield browser
