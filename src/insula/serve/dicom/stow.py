"""Send results to an archive over HTTP (STOW-RS), and return its status for each instance."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

from insula.errors import Unavailable, UsageError

__all__ = ["Stow", "statuses_of"]

_SECONDS = 60.0
_MOST_ANSWER = 4 << 20
_PIECE = 1 << 20
_AUTHORIZATION = "INSULA_STOW_AUTHORIZATION"
_FAILED, _STORED = "00081198", "00081199"
_INSTANCE, _REASON, _WARNING = "00081155", "00081197", "00081196"
_UNKNOWN = -1
_NO_REASON = 0x0110  # processing failure
_ANSWERED = (200, 202, 409)
"""HTTP statuses whose body reports on each instance (DICOM PS3.18 10.5.3)."""


@dataclass(frozen=True)
class Stow:
    """An archive that is reached by STOW-RS."""

    url: str
    """URL of its studies."""
    tls: ssl.SSLContext | None = field(default=None, compare=False)
    """TLS settings for https; None for the system's certificates."""
    statuses: ClassVar[str] = "stow.json"

    @classmethod
    def parse(cls, text: str, *, tls: ssl.SSLContext | None = None) -> Stow:
        """Returns the archive at the URL of a DICOMweb service, with or without `/studies` at its end.

        Raises:
            UsageError: the text is no such URL, or contains a user name or password.
        """
        remedy = "write e.g. https://archive:8042/dicom-web"
        try:
            parts = urlsplit(text)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or any(not 32 < ord(letter) < 127 for letter in text):
            raise UsageError("`stow`", "", "is not an http or https URL", remedy)
        if "@" in parts.netloc:
            raise UsageError(
                "`stow`", "", "contains a user name or password", f"set {_AUTHORIZATION} to the header's value"
            )
        if parts.query or parts.fragment:
            raise UsageError("`stow`", "", "has a query", remedy)
        url = text.rstrip("/")
        return cls(url if url.endswith("/studies") else f"{url}/studies", tls)

    def send(self, paths: Sequence[Path]) -> dict[Path, int]:
        """Send all instances in one request (`Archive.send`)."""
        from pydicom import dcmread

        uids = {path: str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for path in paths}
        status, body = self._post(paths)
        if status not in _ANSWERED:
            raise self._unavailable(f"answers {status}", "check its address, its log, and whether it accepts this node")
        statuses = statuses_of(body)
        # 200 alone means that all are stored; an archive may leave out the list
        unlisted = 0 if status == 200 and not statuses else _UNKNOWN
        return {path: statuses.get(uid, unlisted) for path, uid in uids.items()}

    def _post(self, paths: Sequence[Path]) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        boundary = secrets.token_hex(16)
        heads = [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() for _ in paths]
        end = f"--{boundary}--\r\n".encode()
        length = sum(len(head) + path.stat().st_size + 2 for head, path in zip(heads, paths, strict=True)) + len(end)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(length),
            "Accept": "application/dicom+json",
            "User-Agent": "insula",
        }
        if authorization := os.environ.get(_AUTHORIZATION, "").strip():
            headers["Authorization"] = authorization
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = self.tls or ssl.create_default_context()
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS, context=context)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
        try:
            connection.request("POST", parts.path, body=_body(heads, paths, end), headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_MOST_ANSWER)
        except ssl.SSLError:
            raise self._unavailable(
                "has a certificate that cannot be verified", "give the file of its authority with `set=archive_ca=FILE`"
            ) from None
        except (OSError, http.client.HTTPException, ValueError):
            raise self._unavailable("does not answer", "check its address, and whether it is running") from None
        finally:
            connection.close()

    def _unavailable(self, rule: str, remedy: str) -> Unavailable:
        return Unavailable("the archive", f"at {self.url}", rule, remedy)


def statuses_of(body: bytes) -> dict[str, int]:
    """Returns the status of each instance in an archive's answer, by its SOP Instance UID.

    Args:
        body: the answer, as DICOM JSON or native DICOM XML.

    Returns:
        0 or a warning for stored instances, the failure reason for the others; empty if the answer cannot be read.
    """
    text = body.decode("utf-8", errors="replace").lstrip("\ufeff \r\n\t")
    try:
        data = _from_xml(text) if text.startswith("<") else json.loads(text)
    except (ValueError, ElementTree.ParseError, RecursionError):
        return {}
    if isinstance(data, list):
        data = data[0] if data else {}
    statuses = {}
    for sequence, reason, otherwise in ((_STORED, _WARNING, 0), (_FAILED, _REASON, _NO_REASON)):
        for item in _values(data, sequence):
            for uid in _values(item, _INSTANCE)[:1]:
                codes = _values(item, reason)
                statuses[str(uid)] = _number(codes[0], otherwise) if codes else otherwise
    return statuses


def _body(heads: Iterable[bytes], paths: Iterable[Path], end: bytes) -> Iterator[bytes]:
    for head, path in zip(heads, paths, strict=True):
        yield head
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                yield piece
        yield b"\r\n"
    yield end


def _values(item: object, tag: str) -> list[object]:
    element = item.get(tag) if isinstance(item, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _number(code: object, otherwise: int) -> int:
    try:
        return int(code) if isinstance(code, int | float | str) else otherwise
    except (ValueError, OverflowError):
        return otherwise


def _from_xml(text: str) -> dict[str, object]:
    """Convert native DICOM XML (PS3.19 A.1) to the structure of DICOM JSON; no entity is resolved."""
    if "<!DOCTYPE" in text:
        raise ValueError
    return _item(ElementTree.fromstring(text))


def _item(node: ElementTree.Element) -> dict[str, object]:
    elements: dict[str, object] = {}
    for element in node:
        values: list[object] = [_item(item) for item in element if item.tag.endswith("Item")]
        values += [(item.text or "").strip() for item in element if item.tag.endswith("Value")]
        elements[element.get("tag", "")] = {"Value": values}
    return elements
