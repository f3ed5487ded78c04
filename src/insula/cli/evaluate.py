"""`insula evaluate`: predictions against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insula.checkpoint import Card
    from insula.evaluate import CaseScore, Comparison, Pair, Preset, Row
    from insula.stats import Interval

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
    weights: str | None = None,
    primary: str = "dice",
    hoped: float | None = None,
    jobs: int = 0,
    debug: bool = False,
) -> int:
    """Score one or several sets of predictions against a cohort, and compare them case by case.

    Writes evaluation.html, evaluation.json and one TSV of cases for each set. Cases with a lesion and controls are apart, but
    for the challenges' presets, which keep their rules.

    Args:
        cohort: The folder with the true masks.
        predictions: Folders of predicted masks (and probability maps).
        out: Where the evaluation goes.
        preset: Which metrics.
        split: Only the test part of this split.
        fold: Which fold of it.
        label: The value that is lesion in the true masks, if they hold several.
        weights: The weights that made the predictions: it is said which cases they have seen. Where insula wrote the predictions
            with weights of its own, it is said anyway.
        primary: The metric that decides between sets; the others describe.
        hoped: The difference of that metric that would matter, in its own unit; the power to see it is printed. 0.02 for a metric
            between 0 and 1.
        jobs: Processes; 0 takes every core.
        debug: Show a traceback on errors.
    """
    from collections import Counter

    from insula.cli.console import tell
    from insula.cli.split import test_part
    from insula.cohort import find_cohort, processors
    from insula.errors import UsageError
    from insula.evaluate import HOPED, METRICS, PRESETS, compare, pair_up, summarise
    from insula.io import OutputFolder, write_json, write_text

    if not predictions:
        raise UsageError("the predictions", "", "are not named", "write e.g. insula evaluate COHORT PREDICTIONS")
    chosen = PRESETS[preset]
    if primary not in chosen.metrics:
        rule = f"is no metric of the preset {preset}"
        raise UsageError("--primary", primary, rule, f"choose one of {', '.join(chosen.metrics)}")
    if hoped is None and METRICS[primary].most != 1:
        raise UsageError(
            "--primary", primary, "has a unit of its own", "say what difference would matter, e.g. --hoped 5"
        )
    hoped = HOPED if hoped is None else hoped
    if not hoped > 0:
        raise UsageError("--hoped", hoped, "is not above 0", "name the difference that would matter, e.g. 0.02")
    with OutputFolder(out) as folder:
        found = find_cohort(cohort, label=label)
        only = test_part(found, split, fold)
        named = Counter(path.resolve().name for path in predictions)
        names = [path.resolve().name if named[path.resolve().name] == 1 else str(path) for path in predictions]
        pairs = {name: pair_up(found, path, only=only) for name, path in zip(names, predictions, strict=True)}
        notes = [*found.sheets, *found.notes]
        if only is None:
            notes += [
                line
                for name, path in zip(names, predictions, strict=True)
                for line in _unpaired(name, path, pairs[name])
            ]
        _warn_of_seen(pairs, weights)
        sets = _score(pairs, chosen, jobs or processors())
        rows = {name: summarise(scores, chosen) for name, scores in sets.items()}
        comparisons = compare(sets, chosen.metrics, primary=primary, hoped=hoped)
        from insula.report import gallery, render_evaluation

        pictures = {name: gallery(scores, pairs[name]) for name, scores in sets.items()}
        for name, scores in sets.items():
            write_text(folder / f"cases-{name.replace('/', '_')}.tsv", _table(scores, chosen.metrics))
        write_text(
            folder / "evaluation.html", render_evaluation(sets, rows, comparisons, chosen, pictures, hoped=hoped)
        )
        write_json(folder / "evaluation.json", _record(chosen, sets, rows, comparisons, hoped) | {"notes": notes})
    _tell(sets, rows, comparisons, hoped)
    tell((), notes)
    print(out / "evaluation.html")
    return 0


def _unpaired(name: str, folder: Path, pairs: tuple[Pair, ...]) -> list[str]:
    """In a sentence, predicted masks that no truth of the cohort belongs to."""
    from insula.cohort import find_predictions
    from insula.io.participants import count_names

    taken = {pair.mask for pair in pairs}
    left = [path.name for paths in find_predictions(folder)[0].values() for path in paths if path not in taken]
    return [f"passed over: {count_names(left, 'mask')} of {name} without a true mask to compare with"] if left else []


def _warn_of_seen(pairs: dict[str, tuple[Pair, ...]], weights: str | None) -> None:
    """Which subjects the weights of these predictions have been made with, on the terminal."""
    import sys

    from insula.checkpoint import subjects_seen

    subjects: dict[str, list[str]] = {}
    for name, some in pairs.items():
        for card in _cards(some, weights):
            subjects = subjects or _scans_of(some)  # every set is of the same cases
            for how, seen in subjects_seen(card, subjects).items():
                told = ", ".join(seen[:3]) + (", ..." if len(seen) > 3 else "")
                print(
                    f"insula: {name}: {card.name} was {how} {len(seen)} of {len(subjects)} of these subjects, by their "
                    f"names or scans ({told}); if they are the same, the scores are too good",
                    file=sys.stderr,
                )


def _cards(pairs: tuple[Pair, ...], weights: str | None) -> list[Card]:
    """The cards of weights that are named, or of bundled ones that records beside the predictions name."""
    from insula.checkpoint import load_weights
    from insula.errors import InsulaError
    from insula.evaluate import weights_used

    if weights is not None:
        return [load_weights(weights).card]
    cards = []
    for known, sha in weights_used(pairs):
        try:
            loaded = load_weights(known)
        except InsulaError:  # not bundled
            continue
        cards += [loaded.card] if loaded.sha256 == sha else []
    return cards


def _scans_of(pairs: tuple[Pair, ...]) -> dict[str, list[str]]:
    """Subject -> SHA-256 of its scans' files."""
    from contextlib import suppress

    from insula.errors import InsulaError
    from insula.io.bytes import read_file

    subjects: dict[str, list[str]] = {}
    for pair in pairs:
        files = subjects.setdefault(pair.subject, [])
        if pair.image is not None:
            with suppress(InsulaError):  # whether it can be read is not for here to say
                files.append(read_file(pair.image).sha256)
    return subjects


