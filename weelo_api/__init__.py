"""The HTTP and WebSocket API: authenticates callers, validates requests and stores commands for the workers."""

from __future__ import annotations

from flask import Flask
from flask_openapi3 import OpenAPI

from weelo_workers.settings import settings

MAX_BODY_BYTES = 64 * 1024


def create_app() -> Flask:
    """Return the WSGI application. Raises ConfigurationError if a setting is invalid."""
    # These modules are imported here, so that `import weelo_api` alone opens no connection and does not read the
    # environment.
    from weelo_api import openapi
    from weelo_api.commands import rate_limit_headers
    from weelo_api.console import site as console
    from weelo_api.docs_site import routes as docs_site
    from weelo_api.http import (
        access,
        addresses,
        compression,
        cors,
        errors,
        headers,
        request_ids,
        request_metrics,
        server_errors,
        traces,
    )
    from weelo_api.http.json_body import JsonBody
    from weelo_api.views import (
        admin,
        broadcasts,
        devices,
        fleet,
        market,
        notifications,
        offers,
        operating,
        policies,
        relations,
        trips,
        webhooks,
    )
    from weelo_api.websocket import asyncapi, endpoint

    settings()
    app = OpenAPI(
        "weelo_api",
        validation_error_status=400,
        validation_error_callback=errors.validation_response,
        doc_ui=False,  # with True, flask-openapi3 would add a front page of its own
        static_folder=None,
    )
    app.request_class = JsonBody
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    request_metrics.register(app)
    compression.register(app)
    request_ids.register(app)
    traces.register(app)
    errors.register(app)
    server_errors.register(app)
    addresses.register(app)
    cors.register(app)
    access.register(app)
    headers.register(app)
    for view in (
        broadcasts,
        offers,
        trips,
        fleet,
        devices,
        notifications,
        webhooks,
        relations,
        market,
        admin,
        policies,
    ):
        app.register_api(view.api)
    if settings().is_sandbox:
        from weelo_api.views import sandbox

        app.register_api(sandbox.api)
    rate_limit_headers.register(app)
    app.register_blueprint(operating.api)
    openapi.register(app)
    docs_site.register(app)
    asyncapi.register(app)
    endpoint.register(app)
    console.register(app)
    return app
