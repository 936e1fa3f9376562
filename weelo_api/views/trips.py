"""Assignments: the trucks that won a slot."""

from flask import Response

from weelo_api.access import allow, caller
from weelo_api.views.parts import PageOf, Paging, blueprint, page, reading
from weelo_workers.contracts.statuses import Role
from weelo_workers.contracts.trips import AssignmentView
from weelo_workers.queries import fleets

api = blueprint("trips")


@api.get("/assignments", responses={200: PageOf[AssignmentView]})
@allow(Role.TRANSPORTER, Role.DRIVER)
def assignments(query: Paging) -> Response:
    """One's own assignments, newest first."""
    with reading() as session:
        return page(fleets.assignments(session, caller(), query.window()))
