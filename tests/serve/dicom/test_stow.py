from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from pydicom import dcmread

from insula.errors import Unavailable, UsageError
from insula.serve.dicom import Stow
from insula.serve.dicom.stow import statuses_of
from io_series import write_series
from serve.certificate import make_certificate
from serve.dicom.dicomweb import answer_of, dicomweb


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return sorted(write_series(tmp_path / "series").iterdir())[:3]


def _uids(files: list[Path]) -> list[str]:
    return [str(dcmread(path).SOPInstanceUID) for path in files]


def test_addresses() -> None:
    assert Stow.parse("http://pacs:8042/dicom-web/").url == "http://pacs:8042/dicom-web/studies"
    assert Stow.parse("https://pacs/studies").url == "https://pacs/studies"
    assert Stow.parse("http://[::1]:80").url == "http://[::1]:80/studies"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pacs:8042",
        "ftp://pacs",
        "http://",
        "http://a:b/",
        "http://pacs:99999999",
        "http://a/ b",
        "http://a\r\nX: y",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an http or https URL"):
        Stow.parse(text)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="contains a user name or password") as error:
        Stow.parse("https://me:secret@pacs/")
    assert "secret" not in str(error.value)


def test_whole_objects_arrive(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_STOW_AUTHORIZATION", "Bearer abc")
    with dicomweb() as web:
        assert set(Stow.parse(web.url).send(files).values()) == {0}
    assert web.got == [dcmread(path) for path in files]
    (request,) = web.requests
    assert request["path"] == "/dicom-web/studies"
    assert request["Authorization"] == "Bearer abc"
    assert request["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')


def test_what_fails_in_part_is_told_by_instance(files: list[Path]) -> None:
    first, second, third = _uids(files)
    with dicomweb() as web:
        web.answer = 202, answer_of({first: 0xA700}, {second: 0xB000})
        assert list(Stow.parse(web.url).send(files).values()) == [0xA700, 0xB000, -1]
        web.answer = 200, answer_of({second: 0xA900}, {first: 0, third: 0})
        assert list(Stow.parse(web.url).send(files).values()) == [0, 0xA900, 0]
        web.answer = 409, answer_of({first: 0x0110, second: 0x0122, third: 0}, {})
        assert list(Stow.parse(web.url).send(files).values()) == [0x0110, 0x0122, 0x0110]


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (202, -1), (409, -1)])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff\xfe", b'{"00081198": 3}', b"null", b"[" * 100_000])
def test_an_answer_without_a_list(files: list[Path], body: bytes, status: int, expected: int) -> None:
    with dicomweb() as web:
        web.answer = status, body
        assert set(Stow.parse(web.url).send(files).values()) == {expected}


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 415, 500, 503])
def test_other_answers_say_that_it_takes_nothing(files: list[Path], status: int) -> None:
    with dicomweb() as web:
        web.answer = status, b"CANARY"
        with pytest.raises(Unavailable, match=f"answers {status}") as error:
            Stow.parse(web.url).send(files)
    assert "CANARY" not in str(error.value)


def test_nobody_there_is_unavailable(files: list[Path]) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        Stow.parse("http://127.0.0.1:1/").send(files)


def test_the_answer_as_xml() -> None:
    item = (
        '<Item number="1"><DicomAttribute tag="00081155" vr="UI"><Value number="1">{}</Value></DicomAttribute>{}</Item>'
    )
    reason = '<DicomAttribute tag="00081197" vr="US"><Value number="1">42752</Value></DicomAttribute>'
    body = (
        '<?xml version="1.0"?><NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
        f'<DicomAttribute tag="00081198" vr="SQ">{item.format("1.2.3", reason)}</DicomAttribute>'
        f'<DicomAttribute tag="00081199" vr="SQ">{item.format("1.2.4", "")}</DicomAttribute></NativeDicomModel>'
    )
    assert statuses_of(body.encode()) == {"1.2.3": 0xA700, "1.2.4": 0}
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]>' + body.partition("?>")[2]
    assert statuses_of(bomb.encode()) == {}


@pytest.mark.parametrize("reason", ["Infinity", "NaN", '"no number"', "null", "[1]"])
def test_a_failure_without_a_valid_reason_is_still_a_failure(reason: str) -> None:
    item = f'{{"00081155": {{"Value": ["1.2.3"]}}, "00081197": {{"Value": [{reason}]}}}}'
    assert statuses_of(f'{{"00081198": {{"Value": [{item}]}}}}'.encode()) == {"1.2.3": 0x0110}


def test_an_archive_with_a_certificate(files: list[Path], tmp_path: Path) -> None:
    make_certificate(tmp_path / "key", tmp_path / "cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with dicomweb(context) as web:
        trusting = ssl.create_default_context(cafile=str(tmp_path / "cert"))
        assert set(Stow.parse(web.url, tls=trusting).send(files).values()) == {0}
        with pytest.raises(Unavailable, match="certificate that cannot be verified"):
            Stow.parse(web.url).send(files)
