"""An operator's work in real Chromium: see a broadcast, follow it, cancel it, find why a fleet was not asked, replay.

Commands are executed by the test, as a worker does. Screenshots are in build/screenshots/ afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.support.api_process import Api
from tests.support.people import Truck, book
from tests.support.relations import new_customer, set_by_operator
from tests.support.servers import CONSOLE, own_database, own_redis
from tests.support.sources import ROOT
from tests.support.system import System
from tests.support.tokens import token
from tests.support.visits import VIEWPORTS, Browser, Visit
from tests.support.waiting import eventually, slowdown
from tests.support.world import World
from weelo_workers.contracts.statuses import Role

pytestmark = pytest.mark.xdist_group("console-browser")

SCREENSHOTS = ROOT / "build" / "screenshots"
HINDI = "राम ट्रांसपोर्ट"
SEEN_WITHIN_SECONDS = 1.0

each_viewport = pytest.mark.parametrize("viewport", VIEWPORTS)


@contextmanager
def signed_in(browser: Browser, api: Api | System, viewport: str = "desktop") -> Iterator[Visit]:
    """Sign in as an admin by pasting a token, and yield the map.

    Afterwards assert that nothing was loaded from another server, nothing was printed on the browser's console, and
    scripts cannot read the token or the cookie.
    """
    with browser.visit(f"http://127.0.0.1:{api.port}", viewport) as visit:
        visit.page.goto(f"{visit.origin}/console")
        assert visit.page.url.startswith(f"{visit.origin}/console/sign-in")
        given = token(Role.ADMIN, uuid4(), name="Operator")
        visit.page.get_by_label("Token").fill(given)
        visit.page.get_by_role("button", name="Sign in").click()
        visit.page.wait_for_selector("#map[data-drawn]")
        visit.page.wait_for_selector('#live[data-state="live"]')
        assert given not in visit.page.url
        yield visit
        assert visit.elsewhere == []
        assert visit.complaints == []
        stored = "JSON.stringify([{...localStorage}, {...sessionStorage}])"
        assert given not in visit.page.evaluate(stored)
        assert visit.page.evaluate("document.cookie") == "", "scripts do not get the session"


def name_fleet(world: World, fleet_id: object, name: str = HINDI) -> None:
    with world.engine.begin() as connection:
        connection.execute(
            text("UPDATE users SET name = :name WHERE id = :id"), {"name": name, "id": fleet_id}
        )


def test_SEEN_01_an_operator_sees_a_new_broadcast_and_follows_it_to_filled(
    browser: Browser, api: Api, world: World
) -> None:
    fleet = world.fleet()
    with signed_in(browser, api) as visit:
        page = visit.page
        page.get_by_text("No broadcast is open.").wait_for()
        outcome = world.book(uuid4())
        began = time.monotonic()
        row = page.locator(f'#feed a[href="/console/broadcasts/{outcome.result["id"]}"]')
        row.wait_for()
        assert time.monotonic() - began < SEEN_WITHIN_SECONDS * slowdown()
        assert page.locator("#announcement").text_content() == "New broadcast at 0.0 km north"
        world.drain()
        row.click()
        page.wait_for_selector("#broadcast")
        page.wait_for_selector('#live[data-state="live"]')
        head = page.locator("#head")
        assert "0 of 1" in (head.text_content() or "")
        broadcast_id = outcome.result["id"]
        world.accept(fleet, broadcast_id)
        head.get_by_text("1 of 1").wait_for()
        head.get_by_text("fully filled").wait_for()
        page.locator("#trucks").get_by_text(world.assignments(broadcast_id)[0].vehicle_number).wait_for()
        page.locator("#moment .slot.assigned").wait_for()
        # Two changes in a row: the second one must be shown as well.
        world.drivers_accept(broadcast_id)
        world.cancel(broadcast_id, world.customer_of(broadcast_id))
        head.get_by_text("cancelled").wait_for()


def test_SEEN_01_an_operator_cancels_a_broadcast_and_sees_the_outcome(
    browser: Browser, api: Api, world: World
) -> None:
    broadcast_id = world.broadcast()
    with signed_in(browser, api) as visit:
        page = visit.page
        page.locator("#feed a").first.click()
        page.wait_for_selector("#levers")
        page.get_by_text("Cancel", exact=True).click()
        page.get_by_role("button", name="Cancel now").click()
        assert world.status(broadcast_id) == "active", "the browser asks for the reason first"
        page.get_by_label("Reason, for the history").locator("visible=true").fill(
            "The customer asked by phone"
        )
        page.get_by_role("button", name="Cancel now").click()
        page.locator("#outcomes .pending").wait_for()
        world.drain()
        page.locator("#outcomes .applied").wait_for()
        page.locator("#head .status.cancelled").wait_for()
        page.locator("#audit").get_by_text("The customer asked by phone").wait_for()
        assert world.status(broadcast_id) == "cancelled"
        # A cancelled broadcast cannot be changed, so the page has no lever.
        page.locator("#levers").get_by_text("The booking is cancelled: nothing is left to do.").wait_for()
        assert page.locator("details.lever").count() == 0


def test_the_trip_of_a_truck_is_ended_by_the_keyboard(browser: Browser, api: Api, world: World) -> None:
    broadcast_id = world.on_the_way()
    [assignment] = world.assignments(broadcast_id)
    world.report(assignment, "en_route_pickup")
    with signed_in(browser, api) as visit:
        page = visit.page
        page.goto(f"{visit.origin}/console/broadcasts/{broadcast_id}")
        page.wait_for_selector('#live[data-state="live"]')
        page.get_by_text("A truck has set out").wait_for()
        page.keyboard.press("l")
        page.keyboard.press("Enter")
        page.wait_for_selector("details.lever[open] [name=outcome]:focus")
        page.keyboard.press("f")  # the key chooses the entry "failed"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.type("Asked by telephone")
        page.keyboard.press("Enter")
        row = page.locator(f"#outcomes-{assignment.id}")
        row.locator(".pending").wait_for()
        world.drain()
        row.locator(".applied").wait_for()
        page.locator("#head .status.cancelled").wait_for()
        page.locator("#trucks .status.failed").wait_for()
        assert row.locator(".applied").is_visible(), "the outcome stays in its row"
        page.locator("#audit").get_by_text("end trip").wait_for()
        page.locator("details.lever").wait_for(state="detached")


def test_levers_are_reached_opened_and_sent_by_keys(browser: Browser, api: Api, world: World) -> None:
    broadcast_id = world.broadcast()
    with signed_in(browser, api) as visit:
        page = visit.page
        page.goto(f"{visit.origin}/console/broadcasts/{broadcast_id}")
        page.wait_for_selector('#live[data-state="live"]')
        page.keyboard.press("l")
        assert page.evaluate("document.activeElement.textContent") == "Widen"
        page.keyboard.press("Enter")
        page.wait_for_selector("details.lever[open] [name=reason]:focus")
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.textContent") == "Widen"
        assert page.locator("details.lever[open]").count() == 0
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Cancel"
        page.keyboard.press("Enter")
        page.wait_for_selector("details.lever[open] [name=reason]:focus")
        page.keyboard.type("First line")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("second line")
        # Events that arrive while the operator types must not remove the typed text.
        world.fleet(km_north=3)
        world.drain()
        world.tick(15)
        page.evaluate("document.body.dispatchEvent(new CustomEvent('weelo-this-changed'))")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.activeElement.value") == "First line\nsecond line"
        page.keyboard.press("Enter")
        page.locator("#outcomes .pending").wait_for()
        world.drain()
        page.locator("#outcomes .applied").wait_for()
        assert world.status(broadcast_id) == "cancelled"


def test_the_counts_of_a_broadcast_follow_its_tables(browser: Browser, api: Api, world: World) -> None:
    fleet = world.fleet(km_north=2)
    broadcast_id = world.broadcast()
    with signed_in(browser, api) as visit:
        page = visit.page
        page.goto(f"{visit.origin}/console/broadcasts/{broadcast_id}")
        page.wait_for_selector('#live[data-state="live"]')
        assert page.locator("#trucks-count").text_content() == "0"
        before = page.locator("#timeline-count").text_content()
        world.accept(fleet, broadcast_id)
        page.locator('#trucks-count:text-is("1")').wait_for()
        assert page.locator("#asked-count").text_content() == "1"
        assert page.locator("#timeline-count").text_content() != before


def test_an_operator_records_a_contract_and_deletes_it(browser: Browser, api: Api, world: World) -> None:
    fleet, customer = world.fleet(), new_customer(world)
    name_fleet(world, fleet.id)
    with signed_in(browser, api) as visit:
        page = visit.page
        page.goto(f"{visit.origin}/console/policies")
        page.get_by_label("Customer").fill(str(customer))
        page.get_by_role("button", name="Show contracts").click()
        page.get_by_text("This customer has no contract.").wait_for()
        page.get_by_label("Fleet").fill(str(fleet.id)[:8])
        page.get_by_label("Reason, for the history").fill("from April on")
        page.get_by_role("button", name="Record contract").click()
        page.locator("#outcomes .pending, #outcomes .applied").first.wait_for()
        world.drain()
        row = page.locator("#contracts tr", has_text=HINDI)
        row.wait_for()
        row.locator("summary").click()
        row.get_by_label("Reason, for the history").fill("it has ended")
        row.get_by_role("button", name="Delete contract now").click()
        page.locator("#outcomes .pending, #outcomes .applied").first.wait_for()
        eventually(lambda: world.drain() > 0)
        page.get_by_text("This customer has no contract.").wait_for()


def test_a_fleet_shows_the_lever_that_it_needs_next(browser: Browser, api: Api, world: World) -> None:
    fleet = world.fleet()
    with signed_in(browser, api) as visit:
        page = visit.page
        page.goto(f"{visit.origin}/console/fleets/{fleet.id}")
        page.wait_for_selector('#live[data-state="live"]')
        page.get_by_text("Put offline", exact=True).click()
        page.wait_for_selector("details.lever[open] [name=reason]:focus")
        page.keyboard.type("Asked by phone")
        page.keyboard.press("Enter")
        page.locator("#outcomes .pending").wait_for()
        world.drain()
        page.get_by_text("Put online", exact=True).wait_for()
        assert page.locator("#facts .status.offline").count() == 1
        page.locator("#audit").get_by_text("put offline").wait_for()


def test_the_bar_names_a_failing_check_and_leads_to_it(browser: Browser, api: Api, world: World) -> None:
    with signed_in(browser, api) as visit:
        page = visit.page
        badge = page.locator("#health")
        badge.get_by_text("2 checks fail").wait_for()  # because neither beat nor a worker runs in this test
        badge.click()
        page.locator("#checks").get_by_text("beat-not-sweeping").wait_for()
        assert page.get_by_text("Nothing is stuck.").count() == 0
        assert (
            "UTC" in page.locator(".bar .zone").inner_text()
            or "GMT" in page.locator(".bar .zone").inner_text()
        )


def test_on_a_phone_all_pages_of_the_bar_are_seen(browser: Browser, api: Api, world: World) -> None:
    with signed_in(browser, api, "phone") as visit:
        page = visit.page
        page.locator("#health:visible").wait_for()
        top, below = page.locator(".brand").bounding_box(), page.locator(".bar nav").bounding_box()
        last = page.locator(".bar").get_by_role("button", name="Sign out").bounding_box()
        assert top and below and last
        assert top["y"] >= 0 and last["y"] + last["height"] <= below["y"], "two lines"
        assert last["x"] > top["x"] + top["width"] and abs(last["y"] - top["y"]) < 20, "one of them"
        for link in page.locator(".bar nav a").all():
            box = link.bounding_box()
            assert box is not None and box["x"] >= 0
            assert box["x"] + box["width"] <= page.evaluate("innerWidth"), link.text_content()


def test_SEEN_01_an_operator_finds_in_three_clicks_why_a_fleet_was_not_asked(
    browser: Browser, api: Api, world: World
) -> None:
    busy = world.fleet(km_north=3)
    world.accept(busy, world.broadcast())
    name_fleet(world, busy.id)
    world.fleet(km_north=2)
    broadcast_id = world.broadcast()
    with signed_in(browser, api) as visit:
        page = visit.page
        page.locator(f'#feed a[href="/console/broadcasts/{broadcast_id}"]').click()
        page.get_by_role("link", name="Not asked").click()
        page.locator("#not-asked").get_by_role("link", name=HINDI).click()
        page.locator("#answer").wait_for()
        assert page.locator("#answer").text_content() == "not offered: no free truck of this kind (step 1)"
        assert page.locator("h1").text_content() == HINDI


def test_an_operator_replays_a_moment(browser: Browser, api: Api, world: World) -> None:
    near, far = world.fleet(km_north=2), world.fleet(km_north=20)
    broadcast_id = world.broadcast()
    world.tick(15)
    world.decline(near, broadcast_id)
    world.accept(far, broadcast_id)
    with signed_in(browser, api) as visit:
        page = visit.page
        page.goto(f"{visit.origin}/console/broadcasts/{broadcast_id}")
        page.wait_for_selector(".replay-map[data-drawn]")
        page.locator("#moment .status.fully_filled").wait_for()
        ring = page.locator(".replay-map")
        assert ring.get_attribute("data-radius") == "25"
        # The test uses the keyboard alone. The key Home moves the slider to its beginning.
        page.get_by_label("Moment").focus()
        page.keyboard.press("Home")
        page.locator("#moment .status.active, #moment .status.created").wait_for()
        page.wait_for_function("document.querySelector('.replay-map').dataset.radius === '10'")
        assert page.locator("#moment .dot.declined").count() == 0
        while page.locator("#moment .dot.declined").count() == 0:
            before = page.locator("#moment").get_attribute("data-after")
            page.get_by_role("button", name="next change").click()
            page.wait_for_function(
                "was => document.getElementById('moment').dataset.after !== was", arg=before
            )
        assert page.locator("#moment .dot.declined").count() == 1
        page.keyboard.press("Tab")


def test_keys_alone_lead_from_the_list_to_a_broadcast(browser: Browser, api: Api, world: World) -> None:
    first, second = world.broadcast(), world.broadcast()
    with signed_in(browser, api) as visit:
        page = visit.page
        page.keyboard.press("g")
        page.keyboard.press("b")
        page.wait_for_url("**/console/broadcasts")
        page.wait_for_selector('#live[data-state="live"]')
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "q"
        page.keyboard.type(str(first)[:8])
        page.keyboard.press("Enter")
        page.wait_for_url("**q=*")
        assert page.locator("[data-rows] a.row").count() == 1
        page.goto(f"{visit.origin}/console/broadcasts")
        for key in ("j", "j", "k", "j"):
            page.keyboard.press(key)
        assert page.evaluate("document.activeElement.getAttribute('href')") == f"/console/broadcasts/{first}"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "the focus is visible"
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/console/broadcasts/{first}")
        page.keyboard.press("?")
        page.get_by_role("dialog").get_by_text("Next row").wait_for()
        page.keyboard.press("Escape")
        assert second != first


def test_a_truck_moves_on_the_map(browser: Browser, api: Api, world: World) -> None:
    broadcast_id = world.on_the_way()
    [assignment] = world.assignments(broadcast_id)
    world.report(assignment, "en_route_pickup")
    with signed_in(browser, api) as visit:
        page = visit.page
        page.locator(".leaflet-marker-icon.truck").wait_for()
        before = page.locator(".leaflet-marker-icon.truck").bounding_box()

        def moved() -> bool:
            report_position(api, world, assignment, 26.0)
            return page.locator(".leaflet-marker-icon.truck").bounding_box() != before

        eventually(moved, within=10)


def report_position(api: Api, world: World, assignment: Any, latitude: float) -> None:
    headers = {"Authorization": f"Bearer {token(Role.DRIVER, assignment.driver_id)}"}
    response = httpx.post(
        f"http://127.0.0.1:{api.port}/api/v1/trips/{assignment.trip_id}/location",
        json={"latitude": latitude, "longitude": 77.0},
        headers=headers,
    )
    assert response.status_code < 300, response.text


SLOW_LOADS = """() => {
  const plain = window.fetch;
  window.loads = { now: 0, most: 0, all: 0 };
  window.fetch = async (...asked) => {
    if (!String(asked[0]).startsWith("/console/map.json")) return plain(...asked);
    loads.all++; loads.now++; loads.most = Math.max(loads.most, loads.now);
    await new Promise(done => setTimeout(done, 400));
    try { return await plain(...asked); } finally { loads.now--; }
  };
}"""


def test_the_map_loads_one_thing_at_a_time(browser: Browser, api: Api, world: World) -> None:
    """Otherwise the response of an older load could overwrite what a newer load has shown."""
    with signed_in(browser, api) as visit:
        page = visit.page
        page.evaluate(SLOW_LOADS)
        reload = (
            'document.body.dispatchEvent(new CustomEvent("weelo-frame", { detail: { event: "reload" } }))'
        )
        for _ in range(3):
            page.evaluate(reload)
        broadcast_id = world.book(uuid4()).result["id"]
        page.wait_for_selector(f'#feed a[href="/console/broadcasts/{broadcast_id}"]')
        # `wait_for_function` would need `eval`, which the policy of the page forbids.
        eventually(lambda: page.evaluate("loads.now === 0 && loads.all >= 2"))
        assert page.evaluate("loads.most") == 1


@each_viewport
def test_every_page_fits_its_window_light_and_dark(
    browser: Browser, api: Api, world: World, viewport: str
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    fleet = world.fleet()
    name_fleet(world, fleet.id)
    world.fleet(km_north=8)
    broadcast_id = world.broadcast(2)
    customer = world.customer_of(broadcast_id)
    set_by_operator(world, customer, fleet)
    world.accept(fleet, broadcast_id)
    world.broadcast()
    with signed_in(browser, api, viewport) as visit:
        for name, path in {
            "map": "",
            "broadcasts": "/broadcasts",
            "broadcast": f"/broadcasts/{broadcast_id}",
            "why": f"/broadcasts/{broadcast_id}/fleets/{fleet.id}",
            "fleets": "/fleets",
            "fleet": f"/fleets/{fleet.id}",
            "queues": "/queues",
            "stuck": "/stuck",
            "audit": "/audit",
            "policies": "/policies",
            "policy": "/policies/default",
            "customer": f"/customers/{customer}",
        }.items():
            visit.page.goto(f"{visit.origin}/console{path}")
            visit.page.wait_for_selector('#live[data-state="live"]')
            if visit.page.locator("[data-map]").count():
                visit.page.wait_for_selector("[data-drawn]")
            backgrounds = []
            for scheme in ("light", "dark"):
                visit.prefer(scheme)
                visit.page.screenshot(path=SCREENSHOTS / f"console-{name}-{viewport}-{scheme}.png")
                backgrounds.append(visit.background)
                assert visit.too_wide_by <= 0, name
                assert unreadable(visit) == [], f"{name}, {scheme}"
            assert backgrounds[0] != backgrounds[1]
            assert set(visit.dead_anchors) <= {"#"}, "only the buttons of the map"
            if name in ("fleets", "fleet", "why", "customer"):
                assert HINDI in visit.page.inner_text("main")


# A script that returns the contrast between texts and their background (WCAG 2.2, 1.4.3). Texts on maps are left out.
_CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const over = (top, below) => { const a = top[3] / 255; return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a)).concat(255); };
  const light = ([r, g, b]) => { const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
  const behind = element => { const layers = []; for (let at = element; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor)); return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 255]); };
  const found = [];
  for (const element of document.querySelectorAll("main *, header *")) {
    if (element.closest(".map, svg, [hidden], .unseen") || !element.offsetParent) continue;
    const text = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join("");
    if (!text) continue;
    const below = behind(element), ink = over(rgb(getComputedStyle(element).color), below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(found)];
}"""


