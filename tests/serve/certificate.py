"""Certificates that tests make for themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["make_certificate"]


def make_certificate(key: Path, certificate: Path, *, name: str = "localhost", hosts: str = "DNS:localhost") -> None:
    """Write a self-signed certificate and its private key, both PEM.

    Args:
        key: the file of the key.
        certificate: the file of the certificate.
        name: its common name.
        hosts: its subjectAltName.
    """
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2".split()
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={hosts}"]
    command = [*words, *subject, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
