"""What takes long to make and follows from the weights, kept from one start to the next."""

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

from insula.errors import InsulaError
from insula.io import write_bytes
from insula.models import UNet
from insula.types import VERSION

__all__ = ["kept"]

_log = logging.getLogger(__name__)
_CACHE = "INSULA_CACHE"


def kept(model: UNet, kind: str, make: Callable[[], bytes], *facts: object) -> Path:
    """A file in the user's cache (`INSULA_CACHE`, or `insula` in the system's place for caches), made if it is not there.

    Its SHA-256 lies beside it (`NAME.sha256`) and is checked each time: what is cut or damaged would compute something else, or end the program that
    loads it. It is made again then. Where nothing can be written it lies in a temporary folder until the program ends.

    Args:
        model: whose weights and architecture it follows from, with the versions of insula and torch.
        kind: the name's ending.
        make: its content.
        facts: what else it follows from.
    """
    name = f"{_digest(model, *facts)}.{kind}"
    folder = _folder()
    for path in (folder / name, _passing() / name) if folder else (_passing() / name,):
        with suppress(OSError):  # of somebody else, perhaps
            if os.access(path, os.R_OK) and path.is_file():
                if _is_whole(path):
                    return path
                _log.warning("%s in the cache is damaged; it is made again", path.name)
    content = make()
    with suppress(InsulaError, OSError):  # a cache that cannot be written is none
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return _store(folder / name, content)
    return _store(_passing() / name, content)


def _store(path: Path, content: bytes) -> Path:
    """The SHA-256 last: without it a file does not count."""
    write_bytes(path, content)
    write_bytes(_beside(path), hashlib.sha256(content).hexdigest().encode())
    return path


def _is_whole(path: Path) -> bool:
    try:
        wanted = _beside(path).read_bytes().strip()
    except FileNotFoundError:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode() == wanted


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _folder() -> Path | None:
    """None where there is no home."""
    if told := os.environ.get(_CACHE):
        return Path(told)
    system = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(system or Path.home() / ".cache") / "insula"
    except RuntimeError:
        return None


@cache
def _passing() -> Path:
    folder = tempfile.mkdtemp(prefix="insula-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _digest(model: UNet, *facts: object) -> str:
    digest = hashlib.sha256(f"{VERSION} {torch.__version__} {facts} {model.config} {model}".encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
