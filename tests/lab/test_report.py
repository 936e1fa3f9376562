"""`weelo lab run`: its files, and the report in real Chromium.

Screenshots are in build/screenshots/ afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.sources import ROOT
from tests.support.visits import VIEWPORTS, Browser, chromium
from weelo_lab.cli import lab as commands
from weelo_lab.comparing import FIGURES

pytestmark = pytest.mark.xdist_group("lab")

SCREENSHOTS = ROOT / "build" / "screenshots"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from chromium()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    (folder / "demand.yaml").write_text("requests: 3\nhours: 0.1\nsettles_minutes: 3\nfleets: [{count: 6}]\n")
    (folder / "small.yaml").write_text("radius_steps_km: [5, 10, 20]\n")
    (folder / "large.yaml").write_text("name: large rings\nradius_steps_km: [75]\n")
    files = [str(folder / name) for name in ("small.yaml", "large.yaml")]
    arguments = ["run", "--demand", str(folder / "demand.yaml"), "--policies", *files]
    result = CliRunner().invoke(commands, [*arguments, "--seeds", "2", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def test_run_writes_the_report_and_the_figures(out: Path) -> None:
    figures = json.loads((out / "figures.json").read_text())
    assert figures["policies"] == ["small", "large rings"]
    assert figures["seeds"] == [1, 2]
    assert len(figures["figures"][0]["differences"]["large rings"]["values"]) == 2
    page = (out / "report.html").read_text()
    assert "What the lab does not know" in page
    assert all(figure.label in page for figure in FIGURES)
    assert "http" not in page  # The page loads nothing from a server.
    assert "<svg xmlns" in (out / "trade.svg").read_text()


@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_the_report_fits_the_window_in_both_schemes(browser: Browser, out: Path, viewport: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with browser.visit("file://", viewport) as visit:
        visit.page.goto((out / "report.html").as_uri())
        visit.page.wait_for_selector("#film[data-ready]")
        backgrounds = []
        for scheme in ("light", "dark"):
            visit.prefer(scheme)
            visit.page.screenshot(path=SCREENSHOTS / f"lab-{viewport}-{scheme}.png", full_page=True)
            backgrounds.append(visit.background)
        assert backgrounds[0] != backgrounds[1]
        assert visit.too_wide_by <= 0
        assert visit.complaints == []


def test_the_film_plays_pauses_and_goes_to_any_moment(browser: Browser, out: Path) -> None:
    with browser.visit("file://") as visit:
        page = visit.page
        page.goto((out / "report.html").as_uri())
        page.wait_for_selector("#film[data-ready]")
        film = page.locator("#film")
        page.evaluate("new Promise(done => requestAnimationFrame(done))")
        before = film.locator("output").inner_text()
        film.get_by_role("button", name="Play").click()
        page.wait_for_function(
            "text => document.querySelector('#film output').textContent !== text", arg=before
        )
        film.get_by_role("button", name="Pause").click()
        scrubber = film.get_by_role("slider")
        scrubber.focus()
        page.keyboard.press("Home")
        assert scrubber.get_attribute("aria-valuetext") == "08:00:00"
        assert film.locator("dd").first.inner_text() == "0"
        page.keyboard.press("End")
        assert film.locator("dd").first.inner_text() == "3"
        page.keyboard.press(" ")
        page.wait_for_selector("#film button[aria-pressed=true]")
        assert film.locator("canvas").count() == 2
        drawn = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
        assert film.locator("canvas").first.evaluate(drawn)
        assert visit.complaints == []
