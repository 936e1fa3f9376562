"""Loads the celeryconfig.py that belongs to this package, even if another module of that name can be imported."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

NAME = "celeryconfig"
PATH = Path(__file__).parents[2] / f"{NAME}.py"


@lru_cache(maxsize=1)
def celery_settings() -> ModuleType:
    """Return the module `celeryconfig`, loaded from the file beside the package `weelo_workers`.

    An import by name could load the celeryconfig.py of another project from the current directory or from PYTHONPATH,
    because Celery searches the current directory first while it loads an application. Raises ImportError if the file is
    missing.
    """
    spec = spec_from_file_location(NAME, PATH)
    if spec is None or spec.loader is None or not PATH.is_file():
        raise ImportError(f"{PATH} is missing; install weelo anew")
    module = module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module
