"""Every function that leaves a file, as (name, final file, write version n)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from insula.checkpoint import Card, save_state, save_weights
from insula.config import AttentionUNet, PrepareConfig
from insula.geometry import Grid
from insula.io import Placement, write_bytes, write_json, write_mask, write_metaimage, write_prob, write_text
from insula.volume import Mask

_GRID = Grid((24, 24, 24), np.eye(4))
_MODEL = AttentionUNet(widths=(2, 4))


def _state(folder: Path, n: int) -> None:
    save_state(folder, 1, {"step": n, "weights": torch.full((20_000,), float(n))})


def _weights(folder: Path, n: int) -> None:
    from insula.models import build_model

    torch.manual_seed(n)
    save_weights(folder, build_model(_MODEL), Card(name="w", model=_MODEL, prepare=PrepareConfig()))


def _noise(n: int) -> np.ndarray:
    return np.random.default_rng(n).random(_GRID.shape, dtype=np.float32)


WRITERS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "bytes": ("a.bin", lambda folder, n: write_bytes(folder / "a.bin", bytes([n]) * 300_000)),
    "text": ("a.txt", lambda folder, n: write_text(folder / "a.txt", f"{n} " * 50_000)),
    "json": ("a.json", lambda folder, n: write_json(folder / "a.json", {"n": [n] * 20_000})),
    "mask": ("m.nii.gz", lambda folder, n: write_mask(folder / "m.nii.gz", Mask(_noise(n) > 0.5, _GRID))),
    "prob": ("p.nii.gz", lambda folder, n: write_prob(folder / "p.nii.gz", _noise(n), _GRID)),
    "metaimage": ("p.mha", lambda folder, n: write_metaimage(folder / "p.mha", _noise(n), Placement.of(_GRID))),
    "state": ("state-00000001.pt", _state),
    "weights": ("w.safetensors", _weights),
}
