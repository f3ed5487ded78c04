"""TLS settings: the node's own certificate, and the certificate authorities that it trusts."""

from __future__ import annotations

import ssl

from insula.config import ListenConfig
from insula.errors import BadData, NoInput, UsageError

__all__ = ["archive_context", "node_context"]


def node_context(config: ListenConfig) -> ssl.SSLContext | None:
    """Returns the TLS settings for callers; None for no TLS.

    Raises:
        UsageError: a certificate without its key, or a key without its certificate.
        NoInput, BadData: a file does not exist, or has other content.
    """
    if bool(config.tls_cert) != bool(config.tls_key):
        raise UsageError("`tls_cert`", "and `tls_key`", "go together", "name both files")
    if not config.tls_cert:
        if config.tls_ca:
            raise UsageError("`tls_ca`", "", "needs the node's own certificate", "add `tls_cert` and `tls_key`")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, config)
    if config.tls_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_trusted(context, "`tls_ca`", config.tls_ca)
    return context


def archive_context(config: ListenConfig) -> ssl.SSLContext:
    """Returns the TLS settings for archives; an archive's certificate must match its host name.

    Raises:
        NoInput, BadData: as `node_context`.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.tls_cert:
        _load_own(context, config)
    if config.archive_ca:
        _load_trusted(context, "archive_ca", config.archive_ca)
    return context


def _load_own(context: ssl.SSLContext, config: ListenConfig) -> None:
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password=_no_password)
    except FileNotFoundError:
        raise NoInput("the certificate", "or its key", "does not exist", "check `tls_cert` and `tls_key`") from None
    except (OSError, ValueError):  # SSLError is an OSError
        rule = "cannot be read, or do not match"
        raise BadData("the certificate", "and its key", rule, "give PEM files, the key without a password") from None


def _load_trusted(context: ssl.SSLContext, option: str, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except FileNotFoundError:
        raise NoInput("the certificates", path, "do not exist", f"check {option}") from None
    except (OSError, ValueError):
        raise BadData("the certificates", path, "cannot be read", f"give {option} a PEM file") from None


def _no_password() -> str:
    """Refuse an encrypted key instead of asking for its password on the terminal."""
    raise ValueError
