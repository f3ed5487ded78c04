"""Agreement lesion by lesion: `lesion F1` is two metrics, and both are here."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from insula.geometry import label_components

__all__ = ["LesionMatch", "SIZE_BINS", "cc_dice", "match_lesions", "size_bin"]

_EDGES = (10, 100, 1_000, 10_000)
SIZE_BINS = ("<10", "10-100", "100-1k", "1k-10k", ">=10k")
"""Lesion-size strata, in voxels."""
_TIE = 1e-3  # of a voxel: squared distances that differ by less than its square are equal, far above rounding


@dataclass(frozen=True, eq=False)
class LesionMatch:
    """Who meets whom, between the 26-connected pieces of two masks."""

    truth_sizes: NDArray[np.int64]
    """Voxels of each true lesion."""
    predicted_sizes: NDArray[np.int64]
    """Voxels of each predicted one."""
    truth_touched: NDArray[np.bool_]
    """True lesions that share at least one voxel with a prediction."""
    predicted_touched: NDArray[np.bool_]
    """Predictions that share at least one voxel with a true lesion."""
    predicted_labels: NDArray[np.uint32]
    """Which predicted lesion a voxel belongs to, from 1; 0 for none."""
    pairs: tuple[tuple[int, int, float], ...]
    """One-to-one: (true lesion, predicted lesion, IoU), IoU at or above the threshold, best pairs first."""

    @property
    def f1_any(self) -> float:
        """F1 where one common voxel is enough; 1 when there is nothing to find and nothing was found."""
        hit, missed = int(self.truth_touched.sum()), int((~self.truth_touched).sum())
        return _f1(hit, missed, int((~self.predicted_touched).sum()))

    @property
    def recognition_quality(self) -> float:
        """F1 over one-to-one pairs; 1 when there is nothing to find and nothing was found."""
        found = len(self.pairs)
        return _f1(found, len(self.truth_sizes) - found, len(self.predicted_sizes) - found)

    @property
    def count_difference(self) -> int:
        """Predicted lesions minus true ones."""
        return len(self.predicted_sizes) - len(self.truth_sizes)


def match_lesions(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], *, least_iou: float = 0.25) -> LesionMatch:
    """Label both masks (26-connected) and match their pieces.

    One-to-one pairs are taken greedily from the highest IoU down, each lesion used once.

    Args:
        truth: (i, j, k).
        predicted: on the same grid.
        least_iou: below it, two lesions are no pair.

    Source:
        Kofler 2023, Panoptica, arXiv 2312.02608 (Recognition Quality, naive threshold matching).
    """
    ones, count_true = label_components(truth)
    others, count_predicted = label_components(predicted)
    true_sizes, predicted_sizes = _sizes(ones[truth], count_true), _sizes(others[predicted], count_predicted)
    both = truth & predicted
    joint, common = np.unique(
        ones[both].astype(np.int64) * (count_predicted + 1) + others[both].astype(np.int64), return_counts=True
    )
    i, j = joint // (count_predicted + 1) - 1, joint % (count_predicted + 1) - 1
    iou = common / (true_sizes[i] + predicted_sizes[j] - common)
    pairs: list[tuple[int, int, float]] = []
    used_i, used_j = set[int](), set[int]()
    for n in np.argsort(-iou, kind="stable"):
        a, b = int(i[n]), int(j[n])
        if iou[n] >= least_iou and a not in used_i and b not in used_j:
            pairs.append((a, b, float(iou[n])))
            used_i.add(a)
            used_j.add(b)
    touched, reached = np.zeros(count_true, bool), np.zeros(count_predicted, bool)
    touched[i] = True
    reached[j] = True
    return LesionMatch(true_sizes, predicted_sizes, touched, reached, others, tuple(pairs))


def cc_dice(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], axes_mm: NDArray[np.float64]) -> float:
    """Mean Dice over true lesions, each judged in its own neighbourhood, so that a large one cannot hide small ones.

    Every predicted voxel belongs to the true lesion nearest to it in millimetres (the lower label where two are equally
    near). Nothing to find: 1 if nothing was found, else 0.

    Args:
        truth: (i, j, k).
        predicted: on the same grid.
        axes_mm: the affine's 3x3 part; its columns are one step along i, j and k [mm].

    Source:
        Jaus 2024, Every component counts, arXiv 2410.18684 (CC-Metrics).
    """
    labels, count = label_components(truth)
    if count == 0:
        return 0.0 if predicted.any() else 1.0
    places = np.argwhere(truth)
    owner = labels[tuple(places.T)].astype(np.int64)
    found = np.argwhere(predicted)
    nearest = np.zeros(len(found), np.int64)
    if len(found):
        least_mm = float(np.linalg.norm(axes_mm, axis=0).min())
        rank = np.sqrt(owner / count) * (_TIE * least_mm)  # a fourth axis, too short to matter but between equals
        tree = cKDTree(np.column_stack([places @ axes_mm.T, rank]))
        nearest = owner[tree.query(np.pad(found @ axes_mm.T, ((0, 0), (0, 1))))[1]]
    size = np.bincount(owner, minlength=count + 1)[1:]
    claimed = np.bincount(nearest, minlength=count + 1)[1:]
    right = np.bincount(labels[truth & predicted].astype(np.int64), minlength=count + 1)[1:]
    return float(np.mean(2 * right / (size + claimed)))


def size_bin(voxels: int) -> str:
    """The stratum of a number of voxels, one of `SIZE_BINS`; the lower edge belongs to the bin."""
    return SIZE_BINS[bisect_right(_EDGES, voxels)]


def _sizes(labels: NDArray[np.unsignedinteger], count: int) -> NDArray[np.int64]:
    return np.bincount(labels, minlength=count + 1)[1:].astype(np.int64)


def _f1(found: int, missed: int, false: int) -> float:
    total = 2 * found + missed + false
    return 2 * found / total if total else 1.0
