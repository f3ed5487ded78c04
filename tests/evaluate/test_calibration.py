"""Calibration finds what was planted, and keeps what it promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cohort.tree import mask_path, plant_tree, save, scan_path
from insula.checkpoint import Card, hashed, load_weights, save_weights, store_card, subjects_seen, who_was_seen
from insula.cohort import find_cohort
from insula.config import AttentionUNet, Calibration, PrepareConfig, Scaling, SegmentConfig, to_dict
from insula.errors import BadData
from insula.evaluate import CaseStatistics, calibrate, measure_case
from insula.evaluate.calibration import CHANCES, LEAST_ML
from insula.evaluate.pool import THRESHOLDS, Pieces, Rule
from insula.evaluate.summary import calibration_error
from insula.io import read_scan
from insula.metrics import count_logits, dice_score, match_lesions
from insula.postprocess import decide, volume_interval
from insula.predict import segment
from insula.volume import Mask

_CARD = Card(name="x", model=AttentionUNet(widths=(4, 8)), prepare=PrepareConfig())


def _cases(count: int, *, sharpness: float = 1.0, shift: float = 0.0, seed: int = 0) -> list[CaseStatistics]:
    """Maps whose true probability is sigmoid(logit); what is told is sigmoid(sharpness x (logit - shift))."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        logits = rng.normal(-3 + 2 * rng.random(), 2, 4000)
        truth = rng.random(4000) < 1 / (1 + np.exp(-logits))
        prob = 1 / (1 + np.exp(-sharpness * (logits - shift)))
        real = rng.random(3) < 0.5
        volume_ml = rng.uniform(0.5, 20, 3)
        pieces = Pieces(
            volume_ml=volume_ml,
            common_ml=np.where(real, 0.3, 0.0),
            logit=rng.normal(2, 1, 3) + 2 * real,
            meets=np.stack([np.arange(real.sum()), np.flatnonzero(real)], axis=1),
            truths=int(real.sum()),
        )
        cases.append(
            CaseStatistics(
                case=str(number),
                centre=f"R{number % 5}",
                subject=f"sub-{number}",
                scan_sha256=f"{number:064x}",
                truth_ml=float(truth.sum()) / 100,
                voxel_ml=0.01,
                counts=count_logits(truth, prob),
                pieces=dict.fromkeys(THRESHOLDS, pieces),
            )
        )
    return cases


@pytest.mark.parametrize("sharpness", [*(pytest.param(s, marks=pytest.mark.long) for s in (0.5, 1.0)), 2.5])
def test_the_temperature_that_was_planted_is_found(sharpness: float) -> None:
    card = calibrate(_cases(60, sharpness=sharpness), _CARD)
    assert card.calibration.temperature == pytest.approx(sharpness, rel=0.05)
    facts = card.calibration.fitted_on
    assert facts is not None
    assert facts["log_loss_after"] <= facts["log_loss_before"]  # type: ignore[operator]
    assert facts["cases"] == 60


@pytest.mark.long
def test_a_bias_that_was_planted_is_found_and_ends_the_calibration_error() -> None:
    """A network that sees too little everywhere: no temperature alone makes its probabilities right."""
    cases = _cases(60, sharpness=1.6, shift=1.2)
    card = calibrate(cases, _CARD)
    assert card.calibration.temperature == pytest.approx(1.6, rel=0.05)
    assert card.calibration.bias == pytest.approx(1.2, abs=0.06)
    facts = card.calibration.fitted_on
    assert facts is not None
    assert facts["calibration_error_before"] > 0.08  # type: ignore[operator]
    assert facts["calibration_error_after"] < 0.01  # type: ignore[operator]
    assert facts["calibration_error_left_out"] < 0.015  # type: ignore[operator]
    counts = sum((case.counts for case in cases[1:]), start=cases[0].counts)
    alone = min(calibration_error(counts, scaling=Scaling(temperature)) for temperature in np.linspace(0.5, 4, 36))
    assert alone > 5 * facts["calibration_error_after"]  # type: ignore[operator]


