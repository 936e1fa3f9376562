"""The Compose profile `monitoring`: a Prometheus with our rules, and a Grafana with our dashboards and without passwords."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.generate.files import FOLDER
from tests.architecture import compose
from tests.support.prometheus import Prometheus, promtool
from tests.support.sources import ROOT
from weelo_workers.contracts.queues import QUEUES

CONFIGURATION = FOLDER / "prometheus/prometheus.yml"
PROVISIONING = FOLDER / "grafana/provisioning"
DASHBOARDS = sorted((FOLDER / "grafana/dashboards").glob("*.json"))


def mounts(service: str) -> dict[str, Path]:
    """Return the folders of this repository that the service sees, by the path inside the container."""
    found = {}
    for volume in compose.services()[service]["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("./"):
            assert mode == ["ro"]
            found[target] = ROOT / source
    return found


def test_the_profile_is_not_started_by_itself() -> None:
    with_profile = {name: each["profiles"] for name, each in compose.services().items() if "profiles" in each}
    assert with_profile == {"prometheus": ["monitoring"], "grafana": ["monitoring"]}


def test_prometheus_reads_the_generated_files() -> None:
    file = compose.option(compose.command("prometheus"), "config.file")
    folder, _, name = file.rpartition("/")
    assert mounts("prometheus")[folder] / name == CONFIGURATION
    assert "SUCCESS" in promtool("check", "config", CONFIGURATION)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    running = Prometheus(tmp_path_factory.mktemp("prometheus"), CONFIGURATION)
    yield running
    running.stop()


def test_a_real_prometheus_starts_with_the_configuration_and_loads_every_rule(prometheus: Prometheus) -> None:
    written = yaml.safe_load((FOLDER / "prometheus/rules.yml").read_text())["groups"]
    names = [rule.get("alert") or rule["record"] for group in written for rule in group["rules"]]
    assert sorted(prometheus.rules()) == sorted(names)


def test_every_service_with_metrics_is_scraped() -> None:
    jobs = yaml.safe_load(CONFIGURATION.read_text())["scrape_configs"]
    scraped = {
        (name, look_up["port"])
        for job in jobs
        for look_up in job["dns_sd_configs"]
        for name in look_up["names"]
    }
    port = int(compose.document()["x-weelo"]["environment"]["METRICS_PORT"])
    assert scraped == {("api", 8000), *((name, port) for name in (*QUEUES, "beat"))}
    assert {name for name, _ in scraped} <= set(compose.services())


def test_grafana_finds_the_source_and_the_dashboards() -> None:
    assert mounts("grafana")["/etc/grafana/provisioning"] == PROVISIONING
    (source,) = yaml.safe_load((PROVISIONING / "datasources/weelo.yml").read_text())["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == (
        "prometheus",
        "http://prometheus:9090",
        True,
    )
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/weelo.yml").read_text())["providers"]
    assert mounts("grafana")[provider["options"]["path"]] == DASHBOARDS[0].parent
    home = compose.services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    folder, _, name = home.rpartition("/")
    assert (mounts("grafana")[folder] / name).is_file()


def test_grafana_has_no_user_and_no_default_password() -> None:
    environment = compose.services()["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_complete_and_asks_the_chosen_source(dashboard: Path) -> None:
    document: dict[str, Any] = json.loads(dashboard.read_text())
    assert document["uid"] == f"weelo-{dashboard.stem}"
    panels = [panel for panel in document["panels"] if panel["type"] != "row"]
    assert all(panel["title"] and panel["description"] and panel["targets"] for panel in panels)
    sources = {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
    assert sources == {"${source}"}
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(numbers) == len(set(numbers))
    used = {name for name in ("$area", "$vehicle_type", "$queue") if name in json.dumps(panels)}
    assert used <= {f"${variable['name']}" for variable in document["templating"]["list"]}
