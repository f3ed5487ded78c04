"""Lesion-wise agreement of two masks, with both metrics that go by the name of lesion F1."""

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
_TIE = 1e-3  # of a voxel; squared distances that differ by less than its square count as equal, far above rounding


@dataclass(frozen=True, eq=False)
class LesionMatch:
    """Correspondence between the 26-connected components of two masks."""

    truth_sizes: NDArray[np.int64]
    """Size of each true lesion [voxels]."""
    predicted_sizes: NDArray[np.int64]
    """Size of each predicted lesion [voxels]."""
    truth_touched: NDArray[np.bool_]
    """Whether each true lesion shares at least one voxel with a prediction."""
    predicted_touched: NDArray[np.bool_]
    """Whether each predicted lesion shares at least one voxel with a true one."""
    predicted_labels: NDArray[np.uint32]
    """Label of the predicted lesion that each voxel belongs to, from 1; 0 for none."""
    pairs: tuple[tuple[int, int, float], ...]
    """One-to-one matches (true lesion, predicted lesion, IoU) with an IoU at or above the threshold, best first."""

    @property
    def f1_any(self) -> float:
        """F1 for which one common voxel is a detection; 1 if both masks are empty."""
        hit, missed = int(self.truth_touched.sum()), int((~self.truth_touched).sum())
        return _f1(hit, missed, int((~self.predicted_touched).sum()))

    @property
    def recognition_quality(self) -> float:
        """F1 over one-to-one matches; 1 if both masks are empty."""
        matched = len(self.pairs)
        return _f1(matched, len(self.truth_sizes) - matched, len(self.predicted_sizes) - matched)

    @property
    def count_difference(self) -> int:
        """Number of predicted lesions minus number of true ones."""
        return len(self.predicted_sizes) - len(self.truth_sizes)


def match_lesions(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], *, least_iou: float = 0.25) -> LesionMatch:
    """Label both masks (26-connected) and match their components.

    One-to-one pairs are taken greedily by descending IoU, and each lesion is used once.

    Args:
        truth: (i, j, k).
        predicted: on the same grid.
        least_iou: smallest IoU of a pair.

    Source:
        Kofler 2023, Panoptica, arXiv 2312.02608 (Recognition Quality, naive threshold matching).
    """
    truth_labels, count_true = label_components(truth)
    predicted_labels, count_predicted = label_components(predicted)
    true_sizes, predicted_sizes = (
        _sizes(truth_labels[truth], count_true),
        _sizes(predicted_labels[predicted], count_predicted),
    )
    both = truth & predicted
    joint, common = np.unique(
        truth_labels[both].astype(np.int64) * (count_predicted + 1) + predicted_labels[both].astype(np.int64),
        return_counts=True,
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
    return LesionMatch(true_sizes, predicted_sizes, touched, reached, predicted_labels, tuple(pairs))


def cc_dice(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], axes_mm: NDArray[np.float64]) -> float:
    """Return the mean Dice over true lesions, each scored in its own neighbourhood.

    A large lesion can therefore not hide small ones. Each predicted voxel belongs to the true lesion nearest to it in
    millimetres (to the lower label if two are equally near). With an empty truth: 1 if the prediction is empty, else 0.

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
    predicted_places = np.argwhere(predicted)
    nearest = np.zeros(len(predicted_places), np.int64)
    if len(predicted_places):
        least_mm = float(np.linalg.norm(axes_mm, axis=0).min())
        rank = np.sqrt(owner / count) * (_TIE * least_mm)  # a fourth axis, so short that it only breaks ties
        tree = cKDTree(np.column_stack([places @ axes_mm.T, rank]))
        nearest = owner[tree.query(np.pad(predicted_places @ axes_mm.T, ((0, 0), (0, 1))))[1]]
    size = np.bincount(owner, minlength=count + 1)[1:]
    claimed = np.bincount(nearest, minlength=count + 1)[1:]
    right = np.bincount(labels[truth & predicted].astype(np.int64), minlength=count + 1)[1:]
    return float(np.mean(2 * right / (size + claimed)))


def size_bin(voxels: int) -> str:
    """Return the stratum of a number of voxels, one of `SIZE_BINS`; the lower edge belongs to the bin."""
    return SIZE_BINS[bisect_right(_EDGES, voxels)]


def _sizes(labels: NDArray[np.unsignedinteger], count: int) -> NDArray[np.int64]:
    return np.bincount(labels, minlength=count + 1)[1:].astype(np.int64)


def _f1(matched: int, missed: int, false: int) -> float:
    total = 2 * matched + missed + false
    return 2 * matched / total if total else 1.0
