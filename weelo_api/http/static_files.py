"""Files that pages load: styles, scripts and vendored files.

Their addresses contain a hash of their content, so browsers may keep the files for ever.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from flask import Response, request

_FOR_EVER = "public, max-age=31536000, immutable"
CSS, JS = "text/css; charset=utf-8", "text/javascript; charset=utf-8"


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    content_type: str
    compressed: bool
    digest: str


@dataclass(frozen=True)
class StaticFiles:
    """The files of one package. `below`: the path with which the addresses of all files begin.

    `files`: the path in the package and the content type of each file, by the name in its address. A file whose path
    ends with `.gz` is stored compressed.
    """

    package: str
    below: str
    files: Mapping[str, tuple[str, str]]
    _loaded: dict[str, StaticFile] = field(default_factory=dict)

    def _load(self, name: str) -> StaticFile:
        if name not in self._loaded:
            path, content_type = self.files[name]
            content = files(self.package).joinpath(path).read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:16]
            self._loaded[name] = StaticFile(content, content_type, path.endswith(".gz"), digest)
        return self._loaded[name]

    def address(self, name: str) -> str:
        """Return the path of a file on this server. Raises KeyError for an unknown name."""
        return f"{self.below}/{self._load(name).digest}/{name}"

    def response(self, digest: str, name: str) -> Response | None:
        """Return the file; None if there is no such file with this hash."""
        if name not in self.files or self._load(name).digest != digest:
            return None
        found = self._load(name)
        answer = Response(found.content, content_type=found.content_type)
        answer.headers["Cache-Control"] = _FOR_EVER
        if found.compressed:
            answer.headers["Vary"] = "Accept-Encoding"
            if request.accept_encodings["gzip"]:
                answer.headers["Content-Encoding"] = "gzip"
            else:
                answer.set_data(gzip.decompress(found.content))
        return answer
