"""`GET /`: an HTML page that describes the server and links its other pages. It needs no scripts or other files."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from flask import Response

from weelo_workers import __version__
from weelo_workers.settings import settings

_STYLE = """
:root { color-scheme: light dark; --paper: #f7f6f3; --card: #fff; --ink: #1d2330; --soft: #5b6474; --line: #dcdad3; --link: #0b57d0 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171d; --card: #1d222b; --ink: #e8eaee; --soft: #a3abb8; --line: #343b47; --link: #8ab4f8 }
}
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 system-ui, sans-serif }
main { max-width: 46rem; margin: 0 auto; padding: 4rem 1.5rem }
h1 { margin: 0; font-size: 2.25rem; line-height: 1.2; letter-spacing: -0.02em }
h1 small { font-size: 0.9rem; font-weight: 400; letter-spacing: 0; color: var(--soft) }
p { margin: 0.75rem 0 2rem; color: var(--soft) }
ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 0.75rem; margin: 0; padding: 0; list-style: none }
a { display: block; height: 100%; padding: 0.9rem 1rem; border: 1px solid var(--line); border-radius: 0.6rem; background: var(--card);
    color: var(--soft); font-size: 0.9rem; line-height: 1.45; text-decoration: none }
a:hover, a:focus-visible { border-color: var(--link) }
b { display: block; color: var(--link); font-size: 1rem }
"""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_LINKS = (
    ("/docs", "Documentation", "Requests to try, events, codes, lifecycles"),
    ("/console", "Console", "For operators: map, broadcasts, fleets, levers"),
    ("/openapi.json", "OpenAPI", "The HTTP routes, for programs"),
    ("/asyncapi.json", "AsyncAPI", "The WebSocket at /api/v1/ws"),
    ("/healthz", "Alive", "This process answers"),
    ("/readyz", "Ready", "The database answers, with the right schema"),
    ("/metrics", "Metrics", "For Prometheus"),
)


def page() -> Response:
    """Return the page. It links Flower if FLOWER_URL is set."""
    flower = settings().flower_url
    links = [*_LINKS, *([(flower, "Flower", "Workers and their tasks")] if flower else [])]
    tiles = "\n".join(
        f'<li><a href="{escape(address)}"><b>{title}</b>{what}</a></li>' for address, title, what in links
    )
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Weelo</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Weelo <small>{__version__}</small></h1>
<p>This server connects people who need trucks with the fleets that own them. Apps talk to it over HTTP and WebSocket, below /api/v1.</p>
<ul>
{tiles}
</ul>
</main>
</body>
</html>
"""
    headers = {"Content-Security-Policy": _POLICY}
    return Response(html, content_type="text/html; charset=utf-8", headers=headers)
