"""Handlers for policies: an operator stores versions of them, and pauses new requests in their scopes."""
