"""The HTTP and WebSocket API: authenticates callers, validates requests and stores commands for the workers."""

from __future__ import annotations

from flask import Flask
from flask_openapi3 import Info, OpenAPI

from weelo_workers import __version__
from weelo_workers.settings import settings

MAX_BODY_BYTES = 64 * 1024


def create_app() -> Flask:
    """Return the WSGI application. Raises ConfigurationError if a setting is invalid."""
    # These modules are imported here, so that `import weelo_api` alone opens no connection and does not read the
    # environment.
    from flask_openapi3_swagger.plugins import RegisterPlugin

    from weelo_api.http import access, addresses, errors, headers
    from weelo_api.http.json_body import JsonBody
    from weelo_api.views import broadcasts, common, devices, fleet, notifications, offers, operating, trips
    from weelo_api.websocket import asyncapi, endpoint

    settings()
    app = OpenAPI(
        "weelo_api",
        info=Info(title="Weelo", version=__version__, description="Trucks for those who need them."),
        security_schemes={"jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        validation_error_status=400,
        validation_error_callback=errors.validation_response,
        doc_ui=False,  # otherwise flask-openapi3 would add a front page of its own
        static_folder=None,
    )
    app.request_class = JsonBody
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    errors.register(app)
    addresses.register(app)
    access.register(app)
    headers.register(app)
    for view in (broadcasts, offers, trips, fleet, devices, notifications):
        app.register_api(view.api)
    if settings().is_sandbox:
        from weelo_api.views import sandbox

        app.register_api(sandbox.api)
    common.document_errors(app.api_doc)
    app.register_blueprint(operating.api)
    app.register_blueprint(RegisterPlugin.register(doc_url="openapi.json"))
    asyncapi.register(app)
    endpoint.register(app)
    return app
