"""The files in ops/ are those that the code generates, and each alert has an entry in the runbook."""

from __future__ import annotations

import re

from ops.generate.alerts import RUNBOOK, alerts
from ops.generate.files import FOLDER, files, generated_on_disk
from ops.generate.pace import Pace
from tests.support.sources import ROOT


def test_every_file_is_the_generated_one() -> None:
    wanted = {FOLDER / path: text for path, text in files().items()}
    assert generated_on_disk() == set(wanted), "run `python -m ops.generate`"
    different = [str(path) for path, text in wanted.items() if path.read_text() != text]
    assert different == [], "run `python -m ops.generate`"


def test_every_alert_has_an_entry_in_the_runbook_and_the_other_way_round() -> None:
    headings = re.findall(r"^## (Weelo\w+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert headings == list(dict.fromkeys(alert.name for alert in alerts(Pace())))


def test_the_link_of_an_alert_leads_to_its_entry() -> None:
    for alert in alerts(Pace()):
        assert alert.runbook_url == f"{RUNBOOK}#{alert.name.lower()}"


def test_rules_with_one_name_differ_in_a_label() -> None:
    rules = [(alert.name, alert.burn) for alert in alerts(Pace())]
    assert len(rules) == len(set(rules))


def test_a_shorter_pace_shortens_windows_and_waits_and_no_limit() -> None:
    fast = Pace(scale=1 / 60, interval=1)
    assert (fast.duration(3_600), fast.wait(60), Pace().duration(5_400)) == ("1m", "1s", "1h30m")
    assert Pace(scale=1 / 600, interval=1).duration(300) == "4s"
    slow_limits, fast_limits = (
        [re.findall(r"[<>=]+ ([\d.]+)", alert.expr) for alert in alerts(pace)] for pace in (Pace(), fast)
    )
    assert slow_limits == fast_limits
