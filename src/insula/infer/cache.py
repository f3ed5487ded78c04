"""A cache on disk for what is slow to build and depends only on the weights."""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch
from platformdirs import user_cache_path

from insula.errors import InsulaError
from insula.io import write_bytes
from insula.models import UNet
from insula.types import VERSION

__all__ = ["kept"]

_log = logging.getLogger(__name__)
_CACHE = "INSULA_CACHE"


def kept(model: UNet, kind: str, make: Callable[[], bytes], *facts: object) -> Path:
    """Returns a file of the user's cache, built if it is missing or damaged.

    The cache is the folder `INSULA_CACHE`, or `insula` in the system's folder for caches. Each file's SHA-256 lies
    beside it (`NAME.sha256`) and is checked at every use: a damaged file could compute something else or crash the
    program. If the cache cannot be written, the file lies in a temporary folder until the program ends.

    Args:
        model: the file depends on its weights and architecture, and on the versions of insula and torch.
        kind: the file name's ending.
        make: returns the file's content.
        facts: everything else the file depends on.

    Returns:
        The path of the file.
    """
    name = f"{_digest(model, *facts)}.{kind}"
    folder = _folder()
    for path in (folder / name, _temporary_folder() / name) if folder else (_temporary_folder() / name,):
        with suppress(OSError):  # perhaps another user's file
            if os.access(path, os.R_OK) and path.is_file():
                if _is_whole(path):
                    return path
                _log.warning("%s in the cache is damaged; it is built again", path.name)
    content = make()
    with suppress(InsulaError, OSError):  # the cache may not be writable
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return _store(folder / name, content)
    return _store(_temporary_folder() / name, content)


def _store(path: Path, content: bytes) -> Path:
    """Write the content, then its SHA-256: a file without it does not count."""
    write_bytes(path, content)
    write_bytes(_hash_path(path), hashlib.sha256(content).hexdigest().encode())
    return path


def _is_whole(path: Path) -> bool:
    try:
        expected = _hash_path(path).read_bytes().strip()
    except FileNotFoundError:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode() == expected


def _hash_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _folder() -> Path | None:
    """Returns the cache folder; None without a home folder."""
    if configured := os.environ.get(_CACHE):
        return Path(configured)
    try:
        return user_cache_path("insula", appauthor=False)
    except RuntimeError:
        return None


@cache
def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="insula-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _digest(model: UNet, *facts: object) -> str:
    digest = hashlib.sha256(f"{VERSION} {torch.__version__} {facts} {model.config} {model}".encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
