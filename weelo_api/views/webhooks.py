"""Webhooks of the caller, and their deliveries."""

from flask import Response

from weelo_api.commands.gateway import submit
from weelo_api.http.access import anyone, caller
from weelo_api.http.declared import rejects, submits
from weelo_api.views.common import (
    Accepted,
    ById,
    PageOf,
    Paging,
    blueprint,
    json_or_404,
    page,
    primary_session,
)
from weelo_workers.contracts.rejections import Code, Rejected
from weelo_workers.contracts.statuses import DeliveryStatus
from weelo_workers.contracts.webhooks import (
    CreateWebhook,
    DeletedWebhookView,
    DeleteWebhook,
    DeliveryView,
    NewWebhook,
    ResendLines,
    ResendRange,
    ResendView,
    RotateSecret,
    SendTest,
    UpdateWebhook,
    WebhookChanges,
    WebhookTestView,
    WebhookView,
    WebhookWithSecretView,
    fault_in_production,
)
from weelo_workers.queries import webhooks as queries
from weelo_workers.settings import settings

api = blueprint("webhooks")


class DeliveriesQuery(Paging):
    """Which deliveries to return."""

    status: DeliveryStatus | None = None
    """Only deliveries with this status. Left out: all of them."""


@api.post("/webhooks", responses={201: WebhookWithSecretView, 202: Accepted})
@anyone
@submits(CreateWebhook)
def create_webhook(body: NewWebhook) -> Response:
    """Register an endpoint for the caller's events. Only this response and that of `rotate-secret` contain the secret."""
    _check_url(body.url)
    return submit(CreateWebhook(user_id=caller().id, details=body), body)


@api.get("/webhooks", responses={200: PageOf[WebhookView]})
@anyone
def webhooks(query: Paging) -> Response:
    """Return the caller's webhooks, newest first."""
    with primary_session() as session:
        return page(queries.webhooks(session, caller().id, query.page_request()))


@api.get("/webhooks/<id>", responses={200: WebhookView})
@anyone
@rejects(Code.WEBHOOK_NOT_FOUND)
def webhook(path: ById) -> Response:
    """Return one of the caller's webhooks."""
    with primary_session() as session:
        found = queries.own_webhook(session, path.id, caller().id)
        return json_or_404(queries.webhook_view(found).json_dict() if found else None, Code.WEBHOOK_NOT_FOUND)


@api.put("/webhooks/<id>", responses={200: WebhookView, 202: Accepted})
@anyone
@submits(UpdateWebhook)
def update_webhook(path: ById, body: WebhookChanges) -> Response:
    """Change the given fields. `isActive: true` activates a webhook again: the lines after the last delivered one are posted."""
    if body.url is not None:
        _check_url(body.url)
    return submit(UpdateWebhook(webhook_id=path.id, user_id=caller().id, changes=body), body)


@api.delete("/webhooks/<id>", responses={200: DeletedWebhookView, 202: Accepted})
@anyone
@submits(DeleteWebhook)
def delete_webhook(path: ById) -> Response:
    """Delete a webhook and the records of its deliveries."""
    return submit(DeleteWebhook(webhook_id=path.id, user_id=caller().id))


@api.post("/webhooks/<id>/rotate-secret", responses={200: WebhookWithSecretView, 202: Accepted})
@anyone
@submits(RotateSecret)
def rotate_webhook_secret(path: ById) -> Response:
    """Replace the secret. For 24 hours each message is signed with the earlier one as well."""
    return submit(RotateSecret(webhook_id=path.id, user_id=caller().id))


@api.get("/webhooks/<id>/deliveries", responses={200: PageOf[DeliveryView]})
@anyone
@rejects(Code.WEBHOOK_NOT_FOUND)
def webhook_deliveries(path: ById, query: DeliveriesQuery) -> Response:
    """Return the messages that were posted and those that are to be posted, newest first."""
    with primary_session() as session:
        found = queries.own_webhook(session, path.id, caller().id)
        if found is None:
            raise Rejected(Code.WEBHOOK_NOT_FOUND)
        return page(queries.deliveries(session, found, query.status, query.page_request()))


@api.post("/webhooks/<id>/resend", responses={200: ResendView, 202: Accepted})
@anyone
@submits(ResendLines)
def resend_to_webhook(path: ById, body: ResendRange) -> Response:
    """Post these lines of the caller's log again, with the same ids."""
    return submit(ResendLines(webhook_id=path.id, user_id=caller().id, lines=body), body)


@api.post("/webhooks/<id>/test", responses={200: WebhookTestView, 202: Accepted})
@anyone
@submits(SendTest)
def test_webhook(path: ById) -> Response:
    """Post the event `webhook_test` at once, and return how the endpoint answered."""
    return submit(SendTest(webhook_id=path.id, user_id=caller().id))


def _check_url(url: str) -> None:
    """Raise Rejected(VALIDATION_ERROR) for a URL that must not be called in production."""
    if settings().weelo_env == "production" and (fault := fault_in_production(url)):
        raise Rejected(
            Code.VALIDATION_ERROR, f"url: {fault}", {"errors": [{"field": "url", "message": fault}]}
        )
