from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from insula.config import TokenConfig
from insula.serve import owner_of, token_hash


def _token(days: int | None = None) -> TokenConfig:
    expires = "" if days is None else str((datetime.now(UTC) + timedelta(days=days)).date())
    return TokenConfig(owner="ward", sha256=token_hash("secret"), expires=expires)


@pytest.mark.parametrize("days", [None, 0, 1])
def test_the_right_token_names_its_owner(days: int | None) -> None:
    assert owner_of("Bearer secret", [_token(days)]) == "ward"
    assert owner_of("bearer secret", [_token(days)]) == "ward"


@pytest.mark.parametrize(
    "header",
    ["", "secret", "Basic secret", "Bearer ", "Bearer secre", "Bearer secrets", f"Bearer {token_hash('secret')}"],
)
def test_anything_else_names_nobody(header: str) -> None:
    assert owner_of(header, [_token()]) is None


def test_an_expired_token_names_nobody() -> None:
    assert owner_of("Bearer secret", [_token(-1)]) is None


def test_nobody_comes_in_without_tokens() -> None:
    assert owner_of("Bearer secret", []) is None
    assert owner_of("", [TokenConfig(owner="ward", sha256="")]) is None
