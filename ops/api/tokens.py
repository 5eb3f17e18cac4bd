"""Who calls: bearer tokens (RFC 7519, 6750), checked against one issuer's keys; and a local issuer for `ebbtide up`.

One algorithm, Ed25519 (RFC 9864), pinned here and not read from a token (RFC 8725). Every claim that decides is
checked below, by type and value. Used by `ops.api.guard`; `tests/unit/ops/api/test_tokens.py` says what is refused.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from ops.api.problems import Problem
from schemas.errors import Refused

log = logging.getLogger(__name__)

ALGORITHM: Final = "Ed25519"
READER: Final = "reader"
OWNER: Final = "owner"
ROLES: Final = (READER, OWNER)
FRESH_S: Final = 300
LEEWAY_S: Final = 30
MAX_TOKEN_BYTES: Final = 8192
MAX_ORGS: Final = 1000

_BEARER: Final = re.compile(r"[Bb]earer +([A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+)")
_TYPES: Final = ("jwt", "at+jwt")


class BadKeys(Refused):
    """The file with the issuer's keys is not a JWK set of public Ed25519 keys."""


class _Signed(Protocol):
    def headers(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls. `subject` may be anything, so it is never shown; times are seconds since the epoch."""

    subject: str = field(repr=False)
    orgs: Mapping[str, str]
    expires_s: float
    signed_in_s: float | None = None

    def is_fresh(self, now_s: float) -> bool:
        """Whether the person signed in within the last five minutes."""
        return self.signed_in_s is not None and -LEEWAY_S <= now_s - self.signed_in_s < FRESH_S


class Keys(Protocol):
    """The issuer's public keys."""

    def find(self, key_id: str) -> OKPKey | None:
        """Return the key with that id, the only key for none."""
        ...


class FixedKeys:
    """Keys that are given as text, and stay. Raises BadKeys."""

    def __init__(self, text: str) -> None:
        self._keys = read_keys(text, "EBBTIDE_API_JWKS")

    def find(self, key_id: str) -> OKPKey | None:
        """Return the key with that id, the only key for none."""
        return _chosen(self._keys, key_id)


class KeyFile:
    """Keys of a file, which is read again when it has changed. Raises BadKeys where it is none at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] = (0, 0)
        self._keys: dict[str, OKPKey] = {}
        self._look()

    def find(self, key_id: str) -> OKPKey | None:
        """Return the key with that id, the only key for none. A file that broke leaves the keys that were there."""
        try:
            self._look()
        except BadKeys as error:
            log.error("the issuer's keys cannot be read; those from before are used: %s", error)
        return _chosen(self._keys, key_id)

    def _look(self) -> None:
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return
            self._seen = seen
            self._keys = read_keys(self._path.read_text(encoding="utf-8"), str(self._path))
        except (OSError, UnicodeDecodeError) as error:
            raise BadKeys(f"EBBTIDE_API_JWKS: {self._path} cannot be read: {type(error).__name__}") from None


def _chosen(keys: Mapping[str, OKPKey], key_id: str) -> OKPKey | None:
    if not key_id and len(keys) == 1:
        return next(iter(keys.values()))
    return keys.get(key_id)


def read_keys(text: str, where: str) -> dict[str, OKPKey]:
    """Return the Ed25519 keys of a JWK set by their id. Raises BadKeys: no set, none of our kind, a private one."""
    try:
        listed = json.loads(text)["keys"]
        ours = [key for key in listed if key.get("kty") == "OKP" and key.get("crv") == ALGORITHM]
        if any("d" in key for key in listed):
            raise BadKeys(f"{where} holds a private key: give the API the public half alone")
        keys = {str(key.get("kid", "")): OKPKey.import_key({n: key[n] for n in ("kty", "crv", "x")}) for key in ours}
    except (ValueError, TypeError, KeyError, AttributeError, JoseError):
        raise BadKeys(f"{where} is not a JWK set (RFC 7517)") from None
    if not keys:
        raise BadKeys(f"{where} has no key with kty OKP and crv {ALGORITHM}: no other algorithm is taken")
    return keys


@dataclass(frozen=True, slots=True)
class Tokens:
    """Checks tokens of one issuer for one audience."""

    keys: Keys
    issuer: str
    audience: str

    def check(self, authorization: str | None, now_s: float) -> Principal:
        """Return whose token it is. Raises Problem, `unauthenticated`; why, only in words that help its owner."""
        if not authorization:
            raise _no("give a bearer token", error="")
        match = _BEARER.fullmatch(authorization.strip())
        if match is None or len(authorization) > MAX_TOKEN_BYTES:
            raise _no("it is not a bearer token in the compact form")
        try:
            token = jwt.decode(match[1], self._key, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            raise _no("its signature is not the issuer's") from None
        if str(token.header.get("typ", "jwt")).lower() not in _TYPES:
            raise _no("it is not an access token")
        return self._principal(token.claims, now_s)

    def _key(self, signed: _Signed) -> OKPKey:
        key = self.keys.find(str(signed.headers().get("kid", "")))
        if key is None:
            raise KeyError("kid")
        return key

    def _principal(self, claims: Mapping[str, Any], now_s: float) -> Principal:
        audience = claims.get("aud")
        if claims.get("iss") != self.issuer:
            raise _no("it is from another issuer")
        if audience != self.audience and not (isinstance(audience, list) and self.audience in audience):
            raise _no("it is for another audience")
        expires, begins = _time(claims, "exp"), _time(claims, "nbf")
        if expires is None or expires + LEEWAY_S <= now_s:
            raise _no("it has expired")
        if (begins or 0) - LEEWAY_S > now_s:
            raise _no("it is not valid yet")
        subject, orgs = claims.get("sub"), claims.get("orgs")
        if not isinstance(subject, str) or not 0 < len(subject) <= 1024:
            raise _no("it does not say whose it is (sub)")
        if not isinstance(orgs, dict) or len(orgs) > MAX_ORGS or any(role not in ROLES for role in orgs.values()):
            raise _no("it has no orgs: an object of org to owner or reader")
        return Principal(subject=subject, orgs=orgs, expires_s=expires, signed_in_s=_time(claims, "auth_time"))


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise _no(f"{name} is not a time")
    return value


def _no(why: str, *, error: str = "invalid_token") -> Problem:
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    return Problem("unauthenticated", detail=f"The token is not taken: {why}.", headers={"WWW-Authenticate": challenge})


@dataclass(frozen=True, slots=True)
class LocalIssuer:
    """Makes tokens for `ebbtide up` and tests. `seed` is the 32 bytes of an Ed25519 private key."""

    seed: bytes = field(repr=False)
    audience: str

    @property
    def issuer(self) -> str:
        """Its name: another installation's is another."""
        return f"urn:ebbtide:local:{self._key_id}"

    @property
    def jwks(self) -> str:
        """The public half as a JWK set."""
        return json.dumps({"keys": [self._key.as_dict(private=False) | {"kid": self._key_id}]})

    def token(
        self,
        orgs: Mapping[str, str],
        *,
        subject: str = "local",
        minutes: float = 60,
        now_s: float | None = None,
        signed_in_s: float | None = None,
    ) -> str:
        """Return a token for `orgs` (org to role); its making counts as the sign-in unless that is given."""
        now = time.time() if now_s is None else now_s
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "iat": int(now),
            "exp": int(now + 60 * minutes),
            "auth_time": int(now if signed_in_s is None else signed_in_s),
            "orgs": dict(orgs),
        }
        return jwt.encode({"alg": ALGORITHM, "kid": self._key_id}, claims, self._key, algorithms=[ALGORITHM])

    @property
    def _key(self) -> OKPKey:
        return OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(self.seed))

    @property
    def _key_id(self) -> str:
        return sha256(Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()).hexdigest()[:16]
