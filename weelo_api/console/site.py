"""Adds the console to the application."""

from __future__ import annotations

from flask import Flask

# These modules add their routes to the blueprint.
from weelo_api.console import customers, health, levers, live, map_data, pages, policies, routes  # noqa: F401


def register(app: Flask) -> None:
    app.register_blueprint(routes.api)
    live.register(app)