def test_the_card_knows_whom_it_was_fitted_on_but_not_in_plain_text() -> None:
    card = calibrate(_cases(30), _CARD)
    assert "sub-7" not in str(to_dict(card.calibration))
    file = f"{7:064x}"
    assert subjects_seen(card, {"sub-7": [file]}) == {"calibrated on": ["sub-7"]}
    assert subjects_seen(card, {"sub-7": []}) == {"calibrated on": ["sub-7"]}  # by name, where there is no scan
    assert subjects_seen(card, {"sub-7": ["f" * 64]}) == {}  # another cohort's subject of that name
    assert subjects_seen(card, {"sub-30": []}) == {}
    assert subjects_seen(card, {"sub-7": ["f" * 64, file]}) == {"calibrated on": ["sub-7"]}  # two sessions
    trained = replace(card, provenance={"started_from": {"subjects": [hashed("sub-99")]}})
    assert subjects_seen(trained, {"sub-99": ["e" * 64]}) == {"trained on": ["sub-99"]}
    together = replace(_CARD, provenance={"members": [{"name": "a", **who_was_seen(trained)}]})
    assert subjects_seen(together, {"sub-99": [], "sub-7": [file]}) == {
        "trained on": ["sub-99"],
        "calibrated on": ["sub-7"],
    }


def test_near_is_what_lies_within_the_best_rules_own_error() -> None:
    """A rule that is far worse in a few cases and better nowhere is not near because its difference varies much."""
    cases = []
    for number, case in enumerate(_cases(40)):
        good = Pieces(np.array([10.0]), np.array([9.0]), np.array([3.0]), np.array([[0, 0]]), 1)
        poor = replace(good, common_ml=np.array([9.0 if number % 8 else 0.0]))
        pieces = {threshold: good if threshold == 0.5 else poor for threshold in THRESHOLDS}
        cases.append(replace(case, truth_ml=10.0, pieces=pieces))
    assert _raw_threshold(calibrate(cases, _CARD)) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.long
def test_of_a_network_that_says_nothing_the_threshold_is_still_one() -> None:
    """Its logits are a hundredth of what they should be, and the threshold moves with them."""
    card = calibrate(_cases(30, sharpness=0.01), _CARD)
    assert card.calibration.temperature < 0.2
    assert 0 < card.threshold < 1e-6
    sure = calibrate(
        [replace(case, pieces=_only(case.pieces, THRESHOLDS[-1])) for case in _cases(30, sharpness=0.01)], _CARD
    )
    assert 1 - 1e-5 < sure.threshold < 1


def _only(pieces: Mapping[float, Pieces], best: float) -> dict[float, Pieces]:
    """Right at one threshold, and wrong at all others."""
    right = replace(pieces[best], common_ml=pieces[best].volume_ml)
    wrong = replace(pieces[best], common_ml=np.zeros(3))
    return {threshold: right if threshold == best else wrong for threshold in pieces}


@pytest.mark.long
def test_intervals_hold_as_often_as_promised_and_confidence_tells_real_from_false() -> None:
    """On cases that were not fitted on, from the same source."""
    card = calibrate(_cases(200), _CARD)
    facts = card.calibration.fitted_on
    assert facts is not None
    assert facts["volume_coverage_left_out"] == pytest.approx(0.9, abs=0.05)
    assert facts["lesion_brier_left_out"] < 0.7 * facts["lesion_brier_of_the_share"]  # type: ignore[operator]
    assert card.calibration.volume is not None
    low, high = card.calibration.volume
    assert low < high


