"""`insula evaluate`: predictions against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insula.cohort import Cohort
    from insula.evaluate import CaseScore, Pair, Preset, Row

__all__ = ["evaluate"]


def evaluate(
    cohort: Positional[Path],
    predictions: Positional[tuple[Path, ...]],
    /,
    out: Path = Path("insula-evaluation"),
    preset: Literal["atlas2022", "isles2026", "full"] = "full",
    split: Path | None = None,
    fold: int = 0,
    label: int | None = None,
    jobs: int = 0,
    calibrate: str | None = None,
    debug: bool = False,
) -> int:
    """Score one or several sets of predictions against a cohort, and compare them case by case.

    Writes evaluation.html, evaluation.json and one TSV of cases for each set.

    Args:
        cohort: The folder with the true masks.
        predictions: Folders of predicted masks (and probability maps).
        out: Where the evaluation goes.
        preset: Which metrics.
        split: Only the test part of this split.
        fold: Which fold of it.
        label: The value that is lesion in the true masks, if they hold several.
        jobs: Processes; 0 takes every core.
        calibrate: Weights that made the predictions; what these cases teach of their doubt is stored in their card.
        debug: Show a traceback on errors.
    """
    from collections import Counter

    from insula.cohort import find_cohort, processors
    from insula.errors import UsageError
    from insula.evaluate import PRESETS, compare, pair_up, summarise
    from insula.io import OutputFolder, write_json, write_text

    if not predictions:
        raise UsageError("the predictions", "", "are not named", "write e.g. insula evaluate COHORT PREDICTIONS")
    if calibrate is not None and len(predictions) != 1:
        raise UsageError("--calibrate", len(predictions), "sets of predictions are not one", "name one")
    chosen = PRESETS[preset]
    with OutputFolder(out) as folder:
        found = find_cohort(cohort, label=label)
        only = _test_part(found, split, fold)
        named = Counter(path.resolve().name for path in predictions)
        names = [path.resolve().name if named[path.resolve().name] == 1 else str(path) for path in predictions]
        pairs = {name: pair_up(found, path, only=only) for name, path in zip(names, predictions, strict=True)}
        sets = _score(pairs, chosen, jobs or processors())
        rows = {name: summarise(scores, chosen.metrics) for name, scores in sets.items()}
        comparisons = compare(sets, chosen.metrics)
        from insula.report import gallery, render_evaluation

        pictures = {name: gallery(scores, pairs[name]) for name, scores in sets.items()}
        for name, scores in sets.items():
            write_text(folder / f"cases-{name.replace('/', '_')}.tsv", _table(scores, chosen.metrics))
        write_text(folder / "evaluation.html", render_evaluation(sets, rows, comparisons, chosen, pictures))
        write_json(folder / "evaluation.json", _record(chosen, sets, rows, comparisons))
    _tell(sets, rows, comparisons)
    if calibrate is not None:
        _calibrate(calibrate, sets[names[0]], pairs[names[0]])
    print(out / "evaluation.html")
    return 0


def _score(pairs: dict[str, tuple[Pair, ...]], preset: Preset, jobs: int) -> dict[str, list[CaseScore]]:
    from functools import partial

    from insula.cli.console import bar
    from insula.cohort import each
    from insula.evaluate import score_pair

    sets: dict[str, list[CaseScore]] = {}
    with bar(sum(map(len, pairs.values())), "scoring") as progress:
        for name, some in pairs.items():
            sets[name] = []
            for score in each(partial(score_pair, metrics=preset.metrics), some, jobs=jobs):
                sets[name].append(score)
                if progress is not None:
                    progress.advance(progress.task_ids[0])
    return sets


def _test_part(found: Cohort, split: Path | None, fold: int) -> tuple[str, ...] | None:
    if split is None:
        return None
    import json

    from insula.errors import BadData, NoInput, UsageError

    try:
        tree = json.loads(split.read_text(encoding="utf-8"))
        folds = [tuple(one["test"]) for one in tree["folds"]]
    except FileNotFoundError:
        raise NoInput("the split", split, "does not exist", "make it with `insula cohort split`") from None
    except (ValueError, KeyError, TypeError) as error:
        rule = f"is not what `insula cohort split` wrote ({error})"
        raise BadData("the split", split.name, rule, "make it again") from None
    if not 0 <= fold < len(folds):
        raise UsageError("--fold", fold, f"is not one of {len(folds)}", f"choose 0 to {len(folds) - 1}")
    absent = set(folds[fold]) - {entry.case for entry in found.entries}
    if absent:
        rule = f"names {len(absent)} cases that are not in the cohort, e.g. {min(absent)}"
        raise BadData("the split", split.name, rule, "make it again")
    return folds[fold]


def _calibrate(weights: str, scores: Sequence[CaseScore], pairs: Sequence[Pair]) -> None:
    """Fit, and store in the weights' card; the masks they make stay as they are."""
    import hashlib
    from dataclasses import replace

    from insula.checkpoint import load_weights, store_card
    from insula.evaluate import calibrate, made_by, moved_threshold

    loaded = load_weights(weights)
    made_by(pairs, loaded.sha256)
    digest = hashlib.sha256("".join(f"{s.case} {s.truth_voxels}\n" for s in scores).encode()).hexdigest()
    before = loaded.card.calibration.temperature
    fitted = calibrate(scores, cohort_sha256=digest)
    threshold = moved_threshold(loaded.card.threshold, fitted.temperature)
    card = replace(
        loaded.card, threshold=threshold, calibration=replace(fitted, temperature=round(before * fitted.temperature, 4))
    )
    path = store_card(weights, card)
    facts = fitted.fitted_on or {}
    print(
        f"temperature {card.calibration.temperature:g}, threshold {threshold:g} (the same masks), from {facts['cases']} cases"
    )
    print(f"log loss per 1000 voxels {facts['log_loss_before']:g} -> {facts['log_loss_after']:g}")
    if "volume_coverage" in facts:
        print(f"volume intervals, each centre left out in turn: {facts['volume_coverage']:.0%} hold the truth")
    print(path)


