"""How the service runs, and for whom."""

from __future__ import annotations

from insula.config.listing import knobs
from insula.types import DEFAULT_WEIGHTS

__all__ = ["ServeConfig", "TokenConfig"]


@knobs
class TokenConfig:
    """Someone who may use the service, and sees their own jobs only."""

    owner: str
    """A name for the jobs; not a person's, for it is kept with them."""
    sha256: str
    """Of the token, in hexadecimal; the token itself is kept nowhere."""
    expires: str = ""
    """A date such as 2027-01-31, the last day; never if empty."""


@knobs
class ServeConfig:
    """The service's limits."""

    model: str = DEFAULT_WEIGHTS
    """Bundled weights by name, or a folder or file."""
    devices: tuple[str, ...] = ("auto",)
    """One worker process for each."""
    most_queued: int = 32
    """Jobs that wait; more are turned away for a while."""
    most_uploads: int = 64
    """Uploads that come at the same time; they have no place in the queue until they are complete."""
    most_mb: int = 512
    """Of an upload [MB]."""
    keep_hours: float = 24.0
    """After which a job and its results are deleted."""
    attempts: int = 2
    """How often a job is begun whose worker died; then it has failed."""
    job_minutes: float = 15.0
    """After which a worker is stopped that is still at one job."""
    header_seconds: float = 10.0
    """In which a request's head has to come."""
    body_seconds: float = 30.0
    """In which each next piece of an upload has to come; what takes longer altogether has to come at 10 kB a second."""
    upload_minutes: float = 30.0
    """In which an upload has to be complete."""
    failed_tokens: int = 10
    """Wrong tokens that one network address may send in a minute; then it has to wait, unless its token was right before."""
    audit: str = ""
    """A file that says who did what and when, a line of JSON for each; none if empty."""
    origins: tuple[str, ...] = ()
    """Other sites whose pages may call the service (CORS); none by default."""
    tokens: tuple[TokenConfig, ...] = ()
    """Who may use it; if empty, whoever has the one token that is printed at the start, or stands in INSULA_TOKEN."""
