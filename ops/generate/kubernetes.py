"""The Kubernetes manifests: a Deployment for each program of `weelo up`, as production runs it.

The list of programs and their command lines come from the code, so a new queue cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weelo_workers.contracts.queues import NOTIFICATIONS, QUEUES, Queue
from weelo_workers.models.mailbox import as_sql, due
from weelo_workers.runtime.programs import Options, migration, programs

Manifest = dict[str, Any]

API_PORT, METRICS_PORT, FLOWER_PORT = 8000, 9540, 5555

SECRET, OWNER_SECRET, FCM_SECRET, SETTINGS = "weelo", "weelo-owner", "weelo-fcm", "weelo-settings"
"""Names of objects that the operator creates; docs/kubernetes.md lists their keys."""

FCM_FOLDER = "/run/secrets/fcm"

SCALE_AT_SECONDS = 5
"""KEDA adds workers while the oldest due row of a queue is older than this."""

MAX_WORKERS = 8
"""The most pods of one queue. The limit is needed because every pod needs connections to PostgreSQL."""

_COMMANDS = {
    program.name: ["python", *program.argv[1:]]
    for program in programs(
        Options(
            data_dir=Path("unused"),
            host="0.0.0.0",  # noqa: S104 (in its container)
            port=API_PORT,
            flower_port=FLOWER_PORT,
            worker_per_queue=True,
        )
    )
}


def files() -> dict[str, list[Manifest]]:
    """Return all manifests by the path of their file below ops/kubernetes."""
    base = {
        "settings.yaml": [_service_account(), _fixed_settings()],
        "api.yaml": list(_api()),
        "workers.yaml": [manifest for queue in QUEUES for manifest in _worker(queue)],
        "beat.yaml": list(_beat()),
        "flower.yaml": list(_flower()),
        "network.yaml": list(_network()),
    }
    keda = {"scaling.yaml": [_trigger_authentication(), *(_scaled_object(queue) for queue in QUEUES)]}
    # The migration Job is applied before `base`, so the Job's folder also has the objects of `base` that the Job needs.
    migrate = {"settings.yaml": base["settings.yaml"], "job.yaml": [_migration()]}
    return {
        **_kustomization("base", base, images=True),
        **_kustomization("keda", keda, above=["../base"]),
        **_kustomization("migrate", migrate, images=True),
    }


def _kustomization(
    folder: str, contents: dict[str, list[Manifest]], *, above: list[str] | None = None, images: bool = False
) -> dict[str, list[Manifest]]:
    index: Manifest = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [*(above or []), *contents],
    }
    if images:
        index["images"] = [{"name": "weelo", "newTag": "latest"}]
    return {
        f"{folder}/kustomization.yaml": [index],
        **{f"{folder}/{name}": manifests for name, manifests in contents.items()},
    }


# --- programs -------------------------------------------------------------------------------------------


def _api() -> Iterator[Manifest]:
    container = _container("api", role="DATABASE_API_URL")
    container["ports"] = [{"name": "http", "containerPort": API_PORT}]
    container |= _probes("http")
    # The pod keeps serving for 5 s, because connections still arrive while the endpoints are being updated.
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    container["resources"] = _resources(cpu="250m", memory="384Mi", limit="768Mi")
    yield _deployment("api", container, replicas=2, port=API_PORT)
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata("api"),
        "spec": {
            "selector": _labels("api"),
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }
    yield _disruption_budget("api")


def _worker(queue: Queue) -> Iterator[Manifest]:
    container = _container(queue, role="DATABASE_WORKERS_URL")
    container["ports"] = [{"name": "metrics", "containerPort": METRICS_PORT}]
    container |= _probes("metrics")
    container["resources"] = _resources(cpu="100m", memory="256Mi", limit="512Mi")
    volumes = []
    if queue == NOTIFICATIONS:
        container["env"] += [
            _from_secret(name, FCM_SECRET, name, optional=True)
            for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT")
        ]
        container["volumeMounts"].append({"name": "fcm", "mountPath": FCM_FOLDER, "readOnly": True})
        key = {"key": "firebase.json", "path": "firebase.json"}
        volumes = [{"name": "fcm", "secret": {"secretName": FCM_SECRET, "optional": True, "items": [key]}}]
    # `replicas` is not set, because every `kubectl apply` would reset the number of pods that KEDA has chosen. Without
    # KEDA there is one pod.
    yield _deployment(queue, container, port=METRICS_PORT, volumes=volumes)
    yield _disruption_budget(queue)


def _beat() -> Iterator[Manifest]:
    container = _container("beat", role="DATABASE_WORKERS_URL")
    container["ports"] = [{"name": "metrics", "containerPort": METRICS_PORT}]
    container |= _probes("metrics")
    container["resources"] = _resources(cpu="100m", memory="192Mi", limit="384Mi")
    # Two sweeps at once are harmless, because each skips the rows that the other has locked. If there were one beat and
    # its node were lost, no sweep would run for the five minutes until Kubernetes replaces the pod.
    yield _deployment("beat", container, replicas=2, port=METRICS_PORT)
    yield _disruption_budget("beat")


def _flower() -> Iterator[Manifest]:
    container = _container("flower", role=None)
    container["ports"] = [{"name": "http", "containerPort": FLOWER_PORT}]
    container["command"] = [
        "--address=0.0.0.0" if word.startswith("--address=") else word for word in container["command"]
    ]
    check = {"httpGet": {"path": "/healthcheck", "port": "http"}, "periodSeconds": 30, "timeoutSeconds": 5}
    container |= {
        "readinessProbe": check,
        "startupProbe": {**check, "periodSeconds": 5, "failureThreshold": 24},
    }
    container["resources"] = _resources(cpu="50m", memory="128Mi", limit="384Mi")
    # Flower has no Service, because it can stop workers, and some pages need no password. Use `kubectl port-forward`.
    yield _deployment("flower", container, replicas=1)


def _migration() -> Manifest:
    container = _container("migrate", role=None)
    container["command"] = ["weelo", *migration()[4:]]
    container["env"] += [
        _from_secret("DATABASE_URL", OWNER_SECRET, "DATABASE_URL"),
        _from_secret("DATABASE_API_URL", SECRET, "DATABASE_API_URL"),
        _from_secret("DATABASE_WORKERS_URL", SECRET, "DATABASE_WORKERS_URL"),
    ]
    container["resources"] = _resources(cpu="100m", memory="192Mi", limit="512Mi")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata("migrate"),
        "spec": {
            "backoffLimit": 5,
            "activeDeadlineSeconds": 1_800,  # a migration's statements may run for 10 min
            "ttlSecondsAfterFinished": 86_400,
            "template": {
                "metadata": {"labels": _labels("migrate")},
                "spec": {**_pod(container), "restartPolicy": "Never"},
            },
        },
    }


# --- the parts of a pod ---------------------------------------------------------------------------------


def _container(name: str, *, role: str | None) -> Manifest:
    """Return a container. `role`: the key of the Secret with the URL of its database role; None: no database."""
    database = [] if role is None else [_from_secret("DATABASE_URL", SECRET, role)]
    return {
        "name": name,
        "image": "weelo",
        "imagePullPolicy": "IfNotPresent",
        "command": _COMMANDS.get(name, []),
        # All processes need the same settings, because one sets a deadline and another reads it.
        "envFrom": [
            {"configMapRef": {"name": "weelo"}},
            {"configMapRef": {"name": SETTINGS, "optional": True}},
        ],
        "env": [
            *database,
            _from_secret("REDIS_URL", SECRET, "REDIS_URL"),
            _from_secret("CELERY_BROKER_URL", SECRET, "CELERY_BROKER_URL", optional=True),
            _from_secret("JWT_SECRET", SECRET, "JWT_SECRET"),
            _from_secret("WEBHOOK_SECRET_KEY", SECRET, "WEBHOOK_SECRET_KEY"),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # /tmp has the files of metrics and temporary files. gunicorn keeps its heartbeats in /dev/shm, which is
        # writable.
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 (a volume of the pod's own)
    }


def _deployment(
    name: str,
    container: Manifest,
    *,
    replicas: int | None = None,
    port: int | None = None,
    volumes: list[Manifest] | None = None,
) -> Manifest:
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)} if port else {}
    template = {
        "metadata": {"labels": _labels(name), **({"annotations": scraped} if scraped else {})},
        "spec": _pod(container, name, volumes),
    }
    spec = {"selector": {"matchLabels": _labels(name)}, "template": template}
    # An old pod is stopped only after a new one has become ready.
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    number = {} if replicas is None else {"replicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(name),
        "spec": {**number, "strategy": strategy, **spec},
    }


def _pod(container: Manifest, spread: str | None = None, volumes: list[Manifest] | None = None) -> Manifest:
    pod: Manifest = {
        "serviceAccountName": "weelo",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The first process of the pod reaps the processes whose parents have died, as `init: true` does in Compose.
        "shareProcessNamespace": True,
        # A handler may run as long as PostgreSQL lets a statement run (10 s). The preStop of an API pod takes 5 s more.
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}, *(volumes or [])],
    }
    if spread is not None:
        pod["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _labels(spread)},
            }
        ]
    return pod


def _probes(port: str) -> Manifest:
    """Return the probes. /healthz depends on no other server: an outage of PostgreSQL must restart nothing."""
    alive = {"httpGet": {"path": "/healthz", "port": port}}
    ready = {"httpGet": {"path": "/readyz", "port": port}}
    return {
        "startupProbe": {**alive, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 60},
        # /readyz answers within 3 s, also while PostgreSQL does not.
        "readinessProbe": {**ready, "periodSeconds": 5, "timeoutSeconds": 4, "failureThreshold": 2},
        "livenessProbe": {**alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
    }


def _resources(*, cpu: str, memory: str, limit: str) -> Manifest:
    # The processor has no limit, because the kernel would pause a process in the middle of a transaction.
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


def _from_secret(variable: str, secret: str, key: str, *, optional: bool = False) -> Manifest:
    reference: Manifest = {"name": secret, "key": key, **({"optional": True} if optional else {})}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}


def _labels(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "weelo", "app.kubernetes.io/component": component}


def _metadata(component: str) -> Manifest:
    return {"name": f"weelo-{component}", "labels": _labels(component)}


# --- what surrounds the programs ------------------------------------------------------------------------


def _service_account() -> Manifest:
    """Return an account without rights: no program uses the API of Kubernetes."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "weelo", "labels": {"app.kubernetes.io/name": "weelo"}},
        "automountServiceAccountToken": False,
    }


