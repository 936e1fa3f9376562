"""Changes settings of this process for one test."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from weelo_workers.settings import Settings, settings


def with_settings(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Change these settings for all modules of the product until the end of the test."""
    other = Settings.model_validate({**settings().model_dump(), **changed})
    for name, module in list(sys.modules.items()):
        is_product_module = (
            name.partition(".")[0] in ("weelo_workers", "weelo_api") and name != "weelo_workers.settings"
        )
        if is_product_module and getattr(module, "settings", None) is settings:
            monkeypatch.setattr(module, "settings", lambda: other)
