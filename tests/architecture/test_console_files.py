"""The vendored files are those of the manifest, with their licences, and the wheel contains every file of the pages."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

from tests.architecture import console_vendor
from tests.architecture.api import app
from tests.architecture.vendor import digest
from tests.support.sources import ROOT
from weelo_api.console.assets import ASSETS

FOLDER = ROOT / "weelo_api" / "console"


@pytest.mark.parametrize("entry", console_vendor.copies(), ids=lambda entry: entry["stored_as"])
def test_a_copied_file_is_the_one_of_the_manifest(entry: console_vendor.Entry) -> None:
    assert digest(console_vendor.stored(entry)) == entry["sha256"]


def test_every_vendored_file_is_in_the_manifest_or_is_a_licence() -> None:
    named = {entry["stored_as"] for entry in console_vendor.manifest()} | {"manifest.json", "towns.json"}
    there = {path.name for path in (FOLDER / "vendor").iterdir() if not path.name.startswith("LICENSE.")}
    assert there == named


def test_the_licences_are_beside_the_files() -> None:
    licences = {
        "LICENSE.htmx.txt": "Zero-Clause BSD",
        "LICENSE.leaflet.txt": "BSD 2-Clause",
        "LICENSE.map.txt": "CC BY",
    }
    licences["LICENSE.map.txt"] = "Attribution 4.0"
    for name, words in licences.items():
        assert words in (FOLDER / "vendor" / name).read_text()


def test_the_map_has_outlines_and_towns() -> None:
    outlines = json.loads(gzip.decompress((FOLDER / "vendor" / "outlines.json.gz").read_bytes()))
    kinds = {each["properties"]["kind"]: each["geometry"]["coordinates"] for each in outlines["features"]}
    assert set(kinds) == {"land", "borders", "states"}
    assert min(map(len, kinds.values())) > 100
    towns = {
        name: (latitude, longitude)
        for name, latitude, longitude, _ in json.loads((FOLDER / "vendor" / "towns.json").read_text())
    }
    assert towns["Jaipur"] == pytest.approx((26.92, 75.79), abs=0.02)
    assert len(towns) > 400


@pytest.mark.parametrize("name", sorted(ASSETS.files))
def test_a_file_may_be_kept_for_ever_under_an_address_with_its_hash(name: str) -> None:
    address = ASSETS.address(name)
    for coding in ("gzip", "identity"):
        response = app().test_client().get(address, headers={"Accept-Encoding": coding})
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert app().test_client().get(address.replace("/assets/", "/assets/0")).status_code == 404


def test_the_wheel_contains_every_file_of_the_console() -> None:
    listing = (
        "from setuptools import Distribution; d = Distribution(); d.parse_config_files(); "
        "build = d.get_command_obj('build_py'); build.ensure_finalized(); "
        "print(*(f'{p.replace(chr(46), chr(47))}/{file}' for p, _, _, files in build.data_files for file in files), sep='\\n')"
    )
    built = subprocess.run(
        [sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    there = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert len(there) > 20
    assert {str(path.relative_to(ROOT)) for path in there} <= set(built)
