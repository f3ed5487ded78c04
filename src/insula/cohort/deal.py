"""Divides a cohort into balanced parts without splitting groups that belong together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from insula.cohort.examination import CheckedCase
from insula.errors import UsageError
from insula.metrics import size_bin

__all__ = ["By", "connected", "deal", "strata_of"]

By = Literal["centre", "random"]

_CANDIDATES = 1000
_KEPT = 0.1  # share of best candidates, among which one is drawn
_KEPT_LEAST = 3
_SIZE_RANGE = (2 / 3, 3 / 2)  # allowed size of a part relative to its share, if any candidate has it


def deal(cases: Sequence[CheckedCase], *, by: By, shares: Sequence[float], seed: int) -> list[set[str]]:
    """Deal whole groups at random so that every part gets about its share of cases and of every stratum.

    A group is a subject (or a centre), together with all others that it shares an image with. Each of 1000 candidate
    splits gives one random group to every part, and the others, in random order, to the part that is then farthest
    below its share. Then a group is drawn; of the candidates that have it in their first part, one of the best-balanced
    tenth (at least three) is drawn. So another seed tests other centres: any that fits into the first part.

    Args:
        cases: the cases to divide.
        by: `centre` keeps centres whole, `random` only subjects.
        shares: the share of each part; they sum to 1.
        seed: the same seed gives the same parts.

    Returns:
        The case names of each part.

    Raises:
        UsageError: fewer groups than parts.
    """
    groups = _groups(cases, by)
    if len(groups) < len(shares):
        what = "centres" if by == "centre" else "subjects"
        raise UsageError(
            "the cohort",
            f"of {len(groups)} {what}",
            f"cannot be dealt into {len(shares)} parts",
            "use fewer folds" if by == "random" else "use `by=random`, or fewer folds",
        )
    rng = np.random.default_rng(seed)
    adds, share = _contents(groups), np.array(shares)
    candidates, have = _candidates(adds, share, rng)
    candidates, first = np.unique(candidates, axis=0, return_index=True)
    have = have[first]
    size = have[:, :, 0] / adds[:, 0].sum() / share
    sensible = ((size > _SIZE_RANGE[0] - 1e-9) & (size < _SIZE_RANGE[1] + 1e-9)).all(1)
    if not sensible.any():  # a centre is too large for its part: take the nearest sizes
        worst = np.abs(np.log(np.maximum(size, 1e-9))).max(1)
        sensible = worst <= worst.min() + 1e-9
    candidates, have = candidates[sensible], have[sensible]
    group = rng.choice(np.flatnonzero((candidates == 0).any(0)))
    order = np.argsort(_imbalance(have, share), kind="stable")
    order = order[candidates[order, group] == 0]
    where = candidates[rng.choice(order[: max(_KEPT_LEAST, round(_KEPT * len(order)))])]
    return [
        {case.case for group, at in zip(groups, where, strict=True) if at == part for case in group}
        for part in range(len(share))
    ]


def connected(cases: Iterable[CheckedCase], keys: Callable[[CheckedCase], Sequence[str]]) -> dict[str, int]:
    """Return case -> number of its set; cases that share a key, directly or through others, are in one set."""
    nodes = list(cases)
    numbers: dict[str, int] = {}  # of the keys, which are nodes of the graph too
    edges = [
        (node, len(nodes) + numbers.setdefault(key, len(numbers)))
        for node, case in enumerate(nodes)
        for key in keys(case)
    ]
    size = len(nodes) + len(numbers)
    graph = coo_array((np.ones(len(edges)), tuple(np.array(edges, int).reshape(-1, 2).T)), shape=(size, size))
    _, sets = connected_components(graph, directed=False)
    return {case.case: int(number) for case, number in zip(nodes, sets[: len(nodes)], strict=True)}


def strata_of(case: CheckedCase) -> tuple[str, ...]:
    """Return the strata of a case: its lesion size and its chronicity, or `controls`."""
    if not case.lesion_voxels:
        return ("controls",)
    chronicity = "unknown chronicity" if case.chronicity == "unknown" else case.chronicity
    return (f"lesions of {size_bin(case.lesion_voxels)} voxels", chronicity)


def _groups(cases: Sequence[CheckedCase], by: By) -> list[list[CheckedCase]]:
    def keys(case: CheckedCase) -> list[str]:
        centre = [f"centre {case.centre}"] if by == "centre" else []
        like = [f"case {name}" for name in (case.case, *case.alike)]
        return [f"subject {case.subject}", f"image {case.image_sha256}", *like, *centre]

    sets = connected(cases, keys)
    groups: dict[int, list[CheckedCase]] = defaultdict(list)
    for case in cases:
        groups[sets[case.case]].append(case)
    return list(groups.values())


def _contents(groups: Sequence[Sequence[CheckedCase]]) -> NDArray[np.float64]:
    """Return each group's share of all cases (first column, scaled to weigh like the strata) and of every stratum."""
    counts = [Counter(" ".join(strata_of(case)) for case in group) for group in groups]
    total = sum(counts, Counter[str]())
    size = np.array([[count.total() for count in counts]]).T / total.total() * np.sqrt(len(total))
    return np.hstack([size, [[count[stratum] / total[stratum] for stratum in total] for count in counts]])


def _candidates(
    adds: NDArray[np.float64], share: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the part of each group, (candidate, group) -> part, and the contents of the parts."""
    each = np.arange(_CANDIDATES)
    order = rng.permuted(np.tile(np.arange(len(adds)), (_CANDIDATES, 1)), axis=1)
    have = np.zeros((_CANDIDATES, len(share), adds.shape[1]))
    where = np.zeros((_CANDIDATES, len(adds)), np.intp)
    for number, group in enumerate(order.T):
        added = adds[group]
        if number < len(share):  # no part stays empty
            part = np.full(_CANDIDATES, number)
        else:  # the least squared distance of all parts from their shares, without the constant terms
            cost = (2 * np.einsum("cpk,ck->cp", have, added) + (added * added).sum(1)[:, None]) / share
            part = cost.argmin(1)
        have[each, part] += added
        where[each, group] = part
    return where, have


def _imbalance(have: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance of all parts from their shares, for each candidate."""
    whole = have.sum(1, keepdims=True)
    return np.asarray((((have / share[:, None] - whole) ** 2).sum(2) * share).sum(1))
