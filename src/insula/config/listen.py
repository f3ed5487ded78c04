"""Configuration of the DICOM node."""

from __future__ import annotations

from typing import Literal

from insula.config.listing import knobs
from insula.config.serve import ServeConfig

__all__ = ["ListenConfig"]


@knobs
class ListenConfig:
    """Knobs of the node, and of the service behind it."""

    title: str = "INSULA"
    """AE title of the node, at most 16 characters; callers have to use it."""
    any_called: bool = False
    """Accept callers that use any other title."""
    callers: tuple[str, ...] = ()
    """AE titles that may send to the node; any if empty."""
    quiet_seconds: float = 10.0
    """A series is complete when no object of it has arrived for this long [s]."""
    send: tuple[Literal["seg", "probseg", "sr", "sc"], ...] = ("seg", "sr")
    """Results sent back: lesions, their probabilities, the report, the picture."""
    retry_seconds: float = 60.0
    """Objects that the archive did not take are sent again after this long [s]."""
    send_despite: tuple[str, ...] = (
        "copies-skipped",
        "field-of-view-cut",
        "first-images-missing",
        "image-numbers-missing",
        "lesion-at-box-rim",
        "thick-slices",
    )
    """Results with these warnings are sent; any other warning casts doubt on the scan and keeps its results from the
    archive."""
    send_tls: bool = False
    """Use TLS for C-STORE to the archive; the node presents `tls_cert` if it is set."""
    archive_ca: str = ""
    """File of CA certificates that the archive's certificate is checked against [PEM]; the system's if empty."""
    tls_cert: str = ""
    """File with the node's certificate and its chain [PEM]; if set, the node accepts TLS connections only."""
    tls_key: str = ""
    """File with the certificate's private key [PEM]."""
    tls_ca: str = ""
    """File of CA certificates for callers [PEM]; callers without a certificate signed by them are refused."""
    silent_seconds: float = 5.0
    """Time for a new connection to request an association, TLS handshake included [s]."""
    most_connections: int = 40
    """Most simultaneous connections."""
    most_per_caller: int = 10
    """Most simultaneous connections from the same network address."""
    most_mb: int = 512
    """Largest object that is accepted [MB]."""
    association_mb: int = 8192
    """Most data that a single association may send [MB]."""
    metrics_port: int | None = None
    """Port of the node's Prometheus metrics; no metrics if not given."""
    service: ServeConfig = ServeConfig()
    """Model, devices and limits of the jobs; tokens and uploads do not concern the node."""