@pytest.mark.long
def test_masks_that_are_nearly_empty_have_an_interval_of_their_own() -> None:
    """A third of the cases is missed altogether; the others are outlined to a few per cent."""
    cases = []
    for number, case in enumerate(_cases(90)):
        missed = number % 3 == 0
        volume = np.array([]) if missed else np.array([40.0 + number])
        logit, met = np.full(len(volume), 3.0), np.zeros((len(volume), 2), int)
        some = Pieces(volume, volume, logit, met, 1)
        truth = 5.0 + number if missed else float(volume[0]) * (1 + 0.002 * (number % 7))
        cases.append(replace(case, truth_ml=truth, pieces=dict.fromkeys(THRESHOLDS, some)))
    calibration = calibrate(cases, _CARD).calibration
    assert calibration.volume_small is not None
    assert calibration.volume is not None
    assert calibration.volume_small[1] > 5 * calibration.volume[1]
    large, small = volume_interval(80.0, 0.6, calibration), volume_interval(0.0, 0.6, calibration)
    assert large is not None
    assert large[1] < 90
    assert small is not None
    assert small[0] > 0  # a mask of nothing, and a lesion in every case of its kind

    few = calibrate(cases[:24], _CARD).calibration  # 8 of them nearly empty: too few for a fit of their own
    assert few.volume is not None
    assert few.volume_small is not None
    assert few.volume_small[0] <= few.volume[0]
    assert few.volume_small[1] > 5 * few.volume[1]
    assert calibrate(cases[:21], _CARD).calibration.volume_small is None  # 14 others: one fit for all


@pytest.mark.long
def test_the_level_of_intervals_is_raised_if_centres_differ() -> None:
    """All masks are equal; the true volumes of a centre lie together, apart from the other centres' or among them."""
    rng = np.random.default_rng(0)
    alike, apart = list[CaseStatistics](), list[CaseStatistics]()
    mask = Pieces(np.array([20.0]), np.array([20.0]), np.array([3.0]), np.zeros((1, 2), int), 1)
    for number, case in enumerate(_cases(90)):
        case = replace(case, centre=f"R{number % 3}", pieces=dict.fromkeys(THRESHOLDS, mask))
        spread = float(rng.normal(0, 1))
        alike.append(replace(case, truth_ml=20 + spread))
        apart.append(replace(case, truth_ml=20 + spread + 2 * (number % 3 - 1)))
    levels = []
    for cases in (alike, apart):
        facts = calibrate(cases, _CARD).calibration.fitted_on
        assert facts is not None
        levels.append(facts["volume_level_fitted"])
    assert levels[0] < levels[1]  # type: ignore[operator]


@pytest.mark.long
def test_one_centre_alone_is_never_left_out() -> None:
    cases = [replace(case, centre="R1") for case in _cases(30)]
    facts = calibrate(cases, _CARD).calibration.fitted_on
    assert facts is not None
    assert "volume_coverage_left_out" not in facts
    assert facts["volume_level_fitted"] == 0.9


def _raw_threshold(card: Card) -> float:
    return 1 / (1 + np.exp(-card.calibration.scaling.undo(np.log(card.threshold / (1 - card.threshold)))))


@pytest.mark.long
def test_of_thresholds_alike_in_dice_the_one_with_fewer_false_lesions_is_taken() -> None:
    """True piece at every threshold; low thresholds add a false one to every second case, little against its size."""
    cases = []
    for number, case in enumerate(_cases(40)):
        whole = np.array([50.0 if number % 3 else 49.0])
        met = np.array([[0, 0]])
        with_false_lesion = Pieces(np.array([50.0, 1.0]), np.array([50.0, 0.0]), np.array([3.0, 3.0]), met, 1)
        clean = Pieces(whole, whole, np.array([3.0]), met, 1)
        less = Pieces(0.6 * whole, 0.6 * whole, np.array([3.0]), met, 1)
        pieces = {t: with_false_lesion if t < 0.5 and number % 2 else clean if t < 0.95 else less for t in THRESHOLDS}
        cases.append(replace(case, truth_ml=60.0 - 0.01 * number, pieces=pieces))
    card = calibrate(cases, _CARD)
    assert 0.5 <= round(_raw_threshold(card), 4) < 0.95 or card.calibration.least_chance > 0
    assert round(_raw_threshold(card), 4) < 0.95


