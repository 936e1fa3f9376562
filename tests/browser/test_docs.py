"""The documentation in real Chromium, on a desktop and on a phone, light and dark.

Screenshots of all pages are in build/screenshots/ afterwards.
"""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.support.api_process import Api
from tests.support.sources import ROOT
from tests.support.tokens import token
from tests.support.visits import VIEWPORTS, Browser, Visit
from weelo_api.docs_site.pages import PAGES, Page

pytestmark = pytest.mark.xdist_group("browser")

SCREENSHOTS = ROOT / "build" / "screenshots"
OPERATION = "/api/v1/vehicle-kinds"

each_viewport = pytest.mark.parametrize("viewport", VIEWPORTS)


def origin(api: Api) -> str:
    return f"http://127.0.0.1:{api.port}"


def open_page(visit: Visit, address: str, has_viewer: bool) -> None:
    visit.open(address)
    if has_viewer:
        visit.page.get_by_role("button", name="Test Request").first.wait_for(state="attached")
        visit.page.wait_for_load_state("networkidle")


@each_viewport
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title.lower())
def test_a_page_fits_its_window_and_loads_nothing_from_elsewhere(
    browser: Browser, api: Api, page: Page, viewport: str
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with browser.visit(origin(api), viewport) as visit:
        open_page(visit, page.address, page.has_viewer)
        backgrounds = []
        for scheme in ("light", "dark"):
            visit.prefer(scheme)
            if page.has_viewer:
                visit.page.wait_for_selector(f"body.{scheme}-mode")
            picture = SCREENSHOTS / f"{page.title.lower()}-{viewport}-{scheme}.png"
            visit.page.screenshot(path=picture, full_page=not page.has_viewer)
            backgrounds.append(visit.background)
            assert visit.too_wide_by <= 0
        assert backgrounds[0] != backgrounds[1]
        assert visit.elsewhere == []
        assert visit.complaints == []
        assert page.has_viewer or visit.dead_anchors == []


def test_the_checks_notice_a_request_to_another_server(browser: Browser, api: Api) -> None:
    with browser.visit(origin(api)) as visit:
        visit.open("/docs")
        visit.page.evaluate("fetch('http://127.0.0.2:9/').catch(() => null)")
        visit.page.wait_for_function("true")
        assert any("connect-src" in each for each in visit.complaints)
    with browser.visit(origin(api)) as visit:
        visit.page.goto("about:blank")
        visit.page.set_content(
            '<img src="http://127.0.0.2:9/x.png"><a href="#nowhere">x</a><p style="width:3000px">x'
        )
        assert visit.elsewhere == ["http://127.0.0.2:9/x.png"]
        assert visit.dead_anchors == ["#nowhere"]
        assert visit.too_wide_by > 1_000


def test_a_request_sent_from_the_viewer_reaches_the_api(browser: Browser, api: Api) -> None:
    with browser.visit(origin(api)) as visit:
        document = httpx.get(f"{origin(api)}/openapi.json").json()
        tag = document["paths"][OPERATION]["get"]["tags"][0]
        open_page(visit, f"/docs/http#tag/{tag}/GET{OPERATION}", has_viewer=True)
        visit.page.get_by_role("button", name=f"(get {OPERATION})").click()
        form = visit.page.get_by_role("dialog")
        secret = token("customer", uuid4())
        form.get_by_placeholder("Token").fill(secret)
        with visit.page.expect_response(f"**{OPERATION}") as answer:
            form.get_by_role("button", name="Send").first.click()
        assert answer.value.status == 200
        form.get_by_text("200 OK").first.wait_for()
        visit.page.screenshot(path=SCREENSHOTS / "http-request.png")
        assert f"GET {OPERATION}" in visit.asked
        assert visit.elsewhere == []
        assert visit.complaints == []
        # The token must not stay on a computer that others use too.
        assert secret not in visit.page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        )


def test_an_example_can_be_copied_and_names_this_server(browser: Browser, api: Api) -> None:
    with browser.visit(origin(api)) as visit:
        visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.open("/docs")
        visit.page.get_by_role("button", name="Copy").first.click()
        visit.page.get_by_text("Copied").wait_for()
        copied = visit.page.evaluate("navigator.clipboard.readText()")
        assert f"API={origin(api)}/api/v1\n" in copied
        assert visit.complaints == []


def test_a_code_is_marked_when_its_type_is_opened(browser: Browser, api: Api) -> None:
    with browser.visit(origin(api), "phone") as visit:
        visit.open("/docs/codes#TOO_EARLY")
        entry = visit.page.locator("article:target")
        assert entry.get_attribute("id") == "TOO_EARLY"
        box = entry.bounding_box()
        assert box is not None
        # The entry is visible: below the bar at the top of the page, and inside the window.
        assert 50 <= box["y"] < VIEWPORTS["phone"][1]
