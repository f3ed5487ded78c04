"""Training states: written atomically, verified by hash, the last two kept."""

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
    """Write `state-STEP.pt` with its SHA-256 at the end, and delete all but the newest two states.

    Args:
        folder: an existing folder.
        step: optimiser steps done.
        state: tensors and plain values only, so that loading runs no code.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    path = folder / f"state-{step:08d}.pt"
    write_bytes(path, data + hashlib.sha256(data).digest())
    for old in _state_files(folder)[_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def has_state(folder: Path) -> bool:
    """Returns whether the folder holds a state, intact or damaged."""
    return bool(_state_files(folder))


def load_state(folder: Path, *, device: torch.device) -> dict[str, Any] | None:
    """Load the newest intact state; damaged states are skipped with a warning in the log.

    Returns:
        The state, or None if the folder holds none.

    Raises:
        BadData: the folder holds states and all are damaged, or a state holds more than tensors and numbers.
    """
    paths = _state_files(folder)
    for path in paths:
        data = path.read_bytes()
        if len(data) <= _DIGEST or hashlib.sha256(data[:-_DIGEST]).digest() != data[-_DIGEST:]:
            _log.warning("%s is damaged; trying the previous state", path.name)
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
    if paths:
        raise BadData(
            "the training states",
            ", ".join(path.name for path in paths),
            "are all damaged",
            "delete them, or choose another `out`",
        )
    return None


def _state_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("state-*.pt"), reverse=True)
