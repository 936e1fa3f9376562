"""Every command that only operators may send is written to the audit log."""

from __future__ import annotations

from tests.architecture.api import app
from weelo_api.http.declared import declared
from weelo_workers.contracts.command import REGISTRY
from weelo_workers.contracts.statuses import Role

OF_THE_COMMAND_LINE = {"person.erase"}


def commands_of_operators() -> set[str]:
    """Return the names of the commands whose routes are for admins only."""
    views = [view for view in app().view_functions.values() if getattr(view, "roles", None) == {Role.ADMIN}]
    commands = [declared(view).command for view in views]
    return {command.name for command in commands if command is not None}


def test_every_command_of_operators_is_audited_and_no_other() -> None:
    audited = {name for name, command in REGISTRY.items() if command.audit is not None}
    assert commands_of_operators() | OF_THE_COMMAND_LINE == audited
    assert len(audited) >= 5


def test_an_audited_command_has_the_fields_that_the_audit_log_reads() -> None:
    for command in REGISTRY.values():
        if command.audit is not None:
            read = {command.audit.subject_id or command.audit.reason, command.audit.reason}
            assert read <= set(command.model_fields)
            assert command.model_fields[command.audit.reason].is_required()
