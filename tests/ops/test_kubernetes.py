"""The Kubernetes manifests are valid for several versions of Kubernetes, run every program, and contain no secret."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from sqlalchemy import func, text, update

from ops.generate import kubernetes
from ops.generate.files import FOLDER
from tests.support.sources import ROOT
from tests.support.world import World
from weelo_workers.contracts.queues import QUEUES
from weelo_workers.models.mailbox import MailboxRow
from weelo_workers.runtime.programs import Options, programs
from weelo_workers.settings import Settings

VERSIONS = ("1.30", "1.33", "1.37")
"""Versions of Kubernetes: the oldest that knows `preStop.sleep` by default, and later ones."""

KEDA: dict[str, Any] = {"ScaledObject": ScaledObject, "TriggerAuthentication": TriggerAuthentication}
MANIFESTS: dict[str, dict[str, Any]] = {
    f"{path.parent.name}/{document['kind']}/{document['metadata']['name']}": document
    for path in sorted((FOLDER / "kubernetes").rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] != "Kustomization"
}
DEPLOYMENTS = {
    document["metadata"]["name"].removeprefix("weelo-"): document
    for document in MANIFESTS.values()
    if document["kind"] == "Deployment"
}
JOB = MANIFESTS["migrate/Job/weelo-migrate"]
PODS = {name: each["spec"]["template"]["spec"] for name, each in {**DEPLOYMENTS, "migrate": JOB}.items()}
WITH_DATABASE = sorted(PODS.keys() - {"flower"})


def container(name: str) -> dict[str, Any]:
    (only,) = PODS[name]["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    for name, manifest in MANIFESTS.items():
        if manifest["apiVersion"].startswith("keda.sh/"):
            continue
        kubernetes_validate.validate(manifest, version, strict=True)
        assert manifest["metadata"]["name"], name


def test_the_check_finds_a_misspelt_field() -> None:
    wrong = {**MANIFESTS["base/Service/weelo-api"], "spec": {"port": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name.startswith("keda/")])
def test_every_resource_of_keda_is_valid(name: str) -> None:
    """Each manifest is parsed by a model that is generated from KEDA's own schema, and must come out unchanged.

    A model drops fields that it does not know, so a misspelt field would be missing from its output.
    """
    manifest = MANIFESTS[name]
    model = KEDA[manifest["kind"]].model_validate(manifest)
    assert model.model_dump(mode="json", by_alias=True, exclude_unset=True) == manifest


# --- programs -------------------------------------------------------------------------------------------


def test_every_program_of_weelo_up_is_a_deployment() -> None:
    of_weelo_up = programs(Options(data_dir=ROOT, worker_per_queue=True))
    assert set(DEPLOYMENTS) == {program.name for program in of_weelo_up}
    for program in of_weelo_up:
        words = container(program.name)["command"]
        free = ("--bind=", "--address=")
        assert [word for word in words[1:] if not word.startswith(free)] == [
            word for word in program.argv[1:] if not word.startswith(free)
        ]


def test_every_queue_has_a_scaling_rule_and_every_deployment_with_several_pods_a_budget() -> None:
    scaled = {
        each["spec"]["scaleTargetRef"]["name"]
        for each in MANIFESTS.values()
        if each["kind"] == "ScaledObject"
    }
    assert scaled == {f"weelo-{queue}" for queue in QUEUES}
    assert all("replicas" not in DEPLOYMENTS[queue]["spec"] for queue in QUEUES)
    budgets = {
        each["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]: each["spec"]
        for each in MANIFESTS.values()
        if each["kind"] == "PodDisruptionBudget"
    }
    assert set(budgets) == {*QUEUES, "api", "beat"}
    assert all(budget["maxUnavailable"] == 1 for budget in budgets.values())


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_the_selector_of_a_deployment_finds_its_own_pods_only(name: str) -> None:
    spec = DEPLOYMENTS[name]["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == name


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS.keys() - {"flower"}))
def test_an_outage_of_the_database_restarts_nothing(name: str) -> None:
    probes = container(name)
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for probe in ("livenessProbe", "startupProbe"):
        assert probes[probe]["httpGet"]["path"] == "/healthz"
    named = {port["name"] for port in probes["ports"]}
    assert {probes[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} <= named


def test_a_pod_has_longer_to_stop_than_under_weelo_up() -> None:
    longest = max(program.grace for program in programs(Options(data_dir=ROOT, worker_per_queue=True)))
    assert all(pod["terminationGracePeriodSeconds"] >= longest + 10 for pod in PODS.values())


# --- rights and secrets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_has_no_rights_and_writes_only_to_its_own_directory(name: str) -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    pod, limits = PODS[name]["securityContext"], container(name)["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert (str(pod["runAsUser"]), str(pod["runAsGroup"])) == (user[1], user[2])
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert limits["readOnlyRootFilesystem"] is True
    assert limits["allowPrivilegeEscalation"] is False
    assert limits["capabilities"] == {"drop": ["ALL"]}
    assert PODS[name]["automountServiceAccountToken"] is False
    writable = [mount["mountPath"] for mount in container(name)["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108
    assert {"requests", "limits"} <= set(container(name)["resources"])


def test_no_manifest_holds_a_secret() -> None:
    assert not [name for name, each in MANIFESTS.items() if each["kind"] == "Secret"]
    for name in PODS:
        for variable in container(name)["env"]:
            assert set(variable) == {"name", "valueFrom"}, f"{name}: {variable['name']} has a literal value"


def test_every_variable_is_a_setting() -> None:
    settings = {name.upper() for name in Settings.model_fields} | {"GOOGLE_CLOUD_PROJECT"}
    for name in PODS:
        assert {variable["name"] for variable in container(name)["env"]} <= settings
    assert set(MANIFESTS["base/ConfigMap/weelo"]["data"]) <= settings


@pytest.mark.parametrize("name", WITH_DATABASE)
def test_each_process_knows_its_own_database_role_alone(name: str) -> None:
    keys = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for variable in container(name)["env"]
        if variable["name"].startswith("DATABASE_")
    }
    all_roles = {"DATABASE_URL", "DATABASE_API_URL", "DATABASE_WORKERS_URL"}
    expected = {"api": {"DATABASE_API_URL"}, "migrate": all_roles}
    assert keys == expected.get(name, {"DATABASE_WORKERS_URL"})


def test_the_document_names_every_key_of_the_secrets() -> None:
    page = (ROOT / "docs/kubernetes.md").read_text()
    references = {
        (reference["name"], reference["key"])
        for name in PODS
        for variable in container(name)["env"]
        for reference in [variable["valueFrom"]["secretKeyRef"]]
    }
    for secret, key in references:
        assert re.search(rf"^\| `{secret}` \|.*`{key}`", page, re.MULTILINE), f"{secret}: {key}"


# --- kustomize and scaling ------------------------------------------------------------------------------


def test_the_folder_of_the_migration_brings_all_that_its_job_refers_to_except_what_the_operator_makes() -> (
    None
):
    pod = PODS["migrate"]
    maps = [each["configMapRef"] for each in pod["containers"][0]["envFrom"]]
    needed = {f"migrate/ConfigMap/{each['name']}" for each in maps if not each.get("optional")}
    assert needed | {f"migrate/ServiceAccount/{pod['serviceAccountName']}"} <= MANIFESTS.keys()


@pytest.mark.parametrize("folder", ["base", "keda", "migrate"])
def test_kustomize_renders_every_manifest(folder: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    rendered = subprocess.run(
        ["kubectl", "kustomize", FOLDER / "kubernetes" / folder], capture_output=True, text=True, check=True
    )
    found = {(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(rendered.stdout)}
    wanted = {"keda": ("base/", "keda/")}.get(folder, (f"{folder}/",))
    assert found == {
        (each["kind"], each["metadata"]["name"])
        for name, each in MANIFESTS.items()
        if name.startswith(wanted)
    }


def test_the_query_of_a_scaling_rule_returns_the_age_of_the_oldest_due_row(world: World) -> None:
    def asked(queue: str) -> int:
        (manifest,) = [MANIFESTS[name] for name in MANIFESTS if name.endswith(f"ScaledObject/weelo-{queue}")]
        with world.engine.connect() as connection:
            return connection.execute(text(manifest["spec"]["triggers"][0]["metadata"]["query"])).scalar_one()

    world.broadcast()
    with world.engine.begin() as connection:
        late = func.clock_timestamp() - timedelta(seconds=90)
        connection.execute(update(MailboxRow).where(MailboxRow.queue == "timers").values(due_at=late))
    assert asked("timers") in (90, 91)
    assert asked("trips") == 0
    assert all(kubernetes.oldest_seconds(queue) for queue in QUEUES)
