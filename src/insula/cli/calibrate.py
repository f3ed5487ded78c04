"""`insula calibrate`: what a validation part teaches of the weights' doubt."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

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
    """Choose threshold and smallest lesion, fit temperature, volume interval and lesion confidence.

    All of it is stored in the weights' card and used by `insula segment` from then on. Give cases that trained
    nothing and will not be tested on: a fold's test part, or a cohort of its own.

    Args:
        weights: A file or folder that can be written, a folder of folds, or bundled weights.
        cohort: The folder with scans and true masks.
        split: Only the test part of this split.
        fold: Which fold of it.
        label: The value that is lesion in the true masks, if they hold several.
        device: auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    import os
    import sys

    from insula.checkpoint import find_weights, load_weights, store_card, subjects_seen
    from insula.cli.console import bar, tell
    from insula.cli.split import test_part
    from insula.cohort import find_cohort
    from insula.config import SegmentConfig
    from insula.errors import InsulaError, NoPermission
    from insula.evaluate import Studied, study
    from insula.evaluate import calibrate as fit
    from insula.infer import choose_device

    choose_device(device)
    loaded, found = load_weights(weights), find_cohort(cohort, label=label)
    home = find_weights(weights).parent
    if not os.access(home, os.W_OK):  # said before the hours, not after
        raise NoPermission("the weights' folder", home, "cannot be written", "copy the weights and name the copy")
    only = test_part(found, split, fold)
    entries = [entry for entry in found.entries if not entry.hidden and (only is None or entry.case in only)]
    if trained := subjects_seen(loaded.card, {entry.subject: () for entry in entries}).get("trained on"):
        print(
            f"insula: {loaded.card.name} was trained on {len(trained)} subjects of these names (e.g. {trained[0]}); if they are "
            "the same, thresholds and intervals are fitted to answers that are too good",
            file=sys.stderr,
        )
    studied: list[Studied] = []
    with bar(len(entries), "calibrating") as progress:
        for entry in entries:
            try:
                studied.append(study(entry, loaded, SegmentConfig(device=device, assume_t1w=True)))
            except InsulaError as error:
                print(f"insula: {entry.case}: {error}", file=sys.stderr)
            if progress is not None:
                progress.advance(progress.task_ids[0])
    card = fit(studied, loaded.card)
    path = store_card(weights, card)
    made, facts = card.calibration, card.calibration.fitted_on or {}
    print(
        f"{facts['cases']} cases of {facts['centres']} centres; mean Dice on those with a lesion {facts['mean_dice_in_sample']}, in-sample: "
        "the rule was chosen on them"
    )
    print(
        f"threshold {card.threshold:g} after calibration, smallest lesion {card.min_lesion_ml:g} ml, least chance {card.calibration.least_chance:g}"
    )
    print(
        f"temperature {made.temperature:g}, bias {made.bias:g}: expected calibration error {facts['calibration_error_before']:g} -> "
        f"{facts['calibration_error_after']:g}, log loss per 1000 voxels {facts['log_loss_before']:g} -> {facts['log_loss_after']:g}"
    )
    if "calibration_error_left_out" in facts:
        print(f"expected calibration error, each centre left out in turn: {facts['calibration_error_left_out']:g}")
    if "volume_coverage_left_out" in facts:
        print(
            f"volume intervals, each centre left out in turn: {facts['volume_coverage_left_out']:.0%} hold the truth (aim {made.level:.0%})"
        )
    tell(found.sheets, found.notes)
    print(path)
    return 0 if len(studied) == len(entries) else 1
