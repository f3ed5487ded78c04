"""A BIDS derivative for tests: results of small scans with sessions and runs, without a network."""

from __future__ import annotations

import json
from pathlib import Path

from adapt.scans import case as phantom
from insula.errors import BadData
from insula.io import write_json, write_mask, write_scan
from insula.io.bytes import read_file
from insula.predict import bids_case_paths, refusal, write_bids_dataset
from report.records import done_record

CASES = ("sub-1_ses-a", "sub-1_ses-b", "sub-2_run-1", "sub-2_run-2", "sub-3", "sub-4")
CORRECTION = {"network_volume_ml": 1.0, "added_ml": 0.0, "removed_ml": 0.0, "dice": 1.0}


def raw_scan(case: str) -> str:
    """The place of a case's scan inside its dataset."""
    parts = dict(part.split("-") for part in case.split("_"))
    folder = "/".join(f"{key}-{parts[key]}" for key in ("sub", "ses") if key in parts)
    return f"{folder}/anat/{case}_T1w.nii.gz"


def write_derivative(raw: Path, *, corrected: tuple[str, ...] = CASES) -> Path:
    """Write a dataset and `derivatives/insula` in it: masks that a person corrected, and a participant who failed."""
    out = raw / "derivatives" / "insula"
    out.mkdir(parents=True)
    (raw / "dataset_description.json").write_text(json.dumps({"Name": "phantoms", "BIDSVersion": "1.10.0"}))
    write_bids_dataset(raw, out)
    for number, case in enumerate(CASES):
        paths, scan, own = bids_case_paths(case, out), raw / raw_scan(case), phantom(number)
        for path in (paths.mask, scan):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_scan(scan, own.scan.image, own.scan.grid)
        write_mask(paths.mask, own.truth)
        record = done_record(case, mask_sha256=read_file(paths.mask).sha256)
        record["files"] = {"mask": paths.mask.name, "page": paths.page.name}
        record["scan"]["sha256"] = read_file(scan).sha256
        if case in corrected:
            record["correction"] = CORRECTION  # type: ignore[typeddict-item]
        write_json(paths.record, record)
        paths.page.write_text(f"the page of {case}")
    failed = bids_case_paths("sub-5", out).record
    failed.parent.mkdir(parents=True)
    write_json(failed, refusal("sub-5", BadData("the scan", "", "is damaged", "copy it again")))
    return out
