"""What a correction keeps beside a mask is told by its name and its neighbour, in both layouts alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.io.kept_masks import KeptMask, earlier_mask, earlier_masks, edited_masks, kept_mask
from insula.predict import bids_case_paths, result_paths

SHA256 = "0123abcd" + "0" * 56


def _touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("layout", [result_paths, lambda folder, case: bids_case_paths(case, folder)])
@pytest.mark.parametrize("case", ["sub-1_ses-a_run-2", "a_network", "a[1]_corrected"])
def test_every_kept_mask_leads_to_its_cases_mask_and_back(layout, case: str, tmp_path: Path) -> None:
    paths = layout(tmp_path, case)
    mask = paths.mask
    stem = mask.name.removesuffix("_mask.nii.gz")
    bids = stem.endswith("_desc-insula")
    start = f"{stem.removesuffix('_desc-insula')}_desc-corrected_mask" if bids else f"{stem}_corrected"
    edited = [mask.with_name(f"{start}{ending}") for ending in (".nii", ".nii.gz")]
    earlier = earlier_mask(mask, SHA256)
    assert earlier.name == f"{stem}_corrected-0123abcd_mask.nii.gz"
    _touch(paths.network_mask, *edited, earlier)
    assert [kept_mask(path) for path in (paths.network_mask, *edited, earlier)] == [None] * 4  # no case is beside them
    _touch(mask)
    assert kept_mask(paths.network_mask) == KeptMask("network", mask)
    assert [kept_mask(path) for path in edited] == [KeptMask("edited", mask)] * 2
    assert kept_mask(earlier) == KeptMask("earlier", mask)
    assert edited_masks(mask) == edited and earlier_masks(mask) == [earlier]
    assert all(kept_mask(path) is None for path in (mask, paths.prob, paths.brain, paths.record))


def test_masks_of_cases_with_longer_names_are_not_taken(tmp_path: Path) -> None:
    mask = tmp_path / "a_mask.nii.gz"
    others = [
        tmp_path / f"{name}.nii.gz" for name in ("ab_corrected", "a_b_corrected", "a_corrected_mask", "a_corrected2")
    ]
    others += [
        tmp_path / f"a_{name}_mask.nii.gz" for name in ("b_corrected-0123abcd", "corrected-0123ABCD", "networks")
    ]
    _touch(mask, *others)
    assert edited_masks(mask) == [] and [path for path in others if kept_mask(path)] == []
