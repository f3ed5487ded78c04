"""How the DICOM node behaves."""

from __future__ import annotations

from typing import Literal

from insula.config.listing import knobs
from insula.config.serve import ServeConfig

__all__ = ["ListenConfig"]


@knobs
class ListenConfig:
    """The node, and the service behind it."""

    title: str = "INSULA"
    """Its AE title, at most 16 characters; callers have to call it by this."""
    any_called: bool = False
    """Whether callers may call it by any title."""
    callers: tuple[str, ...] = ()
    """AE titles that may send to it; any if empty."""
    quiet_seconds: float = 10.0
    """A series is complete when nothing of it has come for so long."""
    send: tuple[Literal["seg", "probseg", "sr", "sc"], ...] = ("seg", "sr")
    """What is sent back: lesions, their probabilities, the report, the picture."""
    retry_seconds: float = 60.0
    """After which what the archive did not take is offered again."""
    send_despite: tuple[str, ...] = (
        "copies-skipped",
        "field-of-view-cut",
        "first-images-missing",
        "image-numbers-missing",
        "lesion-at-box-rim",
        "thick-slices",
    )
    """Warnings with which results are sent all the same; any other is a doubt about the scan, and keeps them from the archive."""
    send_tls: bool = False
    """Whether C-STORE to the archive goes by TLS; the node shows `tls_cert` if it is given."""
    archive_ca: str = ""
    """Certificates of those who may sign an archive's [PEM]; the system's if empty."""
    tls_cert: str = ""
    """A file with the node's certificate, and those it rests on [PEM]; the node then listens by TLS only."""
    tls_key: str = ""
    """The certificate's private key [PEM]."""
    tls_ca: str = ""
    """Certificates of those who may sign a caller's; callers without such a certificate are turned away."""
    silent_seconds: float = 5.0
    """In which a new connection has to ask for an association, TLS included."""
    most_connections: int = 40
    """At once."""
    most_per_caller: int = 10
    """At once, of one network address."""
    most_mb: int = 512
    """The largest object that is taken [MB]."""
    association_mb: int = 8192
    """The most that one association may send [MB]."""
    metrics_port: int | None = None
    """At which Prometheus finds the node's metrics; nowhere if not given."""
    service: ServeConfig = ServeConfig()
    """Model, devices and limits of the jobs; tokens and uploads do not concern the node."""