def _fixed_settings() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "weelo", "labels": {"app.kubernetes.io/name": "weelo"}},
        "data": {
            "WEELO_ENV": "production",
            "METRICS_HOST": "0.0.0.0",  # noqa: S104 (in its container)
            "METRICS_PORT": str(METRICS_PORT),
        },
    }


def _disruption_budget(component: str) -> Manifest:
    # Kubernetes may move one pod at a time to another node. It could not move the only pod of a queue if a minimum
    # number of pods were required. While the only pod is being moved, beat executes the commands of the queue.
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(component),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(component)}},
    }


def _network() -> Iterator[Manifest]:
    """Yield the policies. Every caller may connect to the API, and pods in the namespace `monitoring` to the metrics.

    All other incoming connections are refused.

    Outgoing connections are not limited, because workers connect to FCM and to the endpoints of webhooks.
    """
    ours = {"matchLabels": {"app.kubernetes.io/name": "weelo"}}
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}

    def policy(name: str, pods: Manifest, ingress: list[Manifest]) -> Manifest:
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"weelo-{name}", "labels": {"app.kubernetes.io/name": "weelo"}},
            "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": ingress},
        }

    yield policy("closed", ours, [])
    yield policy("api", {"matchLabels": _labels("api")}, [{"ports": [{"protocol": "TCP", "port": API_PORT}]}])
    yield policy(
        "metrics", ours, [{"from": [monitoring], "ports": [{"protocol": "TCP", "port": METRICS_PORT}]}]
    )


