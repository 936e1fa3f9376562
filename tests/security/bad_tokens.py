"""Tokens that must be refused: forged, malformed or expired."""

from __future__ import annotations

import json
from functools import cache
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.tokens import LATER, SECRET, base64url, claims, signed


@cache
def forged() -> dict[str, str]:
    """Return tokens without a valid signature: unsigned, signed with another key or with another algorithm."""
    rsa_key = rsa.generate_private_key(65_537, 2_048)
    public = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = signed(claims())
    head, body, tail = good.split(".")
    unsigned = jwt.encode(claims(), "", algorithm="none")
    return {
        "alg none": unsigned,
        "alg None": signed(claims(), b"", alg="None").rpartition(".")[0] + ".",
        "alg none, with a signature": signed(claims(), alg="none"),
        "alg empty": signed(claims(), alg=""),
        "alg a list": signed(claims(), alg=["HS256"]),
        "HS384": jwt.encode(claims(), SECRET * 2, "HS384"),
        "HS512": jwt.encode(claims(), SECRET * 2, "HS512"),
        "HS256 that says RS256": signed(claims(), alg="RS256"),
        "RS256": jwt.encode(claims(), rsa_key, "RS256"),
        "PS256": jwt.encode(claims(), rsa_key, "PS256"),
        "ES256": jwt.encode(claims(), ec.generate_private_key(ec.SECP256R1()), "ES256"),
        "EdDSA": jwt.encode(claims(), ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        "a public key as the secret": signed(claims(), public),
        "no secret": signed(claims(), b""),
        "another secret": signed(claims(), "another secret, long enough for HS256"),
        "a key that it brings along": signed(
            claims(), b"k" * 32, jwk={"kty": "oct", "k": base64url(b"k" * 32)}
        ),
        "a key elsewhere": signed(claims(), b"k" * 32, jku="http://127.0.0.1:9/", kid="../../../dev/null"),
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{tail}",
        "another body": f"{head}.{base64url(json.dumps(claims(role='admin')).encode())}.{tail}",
        "cut off": good[:-4],
        "no base64": f"{head}.!!!.{tail}",
        "not UTF-8": f"{head}.{base64url(bytes([255, 254]))}.{tail}",
        "words": "let me in",
        "an SQL string": "' OR 1=1 --",
        "long": "x" * 7_000,
    }


@cache
def malformed() -> dict[str, str]:
    """Return tokens with a valid signature and invalid claims or contents."""
    return {
        "no expiry": signed(claims(exp=None)),
        "expiry null": signed({**claims(), "exp": None}),
        "expiry in words": signed(claims(exp="tomorrow")),
        "expiry as text": signed(claims(exp=str(LATER))),
        "expiry beyond time": signed(claims(exp=10**30)),
        "expiry endless": signed(b'{"sub":"%s","role":"customer","exp":1e999}' % str(uuid4()).encode()),
        "expiry not a number": signed(b'{"sub":"%s","role":"customer","exp":NaN}' % str(uuid4()).encode()),
        "expiry a list": signed(claims(exp=[LATER])),
        "not yet valid": signed(claims(nbf=LATER)),
        "no subject": signed(claims(sub=None)),
        "subject in words": signed(claims(sub="admin")),
        "subject a number": signed(claims(sub=1)),
        "subject a list": signed(claims(sub=[str(uuid4())])),
        "subject with a NUL": signed(claims(sub=str(uuid4()) + "\0")),
        "subject with an SQL tail": signed(claims(sub=f"{uuid4()}' OR '1'='1")),
        "no role": signed(claims(role=None)),
        "an unknown role": signed(claims(role="emperor")),
        "a role in capitals": signed(claims(role="ADMIN")),
        "two roles": signed(claims(role=["customer", "admin"])),
        "a role with a NUL": signed(claims(role="admin\0")),
        "a list": signed([claims()]),
        "text": signed("customer"),
        "no JSON": signed(b"{"),
        "nested without end": signed(b"[" * 3_000),
        "with a demand that we do not know": signed(claims(), crit=["exp2"], exp2=1),
    }


@cache
def expired() -> dict[str, str]:
    return {
        "in 1970": signed(claims(exp=1)),
        "before time": signed(claims(exp=-1)),
        "at zero": signed(claims(exp=0)),
    }
