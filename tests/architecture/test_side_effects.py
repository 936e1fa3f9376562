"""Importing our modules changes nothing in the process or its libraries; only `weelo_workers/bootstrap.py` does."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.sources import ROOT, python_files

# Migrations are not checked, because they are not imported as modules: Alembic executes their files.
EXECUTED = "weelo_workers.models.migrations."

IN_A_FRESH_PROCESS = """
import gc, importlib, os, signal, sys

def state():
    return {
        "gc": (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count(), gc.get_debug()),
        "environment": dict(os.environ),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
    }

def attributes():
    # All attributes of the loaded modules of LIBRARIES and of their classes.
    places = {name: module for name, module in sys.modules.items() if name.split(".")[0] in LIBRARIES}
    for name, module in list(places.items()):
        classes = [each for each in vars(module).values() if isinstance(each, type)]
        places |= {f"{each.__module__}.{each.__qualname__}": each for each in classes}
    return {
        (name, attribute): value for name, place in places.items() for attribute, value in vars(place).items()
        if not attribute.startswith("__")
    }

LIBRARIES = {"celery", "kombu", "prometheus_client", "gunicorn", "redis"}
for library in (
    "celery.bin.celery", "celery.beat", "celery.worker.consumer", "kombu.transport.redis", "prometheus_client",
    "prometheus_client.multiprocess", "gunicorn.workers.gthread", "gunicorn.arbiter", "redis",
):
    importlib.import_module(library)
before, had = state(), attributes()
for name in sys.argv[1:]:
    importlib.import_module(name)
for what, value in state().items():
    assert value == before[what], (what, before[what], value)
now = attributes()
patched = sorted(map(".".join, (key for key, value in had.items() if now.get(key) is not value)))
assert not patched, patched
"""


def test_importing_our_modules_changes_neither_the_process_nor_its_libraries() -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in python_files("weelo_workers", "weelo_api")]
    modules = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, *(m for m in modules if not m.startswith(EXECUTED))],
        env={**os.environ, "PYTHONPATH": str(ROOT), "METRICS_PORT": "1", "SCRIPT_NAME": "/prefix"},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
