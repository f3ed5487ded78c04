"""`insula calibrate`: fit threshold, probabilities and intervals of weights to validation cases."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from insula.cli.console import bar, tell, warn

__all__ = ["calibrate"]


def calibrate(
    weights: Positional[str],
    cohort: Positional[Path],
    /,
    split: Path | None = None,
    fold: int = 0,
    label: int | None = None,
    device: str = "auto",
    debug: bool = False,
) -> int:
    """Calibrate weights on cases with true masks.

    Chooses the threshold and the smallest lesion to keep, and fits the temperature, the volume interval and the lesion
    confidence. The values are stored in the weights' card, and `insula segment` uses them from then on. Use cases that
    were not trained on and will not be tested on: the test part of a fold, or a separate cohort.

    Args:
        weights: Weights to calibrate: a writable file or folder, a folder of folds, or the name of bundled weights.
        cohort: Folder with scans and true masks.
        split: Split file; only the test part of one fold is used. All cases if not given.
        fold: Number of the fold in the split.
        label: Value of the lesion in the true masks, if they contain several labels.
        device: Device to use: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    import os

    from insula.checkpoint import find_weights, load_weights, store_card, subjects_seen
    from insula.cli.split import test_part
    from insula.cohort import find_cohort
    from insula.config import SegmentConfig
    from insula.errors import InsulaError, NoPermission
    from insula.evaluate import CaseStatistics, measure_case
    from insula.evaluate import calibrate as fit
    from insula.infer import choose_device

    choose_device(device)
    loaded, dataset = load_weights(weights, to_calibrate=True), find_cohort(cohort, label=label)
    home = find_weights(weights).parent
    if not os.access(home, os.W_OK):  # fail now, not after hours of computing
        raise NoPermission("the weights' folder", home, "cannot be written", "copy the weights and name the copy")
    only = test_part(dataset, split, fold)
    entries = [entry for entry in dataset.entries if not entry.hidden and (only is None or entry.case in only)]
    if trained := subjects_seen(loaded.card, {entry.subject: () for entry in entries}).get("trained on"):
        warn(
            f"{loaded.card.name} was trained on {len(trained)} subjects with these names (e.g. {trained[0]}); if they "
            "are the same subjects, the fitted thresholds and intervals are too optimistic"
        )
    measured: list[CaseStatistics] = []
    with bar(len(entries), "calibrating") as progress:
        for entry in entries:
            try:
                measured.append(measure_case(entry, loaded, SegmentConfig(device=device, assume_t1w=True)))
            except InsulaError as error:
                warn(f"{entry.case}: {error}")
            if progress is not None:
                progress.advance(progress.task_ids[0])
    card = fit(measured, loaded.card)
    path = store_card(weights, card)
    calibration, facts = card.calibration, card.calibration.fitted_on or {}
    print(
        f"{facts['cases']} cases of {facts['centres']} centres; mean Dice of cases with a lesion "
        f"{facts['mean_dice_in_sample']} (in-sample: the threshold was chosen on these cases)"
    )
    print(
        f"threshold {card.threshold:g} after calibration, smallest lesion {card.min_lesion_ml:g} ml, "
        f"least chance {calibration.least_chance:g}"
    )
    print(
        f"temperature {calibration.temperature:g}, bias {calibration.bias:g}: expected calibration error "
        f"{facts['calibration_error_before']:g} -> {facts['calibration_error_after']:g}, log loss per 1000 voxels "
        f"{facts['log_loss_before']:g} -> {facts['log_loss_after']:g}"
    )
    if "calibration_error_left_out" in facts:
        print(f"expected calibration error, each centre left out in turn: {facts['calibration_error_left_out']:g}")
    if "volume_coverage_left_out" in facts:
        print(
            f"volume intervals, each centre left out in turn: {facts['volume_coverage_left_out']:.0%} hold the "
            f"true volume (aim {calibration.level:.0%})"
        )
    tell(dataset.sheets, dataset.notes)
    print(path)
    return 0 if len(measured) == len(entries) else 1