def unreadable(visit: Visit) -> list[str]:
    """Return texts with a contrast below 4.5."""
    found: list[str] = visit.page.evaluate(_CONTRAST)
    return found


@pytest.mark.long
def test_SEEN_01_a_running_system_shows_a_new_broadcast_within_a_second(
    browser: Browser, tmp_path: Path
) -> None:
    system = System(
        tmp_path / "data",
        DATABASE_URL=own_database(CONSOLE),
        REDIS_URL=own_redis(CONSOLE),
        BROADCAST_TIMEOUT_SECONDS="600",
    )
    try:
        truck = Truck(system)
        with signed_in(browser, system) as visit:
            broadcast = book(system.client(Role.CUSTOMER, uuid4()))
            began = time.monotonic()
            visit.page.locator(f'#feed a[href="/console/broadcasts/{broadcast["id"]}"]').wait_for()
            assert time.monotonic() - began < SEEN_WITHIN_SECONDS * slowdown()
            visit.page.goto(f"{visit.origin}/console/broadcasts/{broadcast['id']}")
            visit.page.wait_for_selector('#live[data-state="live"]')
            truck.accept(broadcast["id"])
            visit.page.locator("#head").get_by_text("1 of 1").wait_for()
            visit.page.get_by_text("Cancel", exact=True).click()
            visit.page.get_by_label("Reason, for the history").locator("visible=true").fill("By phone")
            visit.page.get_by_role("button", name="Cancel now").click()
            visit.page.locator("#outcomes .applied").wait_for()
            visit.page.locator("#head .status.cancelled").wait_for()
    finally:
        system.stop()