def _score(pairs: dict[str, tuple[Pair, ...]], preset: Preset, jobs: int) -> dict[str, list[CaseScore]]:
    import sys
    from functools import partial

    from insula.cli.console import bar
    from insula.cohort import each
    from insula.errors import BadData
    from insula.evaluate import CaseScore, try_score

    sets: dict[str, list[CaseScore]] = {name: [] for name in pairs}
    count, refused = sum(map(len, pairs.values())), 0
    with bar(count, "scoring") as progress:
        for name, some in pairs.items():
            for found in each(partial(try_score, preset=preset), some, jobs=jobs):
                if isinstance(found, CaseScore):
                    sets[name].append(found)
                else:
                    refused += 1
                    print(f"insula: {found}", file=sys.stderr)
                if progress is not None:
                    progress.advance(progress.task_ids[0])
    if refused:
        rule = "cannot be scored, and a mean over the others would flatter or blame"
        raise BadData("the comparison:", f"{refused} of {count} pairs", rule, "mend what is named above")
    return sets


def _tell(
    sets: dict[str, list[CaseScore]], rows: dict[str, list[Row]], comparisons: Sequence[Comparison], hoped: float
) -> None:
    from insula.cli.console import table
    from insula.evaluate import METRICS, coverage

    for name, summary in rows.items():
        print(f"{name}: {len(sets[name])} cases")
        group = ""
        for row in summary:
            if row.stratum == "all":
                if row.group != group:
                    group = row.group
                    print(f"  {group}" if group != "all" else "  all cases")
                apart = f"; undefined in {row.undefined}" if row.undefined else ""
                print(f"    {row.metric:26} {row.mean or 'undefined'}{apart}")
        if moved := [score.case for score in sets[name] if score.reordered]:
            print(
                f"    {len(moved)} predictions in another axis order were brought over: {', '.join(moved[:3])}{', ...' if len(moved) > 3 else ''}"
            )
        if any(row.metric in ("hd95_mm", "assd_mm") and row.undefined for row in summary if row.stratum == "all"):
            print("    distances are undefined where one mask is empty: a set that misses lesions can have small ones")
        held, told = coverage(sets[name])
        if told:
            print(f"    {'volume intervals':26} {held} of {told} hold the true volume")
        dice = [row for row in summary if row.metric == "dice" and row.stratum not in ("all", "centre")]
        cells = [(f"{row.stratum}: {row.group}", row.n, _short(row.mean), _short(row.median)) for row in dice]
        table(("Dice by", "n", "mean [95 %]", "median [95 %]"), cells)
    for one in comparisons:
        of = "controls" if METRICS[one.metric].of == "control" else "cases with a lesion"
        print(f"{one.second} - {one.first}: {one.metric} of {of} {_outcome(one, hoped)}")


def _outcome(one: Comparison, hoped: float) -> str:
    """A difference in words: the primary metric's with its p and power."""
    found = one.difference
    if found is None:
        return "is undefined in every case"
    text = f"{found.mean.figures(4, signed=True)} ({found.mean.basis}; {one.better} better, {one.worse} worse, {found.same} the same)"
    if not one.primary:
        return text
    if found.p is None:
        return f"{text}: no test"
    text = f"{text}: p = {found.p:.2g} ({one.p_holm:.2g} after Holm over pairs)"
    if found.power is not None and found.least is not None:
        text = f"{text}; a true difference of {hoped:g} would show with a chance of {found.power:.0%}, one of {found.least:.3f} with 80%"
    return text


def _short(found: Interval | None) -> str | None:
    return found.cell() if found else None


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


def _record(
    preset: Preset, sets: Any, rows: dict[str, list[Row]], comparisons: Sequence[Comparison], hoped: float
) -> dict[str, Any]:
    from dataclasses import asdict, replace

    from insula.evaluate import coverage, reliability, size_recall

    return {
        "format": "insula-evaluation/2",
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
        "hoped_difference": hoped,
        "comparisons": [asdict(one) for one in comparisons],
    }
