"""The scans of a served study: the right volume is shown, a few are kept, and later ones are found."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
import pytest

from corpus.files import IMAGE, nifti, packed
from insula.errors import BadData, NoInput
from insula.io import read_mask
from insula.io.bytes import read_file
from insula.predict import ResultRecord
from insula.serve.study import StudyFolder
from insula.serve.study import scans as scans_module
from insula.serve.study.scans import StudyScans
from insula.study import sources as sources_module
from report.records import done_record
from serve.study.conftest import CASES, edited, empty_mask

VOLUMES = np.stack([IMAGE, np.roll(IMAGE, 7, axis=0), np.roll(IMAGE, 7, axis=1)], axis=-1)


def _record(path: Path, *, axes: str, frame: int | None = None) -> ResultRecord:
    """The record of a scan, whose orientation was assumed."""
    record = done_record(path.name.removesuffix(".nii.gz"))
    record["scan"] |= {"sha256": read_file(path).sha256, "axes": axes}  # type: ignore[typeddict-item]
    if frame is not None:
        record["scan"]["frame"] = frame
    flag = {"code": "orientation-assumed", "text": "", "severity": "warning"}
    return cast(ResultRecord, {**record, "flags": [flag]})


def _shown(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj, float)


def test_each_volume_of_a_4d_file_has_a_view_of_its_own(tmp_path: Path) -> None:
    scan = tmp_path / "a.nii.gz"
    scan.write_bytes(packed(nifti(VOLUMES)))
    scans = StudyScans([str(scan)], views=tmp_path / "views")
    for frame in (1, 2, 1):
        record = _record(scan, axes="RAS", frame=frame)
        record["flags"] = []
        shown, wanted = _shown(scans.view(record)), VOLUMES[..., frame]
        other = VOLUMES[..., 3 - frame]
        alike, unlike = (np.corrcoef(shown.ravel(), volume.ravel())[0, 1] for volume in (wanted, other))
        assert alike > 0.99 > unlike


def test_each_assumed_orientation_has_a_view_of_its_own(tmp_path: Path) -> None:
    scan = tmp_path / "a.nii.gz"
    image = nibabel.Nifti1Image(np.asarray(VOLUMES[..., 0]), None)
    image.header.set_zooms((1, 1, 1))
    nibabel.save(image, scan)
    scans = StudyScans([str(scan)], views=tmp_path / "views")
    for axes in ("RAS", "LPS", "RAS"):
        view = nibabel.load(scans.view(_record(scan, axes=axes)))
        assert "".join(nibabel.aff2axcodes(view.affine)) == axes


def test_only_a_few_views_are_kept(segmented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans_module, "_MOST_VIEWS", 1)
    study = StudyFolder(segmented / "results", [str(segmented / "scans")], views=tmp_path / "views")
    first, second = sorted(study.records())
    one = study.view(first)
    assert study.view(first) == one and one.is_file()
    other = study.view(second)
    assert [path.name for path in (tmp_path / "views").iterdir()] == [other.name]
    study.close()


def test_a_scan_that_comes_later_is_shown_and_its_mask_corrected(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present, scans = root / "scans" / f"{CASES[1]}.nii.gz", root / "scans"
    late = shutil.move(scans / f"{CASES[0]}.nii.gz", root / "late.nii.gz")
    study = StudyFolder(root / "results", [str(scans)], views=tmp_path / "views")
    mask, sent = root / "results" / f"{CASES[0]}_mask.nii.gz", tmp_path / "sent.nii"
    sent.write_bytes(edited(mask))
    with pytest.raises(NoInput, match="is not among the scans"):
        study.view(CASES[0])
    reads, read = list[Path](), sources_module.read_file
    monkeypatch.setattr(sources_module, "read_file", lambda path: (reads.append(path), read(path))[1])
    with pytest.raises(NoInput, match="is not among the scans"):
        study.correct(CASES[0], sent)
    shutil.copy(late, scans / f"{CASES[0]}.nii.gz")
    assert study.correct(CASES[0], sent).outcome == "corrected"
    assert (read_mask(mask).voxels == read_mask(sent).voxels).all()
    assert study.view(CASES[0]).is_file() and present not in reads
    study.close()


def test_a_scan_that_is_written_anew_is_looked_at_again(root: Path, tmp_path: Path) -> None:
    scan = root / "scans" / f"{CASES[0]}.nii.gz"
    good = scan.read_bytes()
    scan.write_bytes(good[:-100])
    study = StudyFolder(root / "results", [str(root / "scans")], views=tmp_path / "views")
    with pytest.raises(NoInput, match="is not among the scans"):
        study.view(CASES[0])
    scan.write_bytes(good)
    assert study.view(CASES[0]).is_file()
    study.close()


def test_when_no_scan_is_left_the_wanted_one_is_named(root: Path, tmp_path: Path) -> None:
    study = StudyFolder(root / "results", [str(root / "scans" / "*.nii.gz")], views=tmp_path / "views")
    for scan in (root / "scans").iterdir():
        scan.unlink()
    record: Any = json.loads((root / "results" / f"{CASES[0]}.json").read_text(encoding="utf-8"))
    assert record["case"] == CASES[0]
    with pytest.raises(NoInput, match=f"the scan of {CASES[0]} is not among the scans"):
        study.view(CASES[0])
    study.close()


def test_a_small_file_that_unpacks_to_a_large_mask_is_never_unpacked(root: Path, tmp_path: Path) -> None:
    bomb = empty_mask(tmp_path, (400, 400, 400))
    study = StudyFolder(root / "results", [str(root / "scans")], views=tmp_path / "views")
    tracemalloc.start()
    with pytest.raises(BadData, match="does not lie on the scan's grid"):
        study.correct(CASES[0], bomb)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    study.close()
    assert most < 20e6 and bomb.stat().st_size < 1e6
