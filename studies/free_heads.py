"""Real heads without a lesion: how much is called lesion all the same, and how well the brain is found.

    python -m studies.free_heads --data DATA [--weights smart] [--out FILE]

Every head of DATA/hosts with a DLMUSE label map is segmented with its skull, without it (cut to its labels), at 1 mm
and in slices of 3 mm; the figures are lesion volume and Dice of the brain mask with the labels. Heads of the training
part are listed apart: only the others tell something about new heads. Scans of other diseases (`--others`, NIfTI files)
are segmented as they are.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import insula
from insula.checkpoint import Weights, load_weights
from insula.config import SegmentConfig
from insula.geometry import Grid, resample
from insula.io import read_labels, read_scan, write_json
from insula.metrics import dice_score
from insula.synthetic.sources import part_of_host
from insula.volume import Scan

_THICK_MM = 3.0


def on_grid(scan: Scan, labels: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[Scan, np.ndarray]:
    """The head and its brain at another spacing, along the scan's own axes."""
    steps = np.array(spacing_mm) / scan.grid.spacing_mm
    shape = tuple(int(n) for n in np.floor((np.array(scan.grid.shape) - 1) / steps).astype(int) + 1)
    grid = Grid((shape[0], shape[1], shape[2]), scan.grid.affine @ np.diag([*steps, 1.0]))
    brain = resample((labels > 0).astype(np.float32), scan.grid, grid) > 0.5
    return replace(scan, image=resample(scan.image, scan.grid, grid), grid=grid, file=None), brain


def views(scan: Scan, labels: np.ndarray) -> dict[str, tuple[Scan, np.ndarray]]:
    """The four versions of a head, by name."""
    brain = labels > 0
    thick = tuple(_THICK_MM if axis == 2 else mm for axis, mm in enumerate(scan.grid.spacing_mm))
    return {
        "with skull": (scan, brain),
        "without skull": (replace(scan, image=np.where(brain, scan.image, np.float32(0)), file=None), brain),
        "1 mm": on_grid(scan, labels, (1.0, 1.0, 1.0)),
        "3 mm slices": on_grid(scan, labels, (thick[0], thick[1], thick[2])),
    }


def look(scan: Scan, brain: np.ndarray | None, weights: Weights) -> dict[str, Any]:
    """Lesion volume and count of one head; with a brain output, the lesion outside the brain and the brain's Dice."""
    result = insula.segment(scan, SegmentConfig(device="auto"), weights=weights)
    row: dict[str, Any] = {"lesion_ml": round(result.volume_ml, 3), "lesions": len(result.lesions)}
    if result.brain is not None:
        row["outside_brain"] = int((result.mask.voxels & ~result.brain.voxels).sum())
        if brain is not None:
            row["brain_dice"] = round(dice_score(brain, result.brain.voxels), 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with hosts/*/T1w.nii.gz and dlmuse.nii.gz")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="scans of other diseases")
    parser.add_argument("--weights", default="smart")
    parser.add_argument("--views", default="with skull,without skull,1 mm,3 mm slices")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    weights, rows = load_weights(arguments.weights), list[dict[str, Any]]()
    for path in sorted(arguments.data.glob("hosts/*/T1w.nii.gz")):
        scan, (labels, _) = read_scan(path), read_labels(path.with_name("dlmuse.nii.gz"))
        for view, (head, brain) in views(scan, labels).items():
            if view in arguments.views.split(","):
                part = part_of_host(path)
                rows.append({"head": path.parent.name, "part": part, "way": view, **look(head, brain, weights)})
                print(*rows[-1].values(), sep="\t", flush=True)
    for path in arguments.others:
        rows.append(
            {"head": path.name, "part": "other disease", "way": "as it is", **look(read_scan(path), None, weights)}
        )
        print(*rows[-1].values(), sep="\t", flush=True)
    print()
    for part in dict.fromkeys(row["part"] for row in rows):
        for view in dict.fromkeys(row["way"] for row in rows if row["part"] == part):
            some = [row for row in rows if (row["part"], row["way"]) == (part, view)]
            volumes = [row["lesion_ml"] for row in some]
            dice = [row["brain_dice"] for row in some if "brain_dice" in row]
            note = f"brain Dice {statistics.fmean(dice):.3f}, least {min(dice):.3f}" if dice else ""
            print(
                f"{part:14s} {view:14s} n = {len(some):2d}: empty {sum(not v for v in volumes)}, "
                f"median {statistics.median(volumes):.2f} ml, most {max(volumes):.2f} ml; {note}"
            )
    if arguments.out is not None:
        write_json(arguments.out, {"weights": weights.sha256, "heads": rows})


if __name__ == "__main__":
    main()
