"""Every mutant matches the present source text that it changes."""

from __future__ import annotations

import pytest

from weelo_lab.seeds.mutants import MUTANTS, TREE, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_finds_what_it_changes(mutant: Mutant) -> None:
    for path, before, _ in mutant.changes:
        assert (TREE / path).read_text().count(before) == 1, path