# --- scaling --------------------------------------------------------------------------------------------


def _trigger_authentication() -> Manifest:
    """Return the object with which KEDA connects to PostgreSQL: as the API's role, which cannot change or delete rows."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": _metadata("database"),
        "spec": {
            "secretTargetRef": [{"parameter": "connection", "name": SECRET, "key": "DATABASE_API_URL"}],
        },
    }


def _scaled_object(queue: Queue) -> Manifest:
    """Return KEDA's rule for a queue: add pods while the oldest due row of the queue in the mailbox is old."""
    # With the type `Value` KEDA does not divide the figure by the number of pods. Dividing would be right for a number
    # of rows, but not for an age.
    trigger = {
        "type": "postgresql",
        "metricType": "Value",
        "metadata": {"query": oldest_seconds(queue), "targetQueryValue": str(SCALE_AT_SECONDS)},
        "authenticationRef": {"name": "weelo-database"},
    }
    down = {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
    }
    up = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}]}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _metadata(queue),
        "spec": {
            "scaleTargetRef": {"name": f"weelo-{queue}"},
            "pollingInterval": 5,
            # With 0 pods no consumer would receive wake-ups, and beat would have to execute the commands of the queue.
            "minReplicaCount": 1,
            "maxReplicaCount": MAX_WORKERS,
            "advanced": {
                "horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": up, "scaleDown": down}},
            },
            "triggers": [trigger],
        },
    }


def oldest_seconds(queue: Queue) -> str:
    """Return the query for the age of the queue's oldest due row in whole seconds; 0 if there is none."""
    return (
        "SELECT COALESCE(ceil(EXTRACT(EPOCH FROM clock_timestamp() - min(due_at))), 0)::bigint"
        f" FROM mailbox WHERE {as_sql(due())} AND queue = '{queue}'"
    )
