"""`insula consensus`: one mask a case from the masks of several raters."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from insula.cli.exits import code_of_cases
from insula.cli.flags import flagged

if TYPE_CHECKING:
    from insula.study import ConsensusRecord

__all__ = ["consensus"]


def consensus(
    raters: Positional[tuple[Path, ...]],
    /,
    out: Path = Path("insula-consensus"),
    method: Literal["staple", "majority"] = "staple",
    label: int | None = None,
    debug: bool = False,
) -> int:
    """Form the consensus of several raters' masks, and measure how well they agree.

    Give a folder for each rater, in which the masks of a case have the same name, or the masks of one case. Writes
    NAME_mask.nii.gz for each case with masks of two raters or more, on the grid of the first, and tables of volumes,
    Dice, sensitivity and specificity. insula correct takes the folder as --masks.

    Args:
        raters: Folders of masks, one of each rater; or masks of one case, one of each rater.
        out: Folder for the consensus.
        method: staple weighs the raters by how well they agree (pip install 'insula[consensus]'); majority takes the
            voxels that more than half of the raters marked, and needs three raters.
        label: Label of the lesion in masks with several.
        debug: Show a traceback on errors.
    """
    from insula.cli.console import warn
    from insula.io import printable
    from insula.io.participants import first_few
    from insula.study import consensus_study, find_rater_masks

    masks = find_rater_masks(raters)
    failed, done = [], list["ConsensusRecord"]()
    for outcome in consensus_study(masks, out, method=method, label=label):
        case = printable(outcome.case)
        if outcome.missing:
            warn(f"{case}: no mask of {', '.join(map(printable, outcome.missing))}")
        if outcome.error is not None:
            failed.append(outcome.error)
            warn(f"{case}: {flagged(outcome.error)}")
        if outcome.record is not None:
            done.append(outcome.record)
            print("\n".join(_lines(outcome.record)), flush=True)
    if single := masks.single:
        warn(f"{len(single)} cases with one mask have no consensus: {first_few([printable(case) for case in single])}")
    if len(done) > 1:
        for pair, values in _dice_by_pair(done).items():
            print(f"{pair}: mean Dice {fmean(values):.3f} in {len(values)} case{'' if len(values) == 1 else 's'}")
    for line in _flags(done):
        warn(line)
    print(out / "consensus.tsv")
    return code_of_cases(failed, len(failed) + len(done))


def _lines(record: ConsensusRecord) -> list[str]:
    from insula.io import printable

    lines = [
        f"{printable(record['case'])}: {record['volume_ml']:.2f} ml, {record['method']} of {len(record['raters'])}"
    ]
    width = max(len(printable(rater["rater"])) for rater in record["raters"])
    for rater in record["raters"]:
        line = f"  {printable(rater['rater']):{width}}  {rater['volume_ml']:8.2f} ml  Dice {rater['dice']:.3f}"
        for name, rate, digits in (("sensitivity", rater["sensitivity"], 3), ("specificity", rater["specificity"], 5)):
            line += "" if rate is None else f"  {name} {rate:.{digits}f}"
        lines.append(line)
    lines += [
        f"  {printable(pair['rater_a'])} and {printable(pair['rater_b'])}: Dice {pair['dice']:.3f}"
        for pair in record["pairs"]
    ]
    return lines


def _flags(records: list[ConsensusRecord]) -> list[str]:
    """Return a line for each kind of flag of each rater's masks: the first text, and how many cases have one."""
    from insula.io import printable

    texts: dict[tuple[str, str], list[str]] = {}
    for rater in (rater for record in records for rater in record["raters"]):
        for flag in rater["flags"]:
            texts.setdefault((rater["rater"], flag["code"]), []).append(flag["text"])
    counts = {key: f" (in {len(lines)} cases)" if len(lines) > 1 else "" for key, lines in texts.items()}
    return [f"{printable(rater)}: {texts[rater, code][0]}{count}" for (rater, code), count in counts.items()]


def _dice_by_pair(records: list[ConsensusRecord]) -> dict[str, list[float]]:
    from insula.io import printable

    values: dict[str, list[float]] = {}
    for pair in (pair for record in records for pair in record["pairs"]):
        name = f"{printable(pair['rater_a'])} and {printable(pair['rater_b'])}"
        values.setdefault(name, []).append(pair["dice"])
    return values
