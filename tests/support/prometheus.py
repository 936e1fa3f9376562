"""Runs Debian's Prometheus on the loopback address, with our rules at a faster pace."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ops.generate.files import as_yaml
from ops.generate.pace import Pace
from ops.generate.prometheus import rules
from tests.support.waiting import eventually
from weelo_workers.runtime.ports import free_port

MISSING = "Prometheus is not installed: apt-get install prometheus"


def promtool(*arguments: object) -> str:
    """Return what promtool prints. Skips the test if promtool is not installed; fails the test if promtool finds a fault."""
    if shutil.which("promtool") is None:
        pytest.skip(MISSING)
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def watching(
    folder: Path, pace: Pace, targets: Mapping[str, str], history: Mapping[str, float]
) -> Prometheus:
    """Start a Prometheus that scrapes these targets and evaluates the rules at this pace.

    `targets`: addresses by job. `history`: by series, its value around this time of the day on earlier days.
    """
    _write_history(folder, history)
    (folder / "rules.yml").write_text(as_yaml(rules(pace)))
    configuration = folder / "prometheus.yml"
    configuration.write_text(yaml.safe_dump(_configuration(pace, targets)))
    return Prometheus(folder, configuration)


class Prometheus:
    """A running Prometheus. Skips the test if Prometheus is not installed."""

    def __init__(self, folder: Path, configuration: Path) -> None:
        """Start Prometheus and wait until it is ready. `folder`: for its data and its log."""
        if shutil.which("prometheus") is None:
            pytest.skip(MISSING)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(self._is_ready, within=20)
        except AssertionError:
            self.stop()
            raise

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        finally:
            self._process.kill()
            self._log.close()

    def firing(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that fire now, by name."""
        found = self._get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"]: alert for alert in found if alert["state"] == "firing"}

    def rules(self) -> list[str]:
        """Return the names of the loaded rules, in any order."""
        return [rule["name"] for group in self._get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str) -> dict[str, Any]:
        answer = httpx.get(self.url + path, timeout=10)
        answer.raise_for_status()
        data: dict[str, Any] = answer.json()["data"]
        return data

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").status_code == 200
        except httpx.HTTPError:
            return False


def _configuration(pace: Pace, targets: Mapping[str, str]) -> dict[str, Any]:
    seconds = f"{round(pace.interval * 1_000)}ms"
    return {
        # The time-out is short, so that the scrape of a suspended process fails before a rule's waiting time is over.
        "global": {"scrape_interval": seconds, "scrape_timeout": seconds, "evaluation_interval": seconds},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in targets.items()
        ],
    }


def _write_history(folder: Path, history: Mapping[str, float]) -> None:
    """Store values of earlier days: of one, two, three and seven days ago.

    On each of these days a series has one value per minute, from 10 minutes before this time of the day to 20 minutes
    after it.
    """
    now = int(time.time())
    lines = []
    for series, value in history.items():
        for days in (7, 3, 2, 1):
            begin = now - days * 86_400 - 600
            lines += [f"{series} {value} {at}" for at in range(begin, begin + 1_800, 60)]
    (folder / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    promtool("tsdb", "create-blocks-from", "openmetrics", folder / "history.txt", folder / "data")