def test_the_candidates_of_the_rule() -> None:
    assert THRESHOLDS == (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
    assert LEAST_ML == (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
    assert CHANCES == (0.0, 0.05, 0.1, 0.2)


def _piece(dice: float, *, truths: int = 1, volume_ml: float = 10.0) -> Pieces:
    """One component that is partly true: a Dice against a truth of 10 ml, and a lesion F1 of 2 / (1 + truths)."""
    common = np.array([dice * (10 + volume_ml) / 2])
    return Pieces(np.array([volume_ml]), common, np.array([3.0]), np.array([[0, 0]]), truths)


def _ruled(centres: int, each: int, pieces: Callable[[int, float], dict[float, Pieces]]) -> list[CaseStatistics]:
    """Cases of several centres, whose Dice differs from centre to centre; other thresholds are far worse."""
    cases = []
    for number, case in enumerate(_cases(centres * each)):
        centre = number % centres
        own = pieces(number, 0.6 + (0.15 if centre % 2 else -0.15))
        rest = dict.fromkeys(THRESHOLDS, _piece(0.05))
        cases.append(replace(case, centre=f"R{centre}", truth_ml=10.0, pieces=rest | own))
    return cases


@pytest.mark.parametrize(("centres", "each"), [(8, 5), pytest.param(2, 20, marks=pytest.mark.long)])
@pytest.mark.parametrize(("errors", "threshold"), [(0.95, 0.3), (1.05, 0.5)])
def test_a_rule_within_one_standard_error_of_the_best_dice_is_near(
    errors: float, threshold: float, centres: int, each: int
) -> None:
    """At 0.3 Dice is lower and lesion F1 higher. The error is over centres; over cases where centres are too few."""
    dice = np.array([0.6 + (0.15 if centre % 2 else -0.15) for centre in range(centres)])
    values = dice if centres > 4 else np.repeat(dice, each)
    error = float(values.std(ddof=1)) / np.sqrt(len(values))

    def pieces(_: int, best: float) -> dict[float, Pieces]:
        return {0.5: _piece(best, truths=2), 0.3: _piece(best - errors * error)}

    assert _raw_threshold(calibrate(_ruled(centres, each, pieces), _CARD)) == pytest.approx(threshold, abs=1e-3)


@pytest.mark.parametrize(("cases_found", "threshold"), [(5, 0.5), (7, 0.3)])
def test_of_near_rules_the_sum_of_dice_and_lesion_f1_decides(cases_found: int, threshold: float) -> None:
    """At 0.3 Dice is 0.05 lower, and F1 is a third higher in 5 or 7 of 40 cases: by 0.042 or 0.058."""

    def pieces(number: int, best: float) -> dict[float, Pieces]:
        return {0.5: _piece(best, truths=2), 0.3: _piece(best - 0.05, truths=1 if number < cases_found else 2)}

    assert _raw_threshold(calibrate(_ruled(8, 5, pieces), _CARD)) == pytest.approx(threshold, abs=1e-3)


@pytest.mark.parametrize(("cases_missed", "threshold"), [(1, 0.6), (2, 0.4)])
@pytest.mark.parametrize("volume_ml", [8.0, pytest.param(12.0, marks=pytest.mark.long)])
def test_of_rules_as_good_to_five_thousandths_the_total_volume_decides(
    cases_missed: int, threshold: float, volume_ml: float
) -> None:
    """At 0.6 the total volume is right, and F1 is a third lower in 1 or 2 of 80 cases: by 0.0042 or 0.0083."""

    def pieces(number: int, best: float) -> dict[float, Pieces]:
        right = _piece(best, truths=2 if number < cases_missed else 1)
        return {0.4: _piece(best, volume_ml=volume_ml), 0.6: right}

    assert _raw_threshold(calibrate(_ruled(8, 10, pieces), _CARD)) == pytest.approx(threshold, abs=1e-3)


def test_of_rules_with_equal_masks_the_one_that_drops_the_most_doubtful_is_taken() -> None:
    """Every second component is false, and nothing tells it from a true one, so that no cut drops any."""

    def pieces(_: int, best: float) -> dict[float, Pieces]:
        volume, common = np.array([5.0, 5.0]), np.array([5 * best, 0.0])
        return {0.5: Pieces(volume, common, np.array([3.0, 3.0]), np.array([[0, 0]]), 1)}

    card = calibrate(_ruled(8, 5, pieces), _CARD)
    assert card.calibration.least_chance == 0.2
    assert card.min_lesion_ml == 0.0


@pytest.mark.long
def test_small_lesions_that_dice_hardly_sees_are_not_dropped() -> None:
    """Each case has a true lesion of 0.05 ml beside a large one; in every tenth case the small one is false instead.

    A false lesion of that size costs about as little Dice.
    """
    cases = []
    for number, case in enumerate(_cases(40)):
        real = float(number % 10 > 0)
        met = np.array([[0, 0], [1, 1]] if real else [[0, 0]])
        some = Pieces(np.array([50.0, 0.05]), np.array([50.0, 0.05 * real]), np.array([3.0, 1.0]), met, len(met))
        cases.append(replace(case, truth_ml=60.0 - 0.5 * number, pieces=dict.fromkeys(THRESHOLDS, some)))
    assert calibrate(cases, _CARD).min_lesion_ml <= 0.03
    noise = [
        replace(
            case,
            pieces=dict.fromkeys(
                THRESHOLDS,
                replace(case.pieces[0.5], common_ml=np.array([50.0, 0.0]), meets=np.array([[0, 0]]), truths=1),
            ),
        )
        for case in cases
    ]
    card = calibrate(noise, _CARD)
    assert card.min_lesion_ml >= 0.1 or card.calibration.least_chance > 0


@pytest.mark.long
def test_pieces_that_are_unlikely_are_dropped_where_size_cannot_tell() -> None:
    """False pieces are as large as true ones; their probabilities are lower."""
    cases = []
    for number, case in enumerate(_cases(60)):
        rng = np.random.default_rng(number)
        real = rng.random(4) < 0.4
        volume, logit = rng.uniform(0.2, 2.0, 4), np.where(real, 3.0, 0.5) + rng.normal(0, 0.3, 4)
        met = np.stack([np.arange(real.sum()), np.flatnonzero(real)], axis=1)
        some = Pieces(volume, np.where(real, volume, 0.0), logit, met, int(real.sum()))
        truth = float(volume[real].sum())
        cases.append(replace(case, truth_ml=truth, pieces=dict.fromkeys(THRESHOLDS, some)))
    card = calibrate(cases, _CARD)
    assert card.calibration.least_chance >= 0.05
    assert card.min_lesion_ml <= 0.1
    rule = Rule(threshold=0.5, least_chance=0.2, lesion=(-8.0, 5.0, 0.0))
    assert np.mean([case.lesion_f1(rule) for case in cases]) > 0.95
    assert np.mean([case.lesion_f1(Rule(threshold=0.5)) for case in cases]) < 0.8


def test_a_true_lesion_counts_as_found_by_any_piece_that_is_kept() -> None:
    """Two pieces of one lesion: dropping the smaller leaves it found, dropping both does not."""
    some = Pieces(np.array([1.0, 0.1]), np.array([1.0, 0.1]), np.array([1.0, 1.0]), np.array([[0, 0], [0, 1]]), 1)
    case = replace(_cases(1)[0], truth_ml=1.1, pieces=dict.fromkeys(THRESHOLDS, some))
    assert case.lesion_f1(Rule(threshold=0.5)) == case.lesion_f1(Rule(threshold=0.5, least_ml=0.3)) == 1.0
    assert case.lesion_f1(Rule(threshold=0.5, least_ml=2.0)) == 0.0
    assert case.dice(Rule(threshold=0.5, least_ml=0.3)) == pytest.approx(2 / 2.1)


def test_a_rule_keeps_a_large_piece_however_unlikely() -> None:
    none = np.zeros((0, 2), np.int64)
    faint = Pieces(np.array([9.9, 10.0]), np.array([9.9, 10.0]), np.array([-1.0, -1.0]), none, 0)
    rule = Rule(threshold=0.3, least_chance=0.2, lesion=(-2.0, 2.7, -0.4))
    assert faint.kept(rule).volume_ml.tolist() == [10.0]


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(BadData, match="19 are fewer than 20"):
        calibrate(_cases(19), _CARD)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tiny_weights", "brain_weights"])
def test_a_study_gives_the_dice_and_the_lesion_f1_that_segment_would_give(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tiny_weights = request.getfixturevalue(kind)
    (name,) = plant_tree(tmp_path, sites=1, each=1)
    (entry,) = find_cohort(tmp_path).entries
    weights = load_weights(str(tiny_weights))
    statistics = measure_case(entry, weights, SegmentConfig(device="cpu"))
    scan = read_scan(scan_path(tmp_path, name))
    result = segment(scan, SegmentConfig(device="cpu", threshold=0.5), weights=weights)
    lesion = np.asarray(statistics.counts.lesion.sum())
    assert float(lesion) * scan.grid.voxel_ml == pytest.approx(statistics.truth_ml)
    assert statistics.counts.voxels_above(0.5) == pytest.approx(int((result.prob >= 0.5).sum()), abs=30)
    truth = read_scan(mask_path(tmp_path, name)).image > 0.5
    chance = (-1.0, 1.0, 0.3)
    for threshold in THRESHOLDS:
        for least in LEAST_ML:
            for cut in CHANCES:
                calibration = Calibration(lesion=chance, least_chance=cut)
                mask = decide(result.prob, scan.grid, threshold=threshold, min_lesion_ml=least, calibration=calibration)
                rule = Rule(threshold=threshold, least_ml=least, least_chance=cut, lesion=chance)
                assert statistics.dice(rule) == pytest.approx(dice_score(mask.voxels, truth), abs=1e-9)
                assert statistics.lesion_f1(rule) == pytest.approx(match_lesions(truth, mask.voxels).f1_any, abs=1e-9)


def test_a_case_without_a_mask_or_on_another_grid_is_refused(tmp_path: Path, tiny_weights: Path) -> None:
    plant_tree(tmp_path, sites=1, each=1)
    (entry,) = find_cohort(tmp_path).entries
    weights = load_weights(str(tiny_weights))
    with pytest.raises(BadData, match="has no lesion mask"):
        measure_case(replace(entry, masks=()), weights)
    save(entry.masks[0], np.zeros((10, 10, 10), np.uint8), np.eye(4))
    with pytest.raises(BadData, match="scan's grid"):
        measure_case(entry, weights)


def test_a_calibrated_card_keeps_the_masks_and_says_its_doubt(tmp_path: Path, tiny_weights: Path) -> None:
    """The temperature moves probabilities, not decisions, when the threshold moves along."""
    plain = load_weights(str(tiny_weights))
    t = plain.card.threshold
    save_weights(tmp_path, plain.model, plain.card)
    moved = 1 / (1 + np.exp(-np.log(t / (1 - t)) / 2))
    calibration = Calibration(temperature=2.0, volume=(-1, 1), lesion=(0, 1, 0), fitted_on={"cases": 30})
    path = store_card(str(tmp_path), replace(plain.card, threshold=float(moved), calibration=calibration))
    assert path.name == "tiny.json"
    again = load_weights(str(tmp_path))
    assert again.card.calibration == calibration
    assert again.sha256 == plain.sha256
    (name,) = plant_tree(tmp_path / "tree", sites=1, each=1)
    scan = read_scan(scan_path(tmp_path / "tree", name))
    before, after = (segment(scan, SegmentConfig(device="cpu"), weights=w) for w in (plain, again))
    assert dice_score(before.mask.voxels, after.mask.voxels) > 0.999
    assert Mask(before.mask.voxels, scan.grid).volume_ml > 0
    assert before.volume_interval_ml is None
    low, high = after.volume_interval_ml or (0, 0)
    assert low < after.volume_ml < high
    assert all(lesion.confidence is None for lesion in before.lesions)
    assert all(0 < (lesion.confidence or 0) < 1 for lesion in after.lesions)