def _tell(sets: dict[str, list[CaseScore]], rows: dict[str, list[Row]], comparisons: Any) -> None:
    from insula.evaluate import coverage

    for name, summary in rows.items():
        print(f"{name}: {len(sets[name])} cases")
        for row in summary:
            if row.stratum == "all":
                doubt = f"; {row.undefined} undefined" if row.undefined else ""
                print(f"  {row.metric:26} {row.mean or 'undefined'}{doubt}")
        held, told = coverage(sets[name])
        if told:
            print(f"  {'volume intervals':26} {held} of {told} hold the true volume")
    for one in comparisons:
        print(
            f"{one.second} - {one.first}: {one.metric} {one.difference:+.4f}, p = {one.p:.2g} ({one.p_holm:.2g} after Holm), n = {one.n}"
        )


def _table(scores: Sequence[CaseScore], metrics: Sequence[str]) -> str:
    head = ("case", "centre", "chronicity", "hemisphere", "truth_voxels", "truth_ml", "predicted_ml")
    rows = ["\t".join((*head, *metrics))]
    for score in scores:
        cells = [getattr(score, key) for key in head] + [score.metrics[key] for key in metrics]
        rows.append(
            "\t".join(
                "n/a" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in cells
            )
        )
    return "\n".join(rows) + "\n"


def _record(preset: Preset, sets: Any, rows: dict[str, list[Row]], comparisons: Any) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from insula.evaluate import coverage, reliability, size_recall

    return {
        "format": "insula-evaluation/1",
        "preset": {"name": preset.name, "version": preset.version},
        "sets": {
            name: {
                "summary": [asdict(row) for row in rows[name]],
                "lesions_by_size": size_recall(scores),
                "calibration_error": found.error if (found := reliability(scores)) else None,
                "log_loss_per_1000_voxels": found.log_loss if found else None,
                "volume_intervals": dict(zip(("hold", "of"), coverage(scores), strict=True)),
                "cases": [
                    {key: value for key, value in asdict(replace(score, counts=None)).items() if key != "counts"}
                    for score in scores
                ],
            }
            for name, scores in sets.items()
        },
        "comparisons": [asdict(one) for one in comparisons],
    }
