"""Classifies every column of every table: what erasing a person does to it, and how long its rows are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from weelo_workers.person.replacements import (
    ADDRESS_OF_NOTHING,
    NOTHING,
    PLATE,
    WHOLE_KM,
    WORD,
    ZEROS,
    Replacement,
)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table. Every column is in exactly one of the first three fields."""

    kept: frozenset[str]
    """Ids, times, states and numbers, which stay."""
    replaced: Mapping[str, Replacement] = field(default_factory=dict)
    json: Mapping[str, str] = field(default_factory=dict)
    """Columns of JSON, each with its form in words. `fields.py` classifies their fields."""
    rows_deleted: bool = False
    """Whether the person's rows of this table are deleted."""


def _kept(names: str) -> frozenset[str]:
    return frozenset(names.split())


TABLES: Mapping[str, Columns] = {
    "users": Columns(_kept("id role created_at"), {"name": NOTHING, "phone": NOTHING}),
    "transporters": Columns(_kept("id is_available changed_at recent_changes")),
    "drivers": Columns(
        _kept("id transporter_id is_available created_at"),
        {"name": WORD, "phone": ZEROS, "license_number": NOTHING},
    ),
    "vehicles": Columns(
        _kept("id transporter_id vehicle_type vehicle_subtype vehicle_key capacity_kg created_at"),
        {"vehicle_number": PLATE, "plate": PLATE},
    ),
    "devices": Columns(_kept("id user_id platform registered_at"), {"token": WORD}, rows_deleted=True),
    "broadcasts": Columns(
        _kept(
            "id kind customer_id status state_changed_at version distance_km trucks_needed keyed first_won_at filled_at radius_step radius_km"
            " reoffer_rounds contracted_until transporters_notified end_reason expires_at created_at policy_settings policy_scope policy_version"
        ),
        {"goods_type": NOTHING, "notes": NOTHING},
        {"pickup": "a place", "drop": "a place", "request": "the request of a booking or an order"},
    ),
    "truck_requests": Columns(
        _kept(
            "id broadcast_id request_number vehicle_type vehicle_subtype vehicle_key price_per_truck status"
            " state_changed_at hold_id"
        )
    ),
    "holds": Columns(_kept("id broadcast_id transporter_id status state_changed_at expires_at created_at")),
    "offers": Columns(
        _kept(
            "broadcast_id transporter_id step last_step version offered_at first_offered_at declined_at"
            " decline_reason_code withdrawn_at may_be_offered_again"
        ),
        {"distance_km": WHOLE_KM, "decline_note": NOTHING},
    ),
    "passed_over": Columns(
        _kept("broadcast_id transporter_id round step reason at"), {"distance_km": WHOLE_KM}
    ),
    "assignments": Columns(
        _kept(
            "id trip_id broadcast_id truck_request_id transporter_id driver_id vehicle_id status reason_code"
            " ring replaced_drivers expires_at created_at state_changed_at"
        ),
        {"vehicle_number": PLATE, "note": NOTHING},
    ),
    "audit": Columns(
        _kept("id at actor_id actor command command_id subject subject_id outcome code details"),
        {"reason": WORD},
    ),
    "transitions": Columns(
        _kept(
            "id broadcast_id subject subject_id name from_status to_status version at occurred_at command_id cause"
            " actor_id"
        ),
        json={"details": "what led to the transition; `note` has the user's own words"},
    ),
    "events": Columns(_kept("id event at position"), json={"data": "the data of the event"}),
    "log_heads": Columns(_kept("user_id seq")),
    "log_lines": Columns(
        _kept("user_id seq event_id"), json={"own": "the fields of the event that only this reader gets"}
    ),
    "mailbox": Columns(
        _kept(
            "id name queue caller_id caller_role received_at due_at wake_at sweep_count attempts crashes retry_at"
            " parked_at settled_at status http_status replayed traceparent"
        ),
        {
            "caller_name": NOTHING,
            "caller_phone": NOTHING,
            # The fingerprint is replaced too: a hash of a short text, such as a phone number, can be reversed by trying
            # all texts.
            "fingerprint": WORD,
            "request_id": NOTHING,
            "last_error": NOTHING,
        },
        {
            "payload": "the command",
            "result": "the result of the command",
            "error": "why the command was rejected",
        },
    ),
    # Relations stay, because a block by the other user must outlive an erasure. They have only ids and times.
    "relations": Columns(
        _kept(
            "customer_id transporter_id blocked_by_customer_at blocked_by_transporter_at preferred_at contracted_at"
        )
    ),
    "replays": Columns(_kept("command_id at")),
    "webhooks": Columns(
        _kept(
            "id user_id events created_at is_active disabled_reason delivered_seq failures failing_since"
            " next_attempt_at last_http_status secret_version old_secrets lease_token lease_until"
        ),
        {"url": ADDRESS_OF_NOTHING, "description": NOTHING, "last_error": NOTHING},
    ),
    "webhook_deliveries": Columns(
        _kept("id webhook_id event_id seq event kind status attempts http_status at"), {"error": NOTHING}
    ),
    "beat_heartbeats": Columns(_kept("beat started_at swept_at")),
    "check_results": Columns(_kept("name severity detail checked_at")),
    "check_runs": Columns(_kept("id began_at ended_at")),
    "policy_scopes": Columns(_kept("scope version paused changed_at")),
    # The reason of a version is a text of an operator about a market. It must not name a person, because versions never
    # change, so an erasure could not replace the name.
    "policy_versions": Columns(
        _kept(
            "id scope version area vehicle_types settings longest_search_seconds reason actor_id created_at"
        )
    ),
    "console_sign_outs": Columns(_kept("session_id expires_at")),
    # `request_ids` needs no replacement: the erasure sets it to null at its end.
    "erasures": Columns(
        _kept("command_id person_id requested_at part cursor request_ids changed finished_at")
    ),
}
"""All tables of the migrations. The tables of a sandbox (`models/sandbox.py`) describe robots and have no personal data."""
