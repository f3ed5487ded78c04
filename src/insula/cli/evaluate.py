"""`insula evaluate`: score predictions against the true masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from insula.cli.console import bar, table, tell, warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from insula.checkpoint import Card
    from insula.evaluate import CaseScore, Comparison, Pair, Preset, ScoreRow
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
    """Score sets of predictions against the true masks of a cohort, and compare the sets case by case.

    Writes evaluation.html, evaluation.json and one TSV file of cases for each set. Cases with a lesion and controls are
    scored separately, except in the challenges' presets, which follow the challenges' rules.

    Args:
        cohort: Folder with the true masks.
        predictions: Folders of predicted masks (and probability maps), one folder for each set.
        out: Folder for the evaluation.
        preset: Set of metrics: all, or those of a challenge.
        split: Split file; only the test part of one fold is scored. All cases if not given.
        fold: Number of the fold in the split.
        label: Value of the lesion in the true masks, if they contain several labels.
        weights: Weights that made the predictions, to warn of subjects they were trained or calibrated on; not needed
            for predictions by bundled weights.
        primary: Metric that decides between sets; the other metrics are descriptive.
        hoped: Difference of the primary metric that would matter, in its own unit, for which the power is printed; 0.02
            if not given, for a metric between 0 and 1.
        jobs: Number of processes; 0 uses every core.
        debug: Show a traceback on errors.
    """
    from collections import Counter

    from insula.cli.split import test_part
    from insula.cohort import find_cohort, processors
    from insula.errors import UsageError
    from insula.evaluate import HOPED, METRICS, PRESETS, compare, pair_up, summarise
    from insula.io import OutputFolder, write_json, write_text

    if not predictions:
        raise UsageError("the predictions", "", "are missing", "write e.g. insula evaluate COHORT PREDICTIONS")
    chosen = PRESETS[preset]
    if primary not in chosen.metrics:
        rule = f"is not a metric of the preset {preset}"
        raise UsageError("--primary", primary, rule, f"choose one of {', '.join(chosen.metrics)}")
    if hoped is None and METRICS[primary].most != 1:
        raise UsageError(
            "--primary", primary, "is not between 0 and 1", "state the difference that would matter, e.g. --hoped 5"
        )
    hoped = HOPED if hoped is None else hoped
    if not hoped > 0:
        raise UsageError("--hoped", hoped, "is not above 0", "use the difference that would matter, e.g. 0.02")
    with OutputFolder(out) as folder:
        dataset = find_cohort(cohort, label=label)
        only = test_part(dataset, split, fold)
        name_counts = Counter(path.resolve().name for path in predictions)
        names = [path.resolve().name if name_counts[path.resolve().name] == 1 else str(path) for path in predictions]
        pairs = {name: pair_up(dataset, path, only=only) for name, path in zip(names, predictions, strict=True)}
        notes = [*dataset.sheets, *dataset.notes]
        if only is None:
            notes += [
                line
                for name, path in zip(names, predictions, strict=True)
                for line in _unpaired(name, path, pairs[name])
            ]
        _warn_of_known_subjects(pairs, weights)
        sets = _score(pairs, chosen, jobs or processors())
        rows = {name: summarise(scores, chosen) for name, scores in sets.items()}
        comparisons = compare(sets, chosen.metrics, primary=primary, hoped=hoped)
        from insula.report import gallery, render_evaluation

        pictures = {name: gallery(scores, pairs[name]) for name, scores in sets.items()}
        for name, scores in sets.items():
            write_text(folder / f"cases-{name.replace('/', '_')}.tsv", _table(scores, chosen.metrics))
        page = render_evaluation(sets, rows, comparisons, chosen, pictures, hoped=hoped, notes=notes)
        write_text(folder / "evaluation.html", page)
        write_json(folder / "evaluation.json", _record(chosen, sets, rows, comparisons, hoped) | {"notes": notes})
    _show(sets, rows, comparisons, hoped)
    tell((), notes)
    print(out / "evaluation.html")
    return 0


def _unpaired(name: str, folder: Path, pairs: tuple[Pair, ...]) -> list[str]:
    """Return a note on the predicted masks without a true mask in the cohort; no note if there are none."""
    from insula.cohort import find_predictions
    from insula.io.participants import count_names

    taken = {pair.mask for pair in pairs}
    left = [path.name for paths in find_predictions(folder)[0].values() for path in paths if path not in taken]
    return [f"passed over: {count_names(left, 'mask')} of {name} without a true mask to compare with"] if left else []


def _warn_of_known_subjects(pairs: dict[str, tuple[Pair, ...]], weights: str | None) -> None:
    """Warn of subjects that the weights behind these predictions were trained or calibrated on."""
    from insula.checkpoint import subjects_seen
    from insula.io.participants import first_few

    subjects: dict[str, list[str]] = {}
    for name, set_pairs in pairs.items():
        for card in _cards(set_pairs, weights):
            subjects = subjects or _scans_of(set_pairs)  # all sets have the same cases
            for use, known in subjects_seen(card, subjects).items():
                examples = first_few(known)
                warn(
                    f"{name}: {card.name} was {use} {len(known)} of {len(subjects)} of these subjects, by their "
                    f"names or scans ({examples}); if they are the same subjects, the scores are too optimistic"
                )


def _cards(pairs: tuple[Pair, ...], weights: str | None) -> list[Card]:
    """Return the cards of the given weights, or of the bundled weights named in records beside the predictions."""
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
    """Return subject -> SHA-256 of the files of its scans."""
    from contextlib import suppress

    from insula.errors import InsulaError
    from insula.io.bytes import read_file

    subjects: dict[str, list[str]] = {}
    for pair in pairs:
        files = subjects.setdefault(pair.entry.subject, [])
        for image in pair.entry.images[:1]:
            with suppress(InsulaError):  # an unreadable scan is reported elsewhere
                files.append(read_file(image).sha256)
    return subjects


def _score(pairs: dict[str, tuple[Pair, ...]], preset: Preset, jobs: int) -> dict[str, list[CaseScore]]:
    from functools import partial

    from insula.cohort import each
    from insula.errors import BadData
    from insula.evaluate import CaseScore, try_score

    sets: dict[str, list[CaseScore]] = {name: [] for name in pairs}
    count, refused = sum(map(len, pairs.values())), 0
    with bar(count, "scoring") as progress:
        for name, set_pairs in pairs.items():
            for score in each(partial(try_score, preset=preset), set_pairs, jobs=jobs):
                if isinstance(score, CaseScore):
                    sets[name].append(score)
                else:
                    refused += 1
                    warn(str(score))
                if progress is not None:
                    progress.advance(progress.task_ids[0])
    if refused:
        rule = "cannot be scored, and a mean over the other pairs would be biased"
        raise BadData("the comparison:", f"{refused} of {count} pairs", rule, "fix the errors above")
    return sets


def _show(
    sets: dict[str, list[CaseScore]], rows: dict[str, list[ScoreRow]], comparisons: Sequence[Comparison], hoped: float
) -> None:
    from insula.evaluate import METRICS, coverage
    from insula.io.participants import first_few

    for name, summary in rows.items():
        print(f"{name}: {len(sets[name])} cases")
        group = ""
        for row in summary:
            if row.stratum == "all":
                if row.group != group:
                    group = row.group
                    print(f"  {group}" if group != "all" else "  all cases")
                undefined = f"; undefined in {row.undefined}" if row.undefined else ""
                print(f"    {row.metric:26} {row.mean or 'undefined'}{undefined}")
        if reordered := [score.case for score in sets[name] if score.reordered]:
            examples = first_few(reordered)
            print(f"    {len(reordered)} predictions had another axis order and were reordered: {examples}")
        if any(row.metric in ("hd95_mm", "assd_mm") and row.undefined for row in summary if row.stratum == "all"):
            print(
                "    distances are undefined where a mask is empty: a set that misses lesions can have small distances"
            )
        covered, interval_count = coverage(sets[name])
        if interval_count:
            print(f"    {'volume intervals':26} {covered} of {interval_count} hold the true volume")
        dice = [row for row in summary if row.metric == "dice" and row.stratum not in ("all", "centre")]
        cells = [(f"{row.stratum}: {row.group}", row.n, _short(row.mean), _short(row.median)) for row in dice]
        table(("Dice by", "n", "mean [95 %]", "median [95 %]"), cells)
    for comparison in comparisons:
        group = "controls" if METRICS[comparison.metric].of == "control" else "cases with a lesion"
        sets_and_metric = f"{comparison.second} - {comparison.first}: {comparison.metric} of {group}"
        print(f"{sets_and_metric} {_outcome(comparison, hoped)}")


def _outcome(comparison: Comparison, hoped: float) -> str:
    """Return a difference in words; the primary metric's with its p value and power."""
    difference = comparison.difference
    if difference is None:
        return "is undefined in every case"
    counts = f"{comparison.better} better, {comparison.worse} worse, {difference.same} the same"
    text = f"{difference.mean.figures(4, signed=True)} ({difference.mean.basis}; {counts})"
    if not comparison.primary:
        return text
    if difference.p is None:
        return f"{text}: no test"
    text = f"{text}: p = {difference.p:.2g} ({comparison.p_holm:.2g} after Holm over pairs)"
    if difference.power is not None and difference.least is not None:
        chance = f"with a chance of {difference.power:.0%}, one of {difference.least:.3f} with 80%"
        text = f"{text}; a true difference of {hoped:g} would show {chance}"
    return text


