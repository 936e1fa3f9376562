"""An API process raises its file limit as far as the system permits, and starts with any limit."""

from __future__ import annotations

import resource

import pytest

from weelo_api.server import gunicorn


@pytest.mark.parametrize(
    ("soft", "hard", "permitted", "expected"),
    [
        (1_024, 1_048_576, 1_048_576, 1_048_576),
        (256, resource.RLIM_INFINITY, 10_240, 10_240),  # macOS permits fewer files than its hard limit
        (256, 1_048_576, 100, 256),
        (4_096, 4_096, 4_096, 4_096),
    ],
)
def test_the_file_limit_is_raised_as_far_as_the_system_permits(
    soft: int, hard: int, permitted: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel is simulated: macOS may refuse a limit that is below the hard limit, but Linux never does."""
    limit = soft

    def setrlimit(which: int, wanted: tuple[int, int]) -> None:
        nonlocal limit
        if wanted[0] > permitted or wanted[0] == resource.RLIM_INFINITY:
            raise ValueError("current limit exceeds maximum limit")
        limit = wanted[0]

    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, hard))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    gunicorn.raise_file_limit()
    assert limit == expected
