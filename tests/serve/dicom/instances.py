"""Single DICOM images, and a receiver that gets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from insula.serve.dicom.receive import Receiver
from io_series import header, sample, save, with_pixels

MR = "1.2.840.10008.5.1.4.1.1.4"


def image(path: Path, change: Callable[[Dataset], Any] = lambda _: None, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """A slice that was changed before it was stored."""
    packed = syntax in (RLELossless, JPEGLSLossless)
    data = with_pixels(header(0), sample()[:, :, 0], ExplicitVRLittleEndian if packed else syntax)
    change(data)
    if packed:
        data.compress(syntax, generate_instance_uid=False)
    return save(data, path)


class _Event(SimpleNamespace):
    path: Path

    @property
    def dataset(self) -> Dataset:
        return dcmread(self.path)

    def encoded_dataset(self) -> bytes:
        return self.path.read_bytes()


def send(receiver: Receiver, path: Path, title: str = "SCANNER") -> int:
    """Hand a file to a receiver as C-STORE does; the status."""
    event: Any = _Event(
        path=path,
        context=SimpleNamespace(abstract_syntax=MR),
        assoc=SimpleNamespace(requestor=SimpleNamespace(ae_title=title)),
    )
    return receiver.store(event)


def other_pixel(data: Dataset) -> None:
    """Change one bit of the first pixel."""
    data.PixelData = bytes([data.PixelData[0] ^ 1]) + data.PixelData[1:]
