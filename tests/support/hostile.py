"""Texts and numbers that a program may mistake for something else: SQL, control characters, numbers of any size."""

from __future__ import annotations

SQL = (
    "' OR '1'='1",
    "'; DROP TABLE mailbox; --",
    "1); DELETE FROM broadcasts; --",
    '" OR ""="',
    "%' AND 1=pg_sleep(9) --",
    "$$; SELECT pg_sleep(9); $$",
    "\\'; SELECT 1; --",
    "%(id)s :id %s {0} ${jndi:ldap://127.0.0.1/x}",
)
ODD = {
    "right to left": "\u202egnihton\u202c",
    "nothing to see": "a\u200b\u2060\ufeffb",
    "beyond the first plane": "🚚" * 20,
    "combining": "Z" + "\u0351" * 50,
    "not a character": "a\uffffb",
    "line ends": "a\r\nX-Injected: 1\r\n\r\nb\u2028c\x85d",
    "control characters": "a\x01\x1b[31m\x7fb",
    "markup": "<script>alert(1)</script>{{7*7}}",
    "full width": "\uff07 \uff2f\uff32 \uff11\uff1d\uff11",
}
HUGE = {
    "beyond 64 bits": str(2**63),
    "beyond doubles": "1" + "0" * 400,
    "exponent": "1e999",
    "negative": str(-(2**63) - 1),
    "not a number": "NaN",
    "endless": "Infinity",
    "minus endless": "-Infinity",
}
"""Numbers as they are written in JSON, and words that are no numbers of JSON."""
