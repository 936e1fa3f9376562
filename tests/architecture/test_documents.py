"""The generated parts of docs/ match the code, and every link to a file of this project leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.documents import BLOCK, generated, names, pages
from tests.architecture.sources import ROOT
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


def test_the_readme_has_at_most_200_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES
