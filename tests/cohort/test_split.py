"""Splits: nobody on both sides, strata in proportion, and every leak refused."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from insula.cohort import CheckedCohort, Examined, Fault
from insula.cohort.split import describe, from_dict, make_folds, make_holdout, nest, to_dict
from insula.errors import BadData, UsageError
from insula.metrics import size_bin


def _cohort(centres: int = 12, each: int = 15, sessions: int = 2) -> CheckedCohort:
    rng = np.random.default_rng(0)
    cases = []
    for centre in range(centres):
        for number in range(each):
            for session in range(1 + int(rng.random() < 0.2 and sessions > 1)):
                subject = f"sub-r{centre:03d}s{number:03d}"
                voxels = int(10 ** rng.uniform(0.5, 5))
                cases.append(
                    Examined(
                        case=f"{subject}_ses-{session + 1}", subject=subject, session=f"ses-{session + 1}", centre=f"R{centre:03d}",
                        chronicity="chronic" if rng.random() < 0.6 else "acute", days=None, lesion_voxels=voxels,
                        lesion_ml=voxels / 1000, image_sha256=f"{centre} {number} {session}",
                    )
                )  # fmt: skip
    return CheckedCohort(layout="atlas-indi", cases=tuple(sorted(cases, key=lambda case: case.case)))


_COHORT = _cohort()
_KNOWN = {case.case: case for case in _COHORT.cases}


def _shares(names: tuple[str, ...]) -> Counter[str]:
    return Counter(f"{size_bin(_KNOWN[n].lesion_voxels or 0)} {_KNOWN[n].chronicity}" for n in names)


@pytest.mark.parametrize("seed", range(5))
def test_by_centre_no_centre_is_on_both_sides(seed: int) -> None:
    (fold,) = make_holdout(_COHORT, by="centre", fraction=0.75, seed=seed).folds
    assert {_KNOWN[n].centre for n in fold.train}.isdisjoint({_KNOWN[n].centre for n in fold.test})
    assert sorted((*fold.train, *fold.test)) == sorted(_KNOWN)
    assert len(fold.train) / len(_KNOWN) == pytest.approx(0.75, abs=0.09)


@pytest.mark.parametrize("seed", range(5))
def test_at_random_subjects_stay_whole_and_strata_keep_their_share(seed: int) -> None:
    (fold,) = make_holdout(_COHORT, by="random", fraction=0.85, seed=seed).folds
    assert {_KNOWN[n].subject for n in fold.train}.isdisjoint({_KNOWN[n].subject for n in fold.test})
    assert len(fold.train) / len(_KNOWN) == pytest.approx(0.85, abs=0.02)
    total, test = _shares(tuple(_KNOWN)), _shares(fold.test)
    for stratum, count in total.items():
        assert abs(test[stratum] - 0.15 * count) <= 2.5, stratum


def test_folds_test_everyone_once() -> None:
    made = make_folds(_COHORT, by="centre", count=5, seed=0)
    assert sorted(name for fold in made.folds for name in fold.test) == sorted(_KNOWN)
    for fold in made.folds:
        assert set(fold.train) == set(_KNOWN) - set(fold.test)
        assert len(fold.test) == pytest.approx(len(_KNOWN) / 5, rel=0.35)


def test_nested_folds_never_see_their_test_part() -> None:
    made = nest(_COHORT, make_folds(_COHORT, by="centre", count=4, seed=0), count=3)
    for fold in made.folds:
        assert len(fold.inner) == 3
        assert sorted(name for inner in fold.inner for name in inner.test) == sorted(fold.train)
        for inner in fold.inner:
            assert not ({*inner.train, *inner.test} & set(fold.test))
            assert {_KNOWN[n].centre for n in inner.train}.isdisjoint({_KNOWN[n].centre for n in inner.test})


def test_the_same_seed_the_same_split() -> None:
    one, two, other = (make_holdout(_COHORT, by="random", fraction=0.8, seed=seed) for seed in (3, 3, 4))
    assert one == two
    assert one != other


def test_identical_images_go_together_even_from_two_centres() -> None:
    cases = list(_COHORT.cases)
    twin = replace(cases[0], case="sub-z_ses-1", subject="sub-z", centre="R900")
    checked = CheckedCohort(layout="bids", cases=(*cases, twin))
    for by in ("centre", "random"):
        for fold in make_folds(checked, by=by, count=5, seed=1).folds:  # type: ignore[arg-type]
            assert (cases[0].case in fold.test) == (twin.case in fold.test)


def test_what_cannot_be_used_is_in_no_part() -> None:
    cases = list(_COHORT.cases)
    cases[0] = replace(cases[0], faults=(Fault("shape-mismatch", "x"),))
    cases[1] = replace(cases[1], lesion_ml=None)
    cases[2] = replace(cases[2], faults=(Fault("mask-scaled", "x", "warning"),))
    (fold,) = make_holdout(replace(_COHORT, cases=tuple(cases)), by="random", fraction=0.85, seed=0).folds
    everyone = {*fold.train, *fold.test}
    assert not {cases[0].case, cases[1].case} & everyone
    assert cases[2].case in everyone


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(UsageError, match="1.5 is not between 0 and 1"):
        make_holdout(_COHORT, by="random", fraction=1.5, seed=0)
    with pytest.raises(UsageError, match="--folds 1"):
        make_folds(_COHORT, by="random", count=1, seed=0)
    with pytest.raises(UsageError, match="12 centres cannot be dealt into 13"):
        make_folds(_COHORT, by="centre", count=13, seed=0)


def test_a_random_split_says_what_it_leaks_and_how_little_it_proves() -> None:
    made = make_holdout(_COHORT, by="random", fraction=0.85, seed=0)
    (line,) = describe(_COHORT, made)
    leaked = len({_KNOWN[n].centre for n in made.folds[0].test})
    assert leaked > 8
    assert f"{leaked} centres on both sides" in line
    assert f"+-{100 * 1.96 * 0.27 / np.sqrt(len(made.folds[0].test)):.1f} points" in line
    (line,) = describe(_COHORT, make_holdout(_COHORT, by="centre", fraction=0.85, seed=0))
    assert "0 centres on both sides" in line


def _move(tree: dict[str, Any], name: str) -> None:
    tree["folds"][0]["train"].append(name)


def test_a_split_is_read_back_and_every_leak_is_refused() -> None:
    made = nest(_COHORT, make_holdout(_COHORT, by="random", fraction=0.85, seed=0), count=2)
    tree = to_dict(made)
    assert from_dict(tree, _COHORT, name="s.json") == made
    test = made.folds[0].test

    leak = copy.deepcopy(tree)
    _move(leak, test[0])
    with pytest.raises(BadData, match=f"same case on both sides .*{test[0]}"):
        from_dict(leak, _COHORT, name="s.json")

    twice = next(case for case in _COHORT.cases if case.session == "ses-2")
    other = twice.case.replace("ses-2", "ses-1")
    leak = {**copy.deepcopy(tree), "folds": [{"train": [other], "test": [twice.case]}]}
    with pytest.raises(BadData, match="same subject on both sides"):
        from_dict(leak, _COHORT, name="s.json")

    cases = list(_COHORT.cases)
    first, second = (next(c for c in cases if c.case == name) for name in (made.folds[0].train[0], test[0]))
    cases[cases.index(second)] = replace(second, image_sha256=first.image_sha256)
    with pytest.raises(BadData, match="same image on both sides"):
        from_dict(tree, replace(_COHORT, cases=tuple(cases)), name="s.json")

    inner = copy.deepcopy(tree)
    inner["folds"][0]["inner"][0]["train"].append(inner["folds"][0]["inner"][0]["test"][0])
    with pytest.raises(BadData, match="both sides"):
        from_dict(inner, _COHORT, name="s.json")


def test_absent_cases_another_cohort_and_other_files_are_refused() -> None:
    tree = to_dict(make_holdout(_COHORT, by="random", fraction=0.85, seed=0))
    absent = copy.deepcopy(tree)
    _move(absent, "sub-nobody_ses-1")
    with pytest.raises(BadData, match="names 1 cases that are not in the cohort, e.g. sub-nobody_ses-1"):
        from_dict(absent, _COHORT, name="s.json")
    cases = (replace(_COHORT.cases[0], lesion_voxels=1), *_COHORT.cases[1:])
    with pytest.raises(BadData, match="another state"):
        from_dict(tree, replace(_COHORT, cases=cases), name="s.json")
    for broken in ({}, [], {"format": "x"}, {**tree, "folds": [{"train": []}]}):
        with pytest.raises(BadData, match=r"s\.json is not what"):
            from_dict(broken, _COHORT, name="s.json")