def _short(interval: Interval | None) -> str | None:
    return interval.cell() if interval else None


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
    preset: Preset,
    sets: Mapping[str, Sequence[CaseScore]],
    rows: Mapping[str, Sequence[ScoreRow]],
    comparisons: Sequence[Comparison],
    hoped: float,
) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "format": "insula-evaluation/2",
        "preset": {"name": preset.name, "version": preset.version},
        "sets": {name: _record_of_set(scores, rows[name]) for name, scores in sets.items()},
        "hoped_difference": hoped,
        "comparisons": [asdict(comparison) for comparison in comparisons],
    }


def _record_of_set(scores: Sequence[CaseScore], rows: Sequence[ScoreRow]) -> dict[str, object]:
    from dataclasses import asdict, replace

    from insula.evaluate import coverage, reliability, size_recall

    curve = reliability(scores)
    return {
        "summary": [asdict(row) for row in rows],
        "lesions_by_size": size_recall(scores),
        "calibration_error": curve.error if curve else None,
        "log_loss_per_1000_voxels": curve.log_loss if curve else None,
        "volume_intervals": dict(zip(("hold", "of"), coverage(scores), strict=True)),
        "cases": [
            {key: value for key, value in asdict(replace(score, counts=None)).items() if key != "counts"}
            for score in scores
        ],
    }
