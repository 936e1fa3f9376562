"""The documentation builds into a site without warnings, and its pages load nothing from another server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT

EXTERNAL = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=["']?(?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    # --quiet is left out: with this option mkdocs counts no warnings, so --strict would have no effect.
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    return folder


def test_every_document_is_a_page_of_the_site(site: Path) -> None:
    documents = {
        path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")
    }
    assert documents <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_no_page_loads_anything_from_another_server(site: Path) -> None:
    pages = {str(page.relative_to(site)): page.read_text() for page in site.rglob("*.html")}
    loading = {name: EXTERNAL.findall(text) for name, text in pages.items()}
    assert {name: found for name, found in loading.items() if found} == {}
    # If a page has an element of the class `mermaid`, the theme's script loads another one from a CDN.
    assert not [name for name, text in pages.items() if re.search(r'class="?mermaid', text)]
