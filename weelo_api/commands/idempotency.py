"""The Idempotency-Key of a request, and the fingerprint that tells a repetition from another request with the same key."""

from __future__ import annotations

import hashlib
import json
import re
from uuid import UUID, uuid4, uuid5

from flask import request
from pydantic import BaseModel

from weelo_workers.contracts.rejections import Code, Rejected

_KEYS = uuid5(UUID(int=0), "weelo idempotency keys")
# The quotes are not part of the key: the IETF draft of this header defines it as a quoted string (RFC 8941, section 3.3.3).
_KEY = re.compile(r"(\"?)([A-Za-z0-9:_-]{8,128})\1")


def has_idempotency_key() -> bool:
    """Return whether the request has an Idempotency-Key."""
    return request.headers.get("Idempotency-Key") is not None


def command_id_of_request(caller_id: UUID) -> UUID:
    """Return a command id: derived from the caller and the Idempotency-Key, or random without a key.

    Raises Rejected(VALIDATION_ERROR) if the key is malformed.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return uuid4()
    if (found := _KEY.fullmatch(key)) is None:
        message = "8 to 128 characters of A-Z, a-z, 0-9, colon, underscore and hyphen"
        raise Rejected(
            Code.VALIDATION_ERROR,
            f"Idempotency-Key: {message}",
            {"errors": [{"field": "Idempotency-Key", "message": message}]},
        )
    return id_of_key(caller_id, found[2])


def id_of_key(caller_id: UUID, key: str) -> UUID:
    return uuid5(_KEYS, f"{caller_id}:{key}")


def fingerprint(body: BaseModel | None) -> str:
    """Return a hash of the method, path and body of the request.

    Default values are omitted, so that a retry has the same hash after a deploy that adds a field.
    """
    text = json.dumps(body.model_dump(mode="json", exclude_defaults=True), sort_keys=True) if body else ""
    return hashlib.sha256(f"{request.method} {request.path}\n{text}".encode()).hexdigest()
