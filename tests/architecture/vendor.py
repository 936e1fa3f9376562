"""The files of other projects in `weelo_api/docs_site/vendor/`. `python -m tests.architecture.vendor` fetches them again.

The manifest in that folder names the npm package, its version and the SHA-256 of the file in it. Fetching needs npm and the
network. If the hash differs, nothing is written. To take another version: change the version in the manifest, run this
module, read what has changed in the package, and copy the new hash from the error message into the manifest.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.sources import ROOT

FOLDER = ROOT / "weelo_api" / "docs_site" / "vendor"


def manifest() -> dict[str, str]:
    entries: dict[str, str] = json.loads((FOLDER / "manifest.json").read_text())
    return entries


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def stored() -> bytes:
    """Return the vendored file, decompressed."""
    return gzip.decompress((FOLDER / manifest()["stored_as"]).read_bytes())


def from_npm(package: str, version: str, file: str) -> bytes:
    """Return the content of a file of this package from npm's registry."""
    with TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", f"{package}@{version}", "--pack-destination", folder],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        [archive] = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as content:
            member = content.extractfile(f"package/{file}")
            assert member is not None, f"{file} is no file"
            return member.read()


def main() -> int:
    wanted = manifest()
    content = from_npm(wanted["package"], wanted["version"], wanted["file"])
    if digest(content) != manifest()["sha256"]:
        sys.stderr.write(f"the SHA-256 is {digest(content)}, and the manifest has another one\n")
        return 1
    (FOLDER / manifest()["stored_as"]).write_bytes(gzip.compress(content, 9, mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
