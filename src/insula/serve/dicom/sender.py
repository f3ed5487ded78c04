"""Send results to an archive by C-STORE, and return its status for each instance."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from insula.errors import Unavailable, UsageError

__all__ = ["Archive", "Target", "send", "stored"]

_SUCCESS = 0x0000
_CONNECT_SECONDS = 10.0
_WARNINGS = range(0xB000, 0xC000)  # stored, with some elements changed


class Archive(Protocol):
    """An archive to which results can be sent."""

    statuses: ClassVar[str]
    """Name of the file in a job's folder that keeps the archive's statuses."""

    def send(self, paths: Sequence[Path]) -> dict[Path, int]:
        """Send DICOM files.

        Returns:
            The status of each file (DICOM PS3.7 C.2): 0 and warnings mean that it is stored; -1 means that the archive
            gave none.

        Raises:
            Unavailable: the archive does not answer, or accepts nothing.
        """


@dataclass(frozen=True)
class Target:
    """An archive that is reached by C-STORE."""

    host: str
    port: int
    title: str
    caller: str = "INSULA"
    """Our own AE title."""
    tls: ssl.SSLContext | None = field(default=None, compare=False)
    """TLS settings of the connection; None for no TLS."""
    statuses: ClassVar[str] = "sent.json"

    @classmethod
    def parse(cls, text: str, *, caller: str = "INSULA", tls: ssl.SSLContext | None = None) -> Target:
        """Returns the target described by TITLE@HOST:PORT.

        Raises:
            UsageError: the text does not have this form.
        """
        title, _, address = text.partition("@")
        host, _, port = address.rpartition(":")
        if not (title and host and port.isdigit() and len(title) <= 16):
            raise UsageError("`send`", text, "is not TITLE@HOST:PORT", "write e.g. ORTHANC@127.0.0.1:4242")
        return cls(host.strip("[]"), int(port), title, caller, tls)

    def send(self, paths: Sequence[Path]) -> dict[Path, int]:
        """Send instances by C-STORE (`Archive.send`)."""
        return send(paths, self, title=self.caller)


def send(paths: Sequence[Path], target: Target, *, title: str) -> dict[Path, int]:
    """Send files to an archive by C-STORE.

    Args:
        paths: DICOM files.
        target: the archive.
        title: our own AE title.

    Returns:
        The status of each file (DICOM PS3.7 C.2): 0 and warnings mean that it is stored; -1 means that there is none.

    Raises:
        Unavailable: the archive does not answer, or accepts none of the files.
    """
    from pydicom import dcmread
    from pynetdicom import AE

    objects = {path: dcmread(path) for path in paths}
    caller = AE(ae_title=title)
    caller.connection_timeout = _CONNECT_SECONDS
    for data in objects.values():
        caller.add_requested_context(data.SOPClassUID, data.file_meta.TransferSyntaxUID)
    tls = (target.tls, target.host) if target.tls is not None else None
    association = caller.associate(target.host, target.port, ae_title=target.title, tls_args=tls)
    if not association.is_established:
        rule = "does not answer, or does not accept this node"
        raise Unavailable(
            "the archive",
            f"{target.title} at {target.host}:{target.port}",
            rule,
            "check its address, and whether it accepts this node",
        )
    statuses: dict[Path, int] = {}
    try:
        for path, data in objects.items():
            try:
                answer = association.send_c_store(data)
            except (ValueError, RuntimeError):  # not negotiated, or the archive hung up
                statuses[path] = -1
                continue
            statuses[path] = int(answer.Status) if "Status" in answer else -1
    finally:
        if association.is_established:
            association.release()
    return statuses


def stored(status: int) -> bool:
    """Returns whether a status means that the archive has stored the instance."""
    return status == _SUCCESS or status in _WARNINGS
