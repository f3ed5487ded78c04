"""Splits: nobody on both sides, strata in proportion, and every leak refused."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from insula.cohort import CheckedCase, CheckedCohort
from insula.cohort.precision import describe, half_width
from insula.cohort.split import Fold, Split, from_dict, make_folds, make_holdout, nest, to_dict
from insula.errors import BadData, UsageError
from insula.metrics import size_bin
from insula.stats.interval import freedom_of
from insula.types import Flag


def _cohort(centres: int = 12, each: int = 15, sessions: int = 2) -> CheckedCohort:
    rng = np.random.default_rng(0)
    cases = []
    for centre in range(centres):
        for number in range(each):
            for session in range(1 + int(rng.random() < 0.2 and sessions > 1)):
                subject = f"sub-r{centre:03d}s{number:03d}"
                voxels = int(10 ** rng.uniform(0.5, 5))
                cases.append(
                    CheckedCase(
                        case=f"{subject}_ses-{session + 1}",
                        subject=subject,
                        session=f"ses-{session + 1}",
                        centre=f"R{centre:03d}",
                        chronicity="chronic" if rng.random() < 0.6 else "acute",
                        days=None,
                        lesion_voxels=voxels,
                        lesion_ml=voxels / 1000,
                        image_sha256=f"{centre} {number} {session}",
                    )
                )
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
    split = make_folds(_COHORT, by="centre", count=5, seed=0)
    assert sorted(name for fold in split.folds for name in fold.test) == sorted(_KNOWN)
    for fold in split.folds:
        assert set(fold.train) == set(_KNOWN) - set(fold.test)
        assert len(fold.test) == pytest.approx(len(_KNOWN) / 5, rel=0.35)


def test_nested_folds_never_see_their_test_part() -> None:
    split = nest(_COHORT, make_folds(_COHORT, by="centre", count=4, seed=0), count=3)
    for fold in split.folds:
        assert len(fold.inner) == 3
        assert sorted(name for inner in fold.inner for name in inner.test) == sorted(fold.train)
        for inner in fold.inner:
            assert not ({*inner.train, *inner.test} & set(fold.test))
            assert {_KNOWN[n].centre for n in inner.train}.isdisjoint({_KNOWN[n].centre for n in inner.test})


def test_the_same_seed_the_same_split() -> None:
    first, again, other = (make_holdout(_COHORT, by="random", fraction=0.8, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_identical_images_go_together_even_from_two_centres() -> None:
    cases = list(_COHORT.cases)
    twin = replace(cases[0], case="sub-z_ses-1", subject="sub-z", centre="R900")
    checked = CheckedCohort(layout="bids", cases=(*cases, twin))
    for by in ("centre", "random"):
        for fold in make_folds(checked, by=by, count=5, seed=1).folds:  # type: ignore[arg-type]
            assert (cases[0].case in fold.test) == (twin.case in fold.test)


def test_what_cannot_be_used_is_in_no_part() -> None:
    cases = list(_COHORT.cases)
    cases[0] = replace(cases[0], faults=(Flag("shape-mismatch", "x", "error"),))
    cases[1] = replace(cases[1], lesion_ml=None)
    cases[2] = replace(cases[2], faults=(Flag("mask-scaled", "x", "warning"),))
    (fold,) = make_holdout(replace(_COHORT, cases=tuple(cases)), by="random", fraction=0.85, seed=0).folds
    everyone = {*fold.train, *fold.test}
    assert not {cases[0].case, cases[1].case} & everyone
    assert cases[2].case in everyone


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(UsageError, match="1.5 is not between 0 and 1"):
        make_holdout(_COHORT, by="random", fraction=1.5, seed=0)
    with pytest.raises(UsageError, match="`folds` 1"):
        make_folds(_COHORT, by="random", count=1, seed=0)
    with pytest.raises(UsageError, match="12 centres cannot be dealt into 13"):
        make_folds(_COHORT, by="centre", count=13, seed=0)


def test_near_identical_images_go_together_and_are_refused_on_both_sides() -> None:
    cases = list(_COHORT.cases)
    far = next(n for n, case in enumerate(cases) if case.centre == "R007")
    cases[0] = replace(cases[0], alike=(cases[far].case,))
    cases[far] = replace(cases[far], alike=(cases[0].case,))
    checked = replace(_COHORT, cases=tuple(cases))
    for by in ("centre", "random"):
        for seed in range(5):
            for fold in make_folds(checked, by=by, count=4, seed=seed).folds:  # type: ignore[arg-type]
                assert (cases[0].case in fold.test) == (cases[far].case in fold.test)
    torn = next(
        split
        for seed in range(50)
        if len(
            {
                (split := make_holdout(_COHORT, by="random", fraction=0.5, seed=seed))
                and (case.case in split.folds[0].test)
                for case in (cases[0], cases[far])
            }
        )
        == 2
    )
    assert from_dict(to_dict(torn), _COHORT, name="s.json") == torn
    with pytest.raises(BadData, match="same head on both sides"):
        from_dict(to_dict(torn), checked, name="s.json")


def _sized(*sizes: int) -> CheckedCohort:
    """Centres of these sizes, each with strata of its own mix."""
    rng, cases = np.random.default_rng(9), []
    for number, size in enumerate(sizes):
        chronic = rng.uniform(0.3, 0.8)
        for n in range(size):
            name = f"c{number}n{n}"
            voxels = 0 if rng.random() < 0.08 else int(10 ** rng.uniform(1, 5))
            cases.append(
                CheckedCase(
                    case=name,
                    subject=name,
                    session="",
                    centre=f"C{number}",
                    days=None,
                    lesion_voxels=voxels,
                    chronicity="chronic" if rng.random() < chronic else "acute",
                    lesion_ml=voxels / 1000,
                    image_sha256=name,
                )
            )
    return CheckedCohort(layout="bids", cases=tuple(cases))


def test_every_centre_is_tested_sometimes() -> None:
    """The largest centre alone has 45 cases where 30 are wanted, which is the most that is taken."""
    cohort = _sized(45, 32, 27, 22, 18, 14, 12, 10, 8, 6, 4, 2)
    centre = {case.case: case.centre for case in cohort.cases}
    tested: Counter[str] = Counter()
    for seed in range(60):
        (fold,) = make_holdout(cohort, by="centre", fraction=0.85, seed=seed).folds
        tested.update({centre[name] for name in fold.test})
        assert 20 <= len(fold.test) <= 45
    assert set(tested) == set(centre.values())
    assert max(tested.values()) < 50


def test_folds_differ_between_seeds_and_stay_balanced() -> None:
    cohort = _sized(45, 32, 27, 22, 18, 14, 12, 10, 8, 6, 4, 2)
    splits = {make_folds(cohort, by="centre", count=4, seed=seed).folds for seed in range(8)}
    assert len(splits) >= 6
    for folds in splits:
        assert sorted(name for fold in folds for name in fold.test) == sorted(case.case for case in cohort.cases)
        assert all(33 <= len(fold.test) <= 75 for fold in folds)


def test_the_best_of_many_candidates_is_better_than_chance() -> None:
    """Against a plain shuffle of subjects: the share of every stratum in the test part is nearer to its own."""
    rng, names = np.random.default_rng(0), [*_KNOWN]

    def off(test: tuple[str, ...]) -> float:
        total, part = _shares(tuple(names)), _shares(test)
        return sum(abs(part[stratum] - 0.2 * count) for stratum, count in total.items())

    dealt = [off(make_holdout(_COHORT, by="random", fraction=0.8, seed=seed).folds[0].test) for seed in range(10)]
    shuffled = [off(tuple(rng.permutation(names)[: len(names) // 5])) for _ in range(10)]
    assert np.mean(dealt) < 0.5 * np.mean(shuffled)


def test_a_split_says_what_it_leaks_and_how_little_it_proves() -> None:
    split = make_holdout(_COHORT, by="random", fraction=0.85, seed=0)
    test = split.folds[0].test
    line = describe(_COHORT, split, share=0.15)[0]
    sizes = Counter(_KNOWN[n].centre for n in test)
    assert len(sizes) > 8
    assert f"{len(test)} test from {len(sizes)} centres; {len(sizes)} centres on both sides" in line
    alike = 27 * student.ppf(0.975, len(test) - 1) / np.sqrt(len(test))
    effect = 1 + 0.1 * (sum(n**2 for n in sizes.values()) / len(test) - 1)
    freedom = freedom_of(np.array(list(sizes.values()), float))
    apart = 27 * student.ppf(0.975, freedom) * np.sqrt(effect / len(test))
    assert (
        f"+-{alike:.1f} points (95 %) if centres were alike, +-{apart:.1f} at an intraclass correlation of 0.1" in line
    )
    line = describe(_COHORT, make_holdout(_COHORT, by="centre", fraction=0.85, seed=0), share=0.15)[0]
    assert "0 centres on both sides" in line
    assert "centres no interval can be given" in line


def test_half_width_against_simulated_centres() -> None:
    """A random centre effect: over equal centres the interval holds the true mean 95 times in 100."""
    rng, sizes, icc = np.random.default_rng(2), [20] * 8, 0.1
    half = half_width(sizes, icc=icc)
    assert half is not None
    sd = half / (100 * student.ppf(0.975, 7))
    means = [
        np.mean([rng.normal(rng.normal(0, 0.27 * np.sqrt(icc)), 0.27 * np.sqrt(1 - icc), n).mean() for n in sizes])
        for _ in range(3000)
    ]
    assert sd == pytest.approx(np.std(means), rel=0.05)
    assert half_width([12], icc=icc) is half_width([5, 5, 5], icc=icc) is half_width([1], icc=0) is None


def test_what_a_split_lacks_is_said_aloud() -> None:
    cases = [
        replace(
            _COHORT.cases[n],
            case=f"c{n}",
            subject=f"s{n}",
            image_sha256=f"{n}",
            centre="A" if n < 4 else "B",
            chronicity="chronic" if n < 4 else "acute",
            lesion_voxels=500 if n % 2 else 0,
            faults=(),
        )
        for n in range(60)
    ]
    cohort = CheckedCohort(layout="bids", cases=tuple(cases))
    names = [case.case for case in cases]
    split = Split(
        cohort_sha256=cohort.sha256, by="centre", seed=0, folds=(Fold(train=(*names[4:],), test=(*names[:4],)),)
    )
    line, *warnings = describe(cohort, split, share=0.15)
    assert "no interval: it has too few cases" in line
    assert warnings == [
        "warning: fold 0: the test part has 4 cases where 9 were wanted",
        "warning: fold 0: 4 cases in the test part cannot tell one model from another",
        "warning: fold 0: the test part lacks acute (47% of the cases)",
    ]
    fine = Split(
        cohort_sha256="", by="random", seed=0, folds=(Fold(train=(*names[12:], *names[:2]), test=(*names[2:12],)),)
    )
    assert describe(cohort, fine, share=0.15)[1:] == []
    rare = replace(
        cohort, cases=tuple(replace(case, chronicity="acute") if n < 2 else case for n, case in enumerate(cases))
    )
    assert not [line for line in describe(rare, split, share=0.15) if "chronic" in line]


def _move(tree: dict[str, Any], name: str) -> None:
    tree["folds"][0]["train"].append(name)


def test_a_split_is_read_back_and_every_leak_is_refused() -> None:
    split = nest(_COHORT, make_holdout(_COHORT, by="random", fraction=0.85, seed=0), count=2)
    tree = to_dict(split)
    assert from_dict(tree, _COHORT, name="s.json") == split
    test = split.folds[0].test

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
    first, second = (next(c for c in cases if c.case == name) for name in (split.folds[0].train[0], test[0]))
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
