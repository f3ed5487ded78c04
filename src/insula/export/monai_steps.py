"""The steps before and after the network in a MONAI pipeline: dictionaries in, dictionaries out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from insula.checkpoint import load_weights
from insula.errors import UsageError
from insula.io import bare_name, read_scan, write_mask, write_prob
from insula.models import probabilities
from insula.postprocess import decide, find_brain, within_brain
from insula.prepare import prepare

__all__ = ["AfterNetwork", "BeforeNetwork"]


class BeforeNetwork:
    """Read and prepare a scan: `{"path": FILE}` becomes `{"path": FILE, "image": Tensor[1, i, j, k]}`.

    Reading is strict; the image is in RAS+ order, centred on the head, and normalised.

    Args:
        card: path of the weights' card, which determines the preparation.
    """

    def __init__(self, card: str) -> None:
        self._card = load_weights(card).card

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        path = Path(data["path"])
        prepared = prepare(read_scan(path, name=bare_name(path)), self._card.prepare)
        return {**data, "path": str(path), "image": prepared.image[0]}


class AfterNetwork:
    """Turn logits in the box into masks and probabilities on the scan's own grid, written as by `insula segment`.

    Args:
        card: path of the weights' card.
        output_dir: where NAME_mask.nii.gz, NAME_prob.nii.gz and, if the network predicts the brain, NAME_brain.nii.gz
            are written; created if missing.

    Raises:
        UsageError: two scans have the same name.
    """

    def __init__(self, card: str, output_dir: str) -> None:
        self._card, self._out = load_weights(card).card, Path(output_dir)
        self._paths: dict[str, Path] = {}

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        path, card = Path(data["path"]), self._card
        scan = read_scan(path, name=bare_name(path))
        if scan.name in self._paths and self._paths[scan.name] != path:
            raise UsageError("the scan", path, "has the same name as another scan", "give each scan its own name")
        self._paths[scan.name] = path
        logits = torch.as_tensor(data["pred"]).float().cpu()[None]  # (1, c, i, j, k)
        prepared, box_probs = prepare(scan, card.prepare), probabilities(logits, scaling=card.calibration.scaling)[0]
        lesion, *others = (prepared.bring_home(channel.numpy()) for channel in box_probs)
        brain = find_brain(others[0], scan.grid) if others else None
        prob = within_brain(lesion, brain)
        mask = decide(
            prob,
            scan.grid,
            threshold=card.threshold,
            min_lesion_ml=card.min_lesion_ml,
            brain=brain,
            calibration=card.calibration,
        )
        self._out.mkdir(parents=True, exist_ok=True)
        if brain is not None:
            write_mask(self._out / f"{scan.name}_brain.nii.gz", brain, file=scan.file)
        write_mask(self._out / f"{scan.name}_mask.nii.gz", mask, file=scan.file)
        write_prob(self._out / f"{scan.name}_prob.nii.gz", prob, scan.grid, file=scan.file)
        return {**data, "volume_ml": mask.volume_ml}
