"""The import contracts of setup.cfg hold, in the tests as in `make lint`."""

from __future__ import annotations

import pytest
from importlinter.cli import lint_imports

from tests.architecture.sources import ROOT


def test_imports_keep_to_their_layers(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(config_filename=str(ROOT / "setup.cfg"), no_cache=True, no_logo=True)
    if broken:
        pytest.fail(capsys.readouterr().out, pytrace=False)
