"""Where training stands: written whole, verified, the last two kept."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from insula.errors import BadData
from insula.io import write_bytes

__all__ = ["has_state", "load_state", "save_state"]

_log = logging.getLogger(__name__)
_KEPT = 2
_DIGEST = 32


def save_state(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `state-STEP.pt`, its SHA-256 at the end, and drop all but the newest two.

    Args:
        folder: exists.
        step: optimiser steps done.
        state: tensors and plain values only, so that it loads without running code.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path = folder / f"state-{step:08d}.pt"
    write_bytes(path, data + hashlib.sha256(data).digest())
    for old in _found(folder)[_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def has_state(folder: Path) -> bool:
    """Whether there is a state, whole or not."""
    return bool(_found(folder))


def load_state(folder: Path, *, device: torch.device) -> dict[str, Any] | None:
    """The newest state that is whole; a damaged one is passed over with a warning in the log.

    Returns:
        The state, or None when there is none at all.

    Raises:
        BadData: there are states, and none is whole.
    """
    found = _found(folder)
    for path in found:
        data = path.read_bytes()
        if len(data) <= _DIGEST or hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
            _log.warning("%s is damaged; trying the one before", path.name)
            continue
        try:
            return torch.load(io.BytesIO(data[:-_DIGEST]), map_location=device, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise BadData(
                "the training state",
                path.name,
                "holds more than tensors and numbers",
                "never load states of unknown origin",
            ) from error
    if found:
        raise BadData(
            "the training states",
            ", ".join(p.name for p in found),
            "are all damaged",
            "delete them, or choose another --out",
        )
    return None


def _found(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"), reverse=True)
