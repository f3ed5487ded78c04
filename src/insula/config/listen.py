"""How the DICOM node behaves."""

from __future__ import annotations

from typing import Literal

from insula.config.knobs import knobs
from insula.config.serve import ServeConfig

__all__ = ["ListenConfig"]


@knobs
class ListenConfig:
    """The node, and the service behind it."""

    title: str = "INSULA"
    """Its AE title, at most 16 characters."""
    callers: tuple[str, ...] = ()
    """AE titles that may send to it; any if empty."""
    quiet_seconds: float = 10.0
    """A series is complete when nothing of it has come for so long."""
    send: tuple[Literal["seg", "probseg", "sr", "sc"], ...] = ("seg", "sr")
    """What is sent back: lesions, their probabilities, the report, the picture."""
    retry_seconds: float = 60.0
    """After which what the archive did not take is offered again."""
    service: ServeConfig = ServeConfig()
    """Model, devices and limits of the jobs; tokens and uploads do not concern the node."""
