"""The tables of a study for statistics programs: one row a case, one row a lesion, and what each column means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from insula.io import write_text
from insula.io.cells import row_text
from insula.io.entities import acquisition, entities_of, joined
from insula.postprocess import side_of
from insula.predict import CaseRecord, ResultRecord, review_score
from insula.report import OUTDATED, VERDICTS, Review, case_verdict

__all__ = ["case_line", "lesion_lines", "write_columns", "write_tables"]

_CASE_COLUMNS: dict[str, dict[str, object]] = {
    "case": {"Description": "Name of the case; its files begin with it"},
    "subject": {"Description": "Label of the BIDS entity sub in the name"},
    "session": {"Description": "Label of the BIDS entity ses in the name"},
    "entities": {"Description": "Other BIDS entities in the name that identify the acquisition"},
    "outcome": {
        "Description": "Whether the scan was segmented",
        "Levels": {"done": "segmented", "refused": "refused for the reason in message"},
    },
    "volume_ml": {"Description": "Lesion volume", "Units": "mL"},
    "mask": {
        "Description": "Whose the mask is, and with it the volume",
        "Levels": {"network": "the network's", "corrected": "a person's, who corrected the network's"},
    },
    "network_volume_ml": {"Description": "Lesion volume of the network's mask", "Units": "mL"},
    "volume_low_ml": {"Description": "Lower end of the interval of the true volume", "Units": "mL"},
    "volume_high_ml": {"Description": "Upper end of the interval of the true volume", "Units": "mL"},
    "interval_level": {
        "Description": "How often the true volume lies in such an interval, for cases like those of calibration"
    },
    "lesion_count": {"Description": "Number of connected pieces (26-connected); not the number of strokes"},
    "largest_lesion_ml": {"Description": "Volume of the largest piece", "Units": "mL"},
    "side": {
        "Description": "Side of the brain with at least 90 % of the lesion volume",
        "Levels": {"left": "left", "right": "right", "both": "neither side has 90 %"},
    },
    "left_ml": {"Description": "Lesion volume left of the middle of the brain", "Units": "mL"},
    "right_ml": {"Description": "Lesion volume right of the middle of the brain", "Units": "mL"},
    "brain_volume_ml": {"Description": "Volume of the brain mask, lesion included", "Units": "mL"},
    "lesion_share": {"Description": "Lesion volume divided by brain volume"},
    "warnings": {"Description": "Codes of the warnings, joined by commas; see the record of the case"},
    "review_score": {"Description": "How much the result needs a look, 0 to 1; an order, not a probability"},
    "review_reasons": {"Description": "Reasons for the review score, strongest first, joined by semicolons"},
    "verdict": {
        "Description": "Latest verdict of a rater on the mask; empty if there is none",
        "Levels": {**VERDICTS, OUTDATED: "all verdicts are on an earlier mask"},
    },
    "raters": {"Description": "Raters with a verdict on the mask, joined by semicolons"},
    "message": {"Description": "Why the scan was refused, or why its mask is empty"},
    "weights": {"Description": "Name of the network's weights"},
    "weights_sha256": {"Description": "SHA-256 of the weights"},
    "insula": {"Description": "Version of insula"},
    "scan_sha256": {"Description": "SHA-256 of the scan's file"},
}
_LESION_COLUMNS: dict[str, dict[str, object]] = {
    **{name: _CASE_COLUMNS[name] for name in ("case", "subject", "session")},
    "lesion": {"Description": "Number of the lesion within its case; 1 is the largest"},
    "lesion_volume_ml": {"Description": "Volume of the lesion", "Units": "mL"},
    "x_mm": {"Description": "Centre of mass in the scan's own space, to the right", "Units": "mm"},
    "y_mm": {"Description": "Centre of mass in the scan's own space, to the front", "Units": "mm"},
    "z_mm": {"Description": "Centre of mass in the scan's own space, upwards", "Units": "mm"},
    "extent_x_mm": {"Description": "Size from left to right", "Units": "mm"},
    "extent_y_mm": {"Description": "Size from back to front", "Units": "mm"},
    "extent_z_mm": {"Description": "Size from bottom to top", "Units": "mm"},
    "mean_probability": {"Description": "Mean probability of its voxels, 0 to 1"},
    "confidence": {"Description": "Probability that the lesion is real, 0 to 1, for cases like those of calibration"},
}


def case_line(record: CaseRecord, reviews: Mapping[str, Sequence[Review]]) -> str:
    """Return the row of a case, done or refused, in the table of cases.

    Cells are separated by tabs. Numbers have a decimal point, and missing values are empty.

    Args:
        record: the JSON record of the case.
        reviews: from `reviews_by_case`.
    """
    return row_text(_CASE_COLUMNS, _case_row(record) | _review_cells(record, reviews))


def lesion_lines(record: CaseRecord) -> list[str]:
    """Return the rows of a case in the table of lesions, formed like `case_line`; none for a refused case.

    Args:
        record: the JSON record of the case.
    """
    return [row_text(_LESION_COLUMNS, row) for row in _lesion_rows(record)] if record["outcome"] == "done" else []


def write_tables(folder: Path, cases: Sequence[str], lesions: Sequence[str]) -> None:
    """Write `results.tsv` and `lesions.tsv`, a header and then the rows.

    Args:
        folder: where to write.
        cases: from `case_line`, in the order of the rows.
        lesions: from `lesion_lines`.

    Raises:
        IOFault, NoPermission: a file cannot be written.
    """
    for name, columns, lines in (("results", _CASE_COLUMNS, cases), ("lesions", _LESION_COLUMNS, lesions)):
        write_text(folder / f"{name}.tsv", "\n".join(["\t".join(columns), *lines]) + "\n")


def write_columns(folder: Path) -> None:
    """Write `results.json` and `lesions.json`, which describe the columns of the tables as BIDS asks for.

    Args:
        folder: where to write.

    Raises:
        IOFault, NoPermission: a file cannot be written.
    """
    for name, columns in (("results", _CASE_COLUMNS), ("lesions", _LESION_COLUMNS)):
        write_text(folder / f"{name}.json", json.dumps(columns, indent=2) + "\n")


def _case_row(record: CaseRecord) -> dict[str, object]:
    review = review_score(record)
    row = _named(record) | {"review_score": f"{review.score:.3f}", "review_reasons": "; ".join(review.reasons)}
    if record["outcome"] == "refused":
        return {**row, "outcome": "refused", "message": record["error"]["message"]}
    confidence, brain, lesions = record["confidence"], record["brain"] or {}, record["lesions"]
    low, high = confidence["volume_interval_ml"] or (None, None)
    correction = record.get("correction")
    sides = record.get("sides") or {}  # records of earlier versions have none
    return {
        **row,
        "outcome": "done",
        "volume_ml": record["volume_ml"],
        "mask": "network" if correction is None else "corrected",
        "network_volume_ml": record["volume_ml"] if correction is None else correction["network_volume_ml"],
        "volume_low_ml": low,
        "volume_high_ml": high,
        "interval_level": confidence["volume_interval_level"],
        "lesion_count": record["lesion_count"],
        "largest_lesion_ml": lesions[0]["volume_ml"] if lesions else 0,
        "side": _side(sides),
        **sides,
        "brain_volume_ml": brain.get("volume_ml"),
        "lesion_share": brain.get("lesion_share"),
        "warnings": ",".join(flag["code"] for flag in record["flags"] if flag["severity"] == "warning"),
        "message": record["reason"],
        "weights": record["provenance"]["weights"]["name"],
        "weights_sha256": record["provenance"]["weights"]["sha256"],
        "insula": record["provenance"]["insula"],
        "scan_sha256": record["scan"]["sha256"],
    }


def _review_cells(record: CaseRecord, reviews: Mapping[str, Sequence[Review]]) -> dict[str, object]:
    verdict = case_verdict(record, reviews)
    return {"verdict": verdict.verdict, "raters": "; ".join(verdict.raters)}


def _side(sides: dict[str, float]) -> str:
    side = side_of(sides["left_ml"], sides["right_ml"]) if sides else "none"
    return "" if side == "none" else side


def _lesion_rows(record: ResultRecord) -> list[dict[str, object]]:
    named, rows = _named(record), []
    for lesion in record["lesions"]:
        row = {**named, "lesion": lesion["number"], "lesion_volume_ml": lesion["volume_ml"]}
        for prefix, key in (("", "centre_mm"), ("extent_", "extent_mm")):
            values = cast(Sequence[float], lesion[key])
            row |= {f"{prefix}{axis}_mm": value for axis, value in zip("xyz", values, strict=True)}
        rows.append({**row, "mean_probability": lesion["mean_probability"], "confidence": lesion["confidence"]})
    return rows


def _named(record: CaseRecord) -> dict[str, object]:
    entities = acquisition(entities_of(record["case"]))
    subject, session = entities.pop("sub", ""), entities.pop("ses", "")
    return {"case": record["case"], "subject": subject, "session": session, "entities": joined(entities)}
