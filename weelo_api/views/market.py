"""Market figures, for operators."""

from flask import Response, jsonify
from pydantic import Field

from weelo_api.http.access import allow
from weelo_api.http.declared import rejects
from weelo_api.views.common import Query, QueryTime, blueprint, replica_session
from weelo_workers import clock
from weelo_workers.contracts.market import MarketView
from weelo_workers.contracts.rejections import Code
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.wire import ShortText
from weelo_workers.queries import market, policies

api = blueprint("market")


class MarketQuery(Query):
    """Which requests to count."""

    from_: QueryTime | None = Field(default=None, alias="from")
    """Only requests that were created at this time or later. Left out: the last 24 hours before `to`. At most 31 days before
    `to`."""
    to: QueryTime | None = None
    """Only requests that were created before this time. Left out: now."""
    area: ShortText | None = None
    """Only requests in this area. Left out: all areas."""


@api.get("/admin/market", responses={200: MarketView})
@allow(Role.ADMIN)
@rejects(Code.VALIDATION_ERROR)
def figures(query: MarketQuery) -> Response:
    """What became of the requests of a period: won, expired and cancelled slots, and the times until slots were won."""
    now = clock.now()
    with replica_session() as session:
        areas = policies.scopes(session) if query.area is not None else ()
    of = market.window(query.from_, query.to, query.area, now, areas)
    # The query needs a new session, because it sets the isolation level, which is possible only at the start of a
    # transaction.
    with replica_session() as session:
        return jsonify(market.figures(session, of, now).json_dict())
