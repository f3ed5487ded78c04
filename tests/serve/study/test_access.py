"""A browser's cookie: how long it lasts, whose it is, and that nobody can make one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from fastapi import Request, Response

from insula.config import TokenConfig
from insula.serve.service import Service
from insula.serve.study import access


def _service(tmp_path: Path, *tokens: TokenConfig) -> Service:
    return cast(Service, SimpleNamespace(store=SimpleNamespace(path=tmp_path), tokens=tokens))


def _token(owner: str, expires: str = "") -> TokenConfig:
    return TokenConfig(owner=owner, sha256="0" * 64, expires=expires)


def _cookie(service: Service, owner: str, scheme: str = "http") -> tuple[str, str]:
    response, request = Response(), cast(Request, SimpleNamespace(url=SimpleNamespace(scheme=scheme)))
    access.admit(response, request, service, owner)
    header = response.headers["set-cookie"]
    return header.partition("=")[2].partition(";")[0].strip('"'), header


def test_a_cookie_is_its_owners_for_twelve_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = _service(tmp_path, _token("ward-3"), _token("lab"))
    value, _ = _cookie(service, "ward-3")
    assert access._admitted(value, service) == "ward-3"
    now = access.time.time()
    monkeypatch.setattr(access, "time", SimpleNamespace(time=lambda: now + 12 * 3600 - 60))
    assert access._admitted(value, service) == "ward-3"
    monkeypatch.setattr(access, "time", SimpleNamespace(time=lambda: now + 12 * 3600 + 60))
    assert access._admitted(value, service) is None


@pytest.mark.parametrize("owner", ["Łucja", "ward.3; a=b", "50 %41", 'a"b,c'])
def test_an_owner_may_have_any_name(owner: str, tmp_path: Path) -> None:
    service = _service(tmp_path, _token(owner), _token("lab"))
    value, header = _cookie(service, owner)
    assert access._admitted(value, service) == owner and header.isascii()
    assert access._admitted(value, _service(tmp_path, _token("lab"))) is None


def test_a_cookie_ends_with_its_token(tmp_path: Path) -> None:
    service = _service(tmp_path, _token("ward-3"))
    value, _ = _cookie(service, "ward-3")
    assert access._admitted(value, _service(tmp_path, _token("lab"))) is None
    assert access._admitted(value, _service(tmp_path, _token("ward-3", "2020-01-01"))) is None


def test_a_cookie_cannot_be_made_or_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = _service(tmp_path, _token("ward-3"), _token("lab"))
    value, _ = _cookie(service, "ward-3")
    owner, end, signature = value.split(".")
    wrong = [
        "",
        ".",
        "..",
        "a.b.c",
        f"lab.{end}.{signature}",
        f"{owner}.{int(end) + 9}.{signature}",
        "é.1.x",
    ]
    assert [access._admitted(each, service) for each in wrong] == [None] * len(wrong)
    monkeypatch.setattr(access, "_KEY", b"another start")
    assert access._admitted(value, service) is None


def test_a_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    service = _service(tmp_path, _token("ward-3"))
    for scheme, secure in (("http", False), ("https", True)):
        header = _cookie(service, "ward-3", scheme)[1].lower()
        assert "httponly" in header and "samesite=strict" in header and "path=" not in header
        assert ("secure" in header) is secure
    assert access._cookie(service) != access._cookie(_service(tmp_path / "another"))
