"""Access tokens, stored as hashes and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, date, datetime

from insula.config import TokenConfig

__all__ = ["expired", "owner_of", "token_hash"]


def expired(token: TokenConfig) -> bool:
    """Returns whether a token's last day is over."""
    return bool(token.expires) and date.fromisoformat(token.expires) < datetime.now(UTC).date()


def token_hash(token: str) -> str:
    """Returns a token's SHA-256, as it is stored in the settings."""
    return hashlib.sha256(token.encode()).hexdigest()


def owner_of(authorization: str, tokens: Sequence[TokenConfig]) -> str | None:
    """Returns the owner of the token in a header `Bearer TOKEN`; None if the token is unknown or has expired.

    The token is compared with every known one in constant time, so that timing reveals nothing.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    sent = token_hash(token.strip())
    matches = [known for known in tokens if hmac.compare_digest(known.sha256.lower().encode(), sent.encode())]
    valid = [known for known in matches if not expired(known)]
    return valid[0].owner if valid else None
