"""The logged text of a validation error does not contain the input, which may be a name or a telephone number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from weelo_api import create_app
from weelo_workers.app import load_handlers
from weelo_workers.contracts.fleet import DriverDetails

DESCRIPTIONS = {"Alive", "Ready", "Unavailable", "Probe", "FieldError", "Problem"}
"""Models that only describe responses in the documents. They validate no input."""


def models(of: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    """Yield all classes of this project that are derived from the given class."""
    for each in of.__subclasses__():
        if each.__module__.startswith("weelo_"):
            yield each
        yield from models(each)


def test_no_model_quotes_its_input() -> None:
    load_handlers()
    create_app()
    found = {each.__qualname__ for each in models() if not each.model_config.get("hide_input_in_errors")}
    assert found == {"Settings", *DESCRIPTIONS}


def test_the_text_has_the_name_of_the_field_and_not_its_value() -> None:
    with pytest.raises(ValidationError) as refused:
        DriverDetails(name="A driver", phone="Zebulonia's")
    assert "phone" in str(refused.value) and "Zebulonia" not in str(refused.value)
