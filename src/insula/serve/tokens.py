"""Who may use the service: tokens that are compared in constant time and kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, date, datetime

from insula.config import TokenConfig

__all__ = ["expired", "owner_of", "token_hash"]


def expired(token: TokenConfig) -> bool:
    """Whether its last day is over."""
    return bool(token.expires) and date.fromisoformat(token.expires) < datetime.now(UTC).date()


def token_hash(token: str) -> str:
    """What stands in the settings for a token: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


def owner_of(authorization: str, tokens: Sequence[TokenConfig]) -> str | None:
    """Whose token a header `Bearer TOKEN` carries; None if nobody's, or if it has expired.

    Every token is compared, and each in constant time, so that the time says nothing of any.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    sent = token_hash(token.strip())
    found = [one for one in tokens if hmac.compare_digest(one.sha256.lower().encode(), sent.encode())]
    valid = [one for one in found if not expired(one)]
    return valid[0].owner if valid else None
