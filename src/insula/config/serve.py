"""Configuration of the service and of its users."""

from __future__ import annotations

from insula.config.listing import knobs
from insula.types import DEFAULT_WEIGHTS

__all__ = ["ServeConfig", "TokenConfig"]


@knobs
class TokenConfig:
    """A user of the service, who sees only their own jobs."""

    owner: str
    """Name stored with the jobs; do not use a person's name."""
    sha256: str
    """SHA-256 of the token in hexadecimal; the token itself is stored nowhere."""
    expires: str = ""
    """Last valid day, e.g. 2027-01-31; never expires if empty."""


@knobs
class ServeConfig:
    """Model, devices and limits of the service."""

    model: str = DEFAULT_WEIGHTS
    """Bundled weights by name, or a folder or file."""
    devices: tuple[str, ...] = ("auto",)
    """Devices; each gets a worker process."""
    most_queued: int = 32
    """Most waiting jobs; further jobs are refused for a while."""
    most_uploads: int = 64
    """Most simultaneous uploads; an upload joins the queue only when it is complete."""
    most_mb: int = 512
    """Largest upload [MB]."""
    keep_hours: float = 24.0
    """A job and its results are deleted after this long [h]."""
    attempts: int = 2
    """How often a job is started if its worker dies; after that it has failed."""
    job_minutes: float = 15.0
    """A worker that is still at the same job after this long is stopped [min]."""
    header_seconds: float = 10.0
    """Time for a request's header to arrive [s]."""
    body_seconds: float = 30.0
    """Time for each next piece of an upload to arrive [s]; an upload that takes longer in total must arrive at 10
    kB/s."""
    upload_minutes: float = 30.0
    """Time for an upload to complete [min]."""
    failed_tokens: int = 10
    """Wrong tokens that a network address may send per minute; after that it has to wait, unless its token was right
    before."""
    audit: str = ""
    """File that logs who did what and when, a line of JSON per event; no log if empty."""
    origins: tuple[str, ...] = ()
    """Other origins whose pages may call the service (CORS); none by default."""
    tokens: tuple[TokenConfig, ...] = ()
    """Users of the service; if empty, anyone with the single token that is printed at the start or set in
    INSULA_TOKEN."""
