"""Certificates: the node's own, and those of whom it believes."""

from __future__ import annotations

import ssl

from insula.config import ListenConfig
from insula.errors import BadData, NoInput, UsageError

__all__ = ["archive_context", "node_context"]


def node_context(config: ListenConfig) -> ssl.SSLContext | None:
    """How callers are spoken to; None means without TLS.

    Raises:
        UsageError: a certificate without its key, or the other way round.
        NoInput, BadData: a file that is not there, or holds something else.
    """
    if bool(config.tls_cert) != bool(config.tls_key):
        raise UsageError("--tls-cert", "and --tls-key", "go together", "name both files")
    if not config.tls_cert:
        if config.tls_ca:
            raise UsageError("--tls-ca", "", "needs a certificate of the node's own", "add --tls-cert and --tls-key")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _own(context, config)
    if config.tls_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        _believed(context, "--tls-ca", config.tls_ca)
    return context


def archive_context(config: ListenConfig) -> ssl.SSLContext:
    """How an archive is called; its certificate has to be of its name.

    Raises:
        NoInput, BadData: as `node_context`.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.tls_cert:
        _own(context, config)
    if config.archive_ca:
        _believed(context, "archive_ca", config.archive_ca)
    return context


def _own(context: ssl.SSLContext, config: ListenConfig) -> None:
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password)
    except FileNotFoundError:
        raise NoInput("the certificate", "or its key", "does not exist", "check --tls-cert and --tls-key") from None
    except (OSError, ValueError):  # SSLError is an OSError
        rule = "cannot be read, or do not belong together"
        raise BadData("the certificate", "and its key", rule, "give PEM files, the key without a password") from None


def _believed(context: ssl.SSLContext, option: str, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except FileNotFoundError:
        raise NoInput("the certificates", path, "do not exist", f"check {option}") from None
    except (OSError, ValueError):
        raise BadData("the certificates", path, "cannot be read", f"give {option} a PEM file") from None


def _no_password() -> str:
    """Instead of asking on the terminal."""
    raise ValueError
