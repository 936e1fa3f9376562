"""The generated parts of docs/ match the code, and every link to a file of this project leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.documents import (
    BLOCK,
    SNAPSHOTS,
    generated,
    names,
    pages,
    snapshot,
    without_version,
)
from tests.support.sources import ROOT, python_files
from weelo_workers.settings import Settings

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *pages()]
CODE = re.compile(r"^```.*?^```$|`[^`]*`", re.DOTALL | re.MULTILINE)
README_LINES = 200
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _blocks() -> dict[str, str]:
    return {block[1]: block[0] for page in pages() for block in BLOCK.finditer(page.read_text())}


@pytest.mark.parametrize("name", sorted(names()))
def test_a_generated_part_matches_the_code(name: str) -> None:
    if _blocks().get(name) != generated(name):
        pytest.fail(
            f"docs/ is out of date ({name}): run `.venv/bin/python -m tests.architecture.documents`",
            pytrace=False,
        )


@pytest.mark.parametrize("name", sorted(SNAPSHOTS))
def test_a_snapshot_matches_the_code(name: str) -> None:
    if without_version(snapshot(name)) != without_version(SNAPSHOTS[name]()):
        pytest.fail(
            f"docs/{name} is out of date: run `.venv/bin/python -m tests.architecture.documents`, and look at"
            " `git diff` and at `.venv/bin/python -m tests.architecture.documents --breaking`",
            pytrace=False,
        )


def test_no_page_has_a_generated_part_that_is_unknown() -> None:
    assert set(_blocks()) == names()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_has_a_description_for_the_page(name: str) -> None:
    assert Settings.model_fields[name].description


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as mkdocs and forges make them."""
    titles = re.findall(
        r"^#+ +(.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_id)
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    text = path.read_text()
    for target, anchor in LINK.findall(CODE.sub("", text)):
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{target} is missing"
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(there.read_text()), f"{target} has no heading #{anchor}"


def _tour() -> list[tuple[str, str]]:
    """Return (file, function) of each step of the tour in docs/architecture.md; the file is empty if none is named."""
    tour = (ROOT / "docs" / "architecture.md").read_text().partition("## One accept")[2]
    steps = [
        (path, name)
        for path, names in re.findall(r"^\| `(weelo_[\w/]+\.py)` \| ([^|]+) \|", tour, re.MULTILINE)
        for name in re.findall(r"`([\w.]+)`", names)
    ]
    return steps + [("", name) for name in re.findall(r"`(?:uow\.)?([\w.]+)\(", tour)]


@pytest.mark.parametrize(("path", "name"), sorted(set(_tour())))
def test_the_tour_names_functions_that_exist(path: str, name: str) -> None:
    files = [ROOT / path] if path else python_files("weelo_workers", "weelo_api")
    definition = re.compile(rf"def {name.rpartition('.')[2]}\b")
    assert any(definition.search(file.read_text()) for file in files)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if "how-to" not in path.parts], ids=_id)
def test_a_document_names_files_that_exist(path: Path) -> None:
    """Pages of docs/how-to/ are not checked, because they also name files that the reader makes."""
    named = re.findall(r"`((?:weelo_\w+|tests|bench|docs)/[\w/.-]+)`", path.read_text())
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_readme_has_at_most_200_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_a_how_to_names_no_number_of_a_migration() -> None:
    """`weelo migration` chooses the number. A number on a page would be wrong after the next migration."""
    pages = [path.read_text() for path in DOCUMENTS if "how-to" in path.parts]
    assert not [found for page in pages for found in re.findall(r"versions/\d{4}_|revision = \"\d{4}", page)]


def test_each_promise_has_tests_named_after_it_and_each_such_test_a_promise() -> None:
    promised = set(
        re.findall(r"^\| ([A-Z]{4}-\d\d) \|", (ROOT / "docs" / "promises.md").read_text(), re.MULTILINE)
    )
    shown = {
        f"{word}-{number}"
        for path in python_files("tests")
        for word, numbers in re.findall(r"^def test_([A-Z]{4})((?:_\d\d)+)_", path.read_text(), re.MULTILINE)
        for number in numbers.split("_")[1:]
    }
    assert promised == shown
