"""A page in a real Chromium that uses the TypeScript client, and the small server of this page."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

# The paths of the modules that the page imports, by their names in `import`.
MODULES = {"@weelo/client": "/@weelo/client/dist/index.js", "openapi-fetch": "/openapi-fetch/dist/index.mjs"}
PAGE = """<!doctype html><title>A customer</title>
<script type="importmap">{imports}</script>
<script type="module">
const report = (result) => fetch("/result", {{ method: "POST", body: JSON.stringify(result) }});
addEventListener("error", (event) => report({{ error: event.message }}));
addEventListener("unhandledrejection", (event) => report({{ error: String(event.reason) }}));
const settings = {settings};
{script}
</script>
"""


class PageServer(ThreadingHTTPServer):
    """Serves a page and its modules. The page is of another origin than the API.

    `modules`: a folder node_modules. `settings`: the script's object `settings`. `results`: the objects that the script
    has sent by calling `report`.
    """

    def __init__(self, script: str, settings: dict[str, str], modules: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        imports = json.dumps({"imports": MODULES})
        self.page = PAGE.format(imports=imports, settings=json.dumps(settings), script=script).encode()
        self.modules = modules
        self.results: SimpleQueue[Any] = SimpleQueue()


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        if self.path == "/":
            self._answer(200, "text/html", self.server.page)
        elif (file := self.server.modules / self.path.lstrip("/")).is_file():
            self._answer(200, "text/javascript", file.read_bytes())
        else:
            self._answer(404, "text/plain", b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.results.put(json.loads(body))
        self._answer(204, "text/plain", b"")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def page(
    script: str, settings: dict[str, str], *, modules: Path, profile: Path
) -> Iterator[SimpleQueue[Any]]:
    """Open a page with this script in Chromium. Yields the `results` of its `PageServer`."""
    server = PageServer(script, settings, modules)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chromium = subprocess.Popen(
        [
            str(executable()),
            "--headless",
            "--no-sandbox",  # Chromium does not start as root without this option
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--no-proxy-server",
            f"--user-data-dir={profile}",
            f"http://127.0.0.1:{server.server_address[1]}/",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield server.results
    finally:
        chromium.terminate()
        chromium.wait(timeout=20)
        server.shutdown()
        server.server_close()


def executable() -> str | None:
    """Return the path of Chromium, or None if it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
