"""`insula correct`: take masks that people edited into a folder of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from insula.cli.exits import code_of_cases
from insula.cli.flags import flagged

if TYPE_CHECKING:
    from insula.study import CorrectionOutcome

__all__ = ["correct"]


def correct(
    results: Positional[Path],
    scans: Positional[tuple[str, ...]],
    /,
    masks: Path | None = None,
    label: int | None = None,
    debug: bool = False,
) -> int:
    """Take edited masks into a folder of results.

    Edit NAME_mask.nii.gz in any viewer and save it under its own name, as NAME_corrected.nii.gz beside it, or into a
    folder of your own. It is checked against the scan's grid and becomes the case's mask; volume, lesions, page, tables
    and index are made anew and say that it was corrected. The network's mask stays as NAME_network_mask.nii.gz.

    In a BIDS derivative, desc-corrected in place of desc-insula names the edited mask, desc-network the network's.

    Args:
        results: Folder that insula segment or insula-bids wrote.
        scans: Scans that were segmented: files, folders or patterns; the pages show them. May be left out for a folder
            that insula-bids wrote, if its BIDS dataset is where it was.
        masks: Folder with the edited masks, if they are not in the folder of results; each name begins with its case.
        label: Label of the lesion in masks with several.
        debug: Show a traceback on errors.
    """
    from insula.cli.console import warn
    from insula.errors import NoInput
    from insula.io import printable
    from insula.io.participants import first_few
    from insula.study import (
        correct_study,
        earlier_records,
        masks_of_no_case,
        needs_scans,
        passed_over,
        results_in,
    )

    if not scans and needs_scans(results):
        raise NoInput("the scans", "", "are missing", f"write e.g. insula correct {results} scans")
    failed, count = [], 0
    for outcome in correct_study(results, scans, masks=masks, label=label):
        count += 1
        if outcome.error is not None:
            failed.append(outcome.error)
            warn(f"{printable(outcome.case)}: {flagged(outcome.error)}")
        else:
            print(_line(outcome), flush=True)
        if outcome.set_aside is not None:
            warn(f"{printable(outcome.case)}: the earlier correction is now {printable(outcome.set_aside.name)}")
    if unknown := [] if masks is None else masks_of_no_case(results, masks):
        names = first_few([printable(path.name) for path in unknown])
        warn(f"{len(unknown)} of the masks belong to no case: {names}")
    found = results_in(results)
    if others := passed_over(found, earlier_records(found)):
        warn(others)
    print(results / "index.html")
    return code_of_cases(failed, count)


def _line(outcome: CorrectionOutcome) -> str:
    """Return the line of a case whose mask was taken in, or that was so already."""
    from insula.io import printable

    record, case = outcome.record, printable(outcome.case)
    if outcome.outcome == "same" or record["outcome"] != "done":
        return f"{case}: the edited mask is the present one"
    line = f"{case}: {record['volume_ml']:.2f} ml, corrected by hand"
    correction = record.get("correction")
    if correction is None or correction["dice"] is None:
        return f"{line}; the network's mask is lost"
    added, removed = correction["added_ml"] or 0, correction["removed_ml"] or 0
    network = f"the network's {correction['network_volume_ml']:.2f} ml"
    return f"{line} ({network}, added {added:.2f}, removed {removed:.2f}, Dice {correction['dice']:.3f})"
