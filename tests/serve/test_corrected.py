"""A correction of a job's mask that fails leaves the job's results as they were."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from insula.checkpoint import load_weights
from insula.config import SegmentConfig
from insula.errors import BadData, CannotCreate, IOFault
from insula.io import read_mask, write_mask
from insula.predict import segment
from insula.report import write_case
from insula.serve import corrected
from insula.serve.corrected import correct_job
from insula.serve.parts import pack, record_of
from insula.serve.scans import read_upload
from insula.serve.sent import MaskChanged
from insula.serve.store import JobFolder
from insula.volume import Mask
from serve.study.conftest import empty_mask


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, scan_bytes: bytes, quiet_weights: Path) -> Path:
    """The folder of a job that is done."""
    folder = JobFolder(tmp_path_factory.mktemp("done") / "job")
    folder.path.mkdir()
    (folder.path / "upload.nii.gz").write_bytes(scan_bytes)
    scan, source = read_upload(folder, {})
    result = segment(scan, SegmentConfig(device="cpu"), weights=load_weights(str(quiet_weights)))
    folder.results.record.parent.mkdir()
    write_case(result, folder.results, source=source)
    pack(folder.results.record.parent, folder.archive)
    return folder.path


@pytest.fixture
def folder(done: Path, tmp_path: Path) -> JobFolder:
    """A copy that a test may change."""
    return JobFolder(shutil.copytree(done, tmp_path / "job"))


def _edited(folder: JobFolder, path: Path, shift: int = 0) -> Path:
    mask = read_mask(folder.results.mask)
    voxels = mask.voxels.copy()
    voxels[shift : shift + 4, :4, :4] = True
    write_mask(path, Mask(voxels, mask.grid))
    return path


def _files(folder: JobFolder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def test_a_correction_that_cannot_be_written_changes_nothing(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(folder)

    def fail(*_: Path) -> None:
        raise IOFault("the disk", "", "is full", "free some space")

    monkeypatch.setattr(corrected, "pack", fail)
    with pytest.raises(IOFault):
        correct_job(folder, {}, _edited(folder, tmp_path / "edited.nii.gz"))
    assert _files(folder) == before


def test_a_disk_that_is_full_at_the_zip_is_named_and_nothing_stays_on_it(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(self: zipfile.ZipFile, *_: object) -> None:
        assert self.fp is not None
        self.fp.write(bytes(1000))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = _files(folder)
    monkeypatch.setattr(zipfile.ZipFile, "write", fill)
    with pytest.raises(CannotCreate, match="cannot be written: no space is left on the disk"):
        correct_job(folder, {}, _edited(folder, tmp_path / "edited.nii.gz"))
    assert _files(folder) == before


def test_the_zip_of_results_that_cannot_take_their_place_does_not_stay(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = _files(folder)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(CannotCreate, match="the file system is read-only"):
        correct_job(folder, {}, _edited(folder, tmp_path / "edited.nii.gz"))
    assert _files(folder) == before


def test_only_the_mask_that_was_edited_is_replaced(folder: JobFolder, tmp_path: Path) -> None:
    loaded = record_of(folder)["sha256"]["mask"]
    first = correct_job(folder, {}, _edited(folder, tmp_path / "first.nii.gz"), before=loaded)
    after, second = _files(folder), _edited(folder, tmp_path / "second.nii.gz", 8)
    with pytest.raises(MaskChanged, match="was changed since it was loaded"):
        correct_job(folder, {}, second, before=loaded)
    assert correct_job(folder, {}, tmp_path / "first.nii.gz", before=loaded)["sha256"] == first["sha256"]
    assert _files(folder) == after
    correct_job(folder, {}, second, before=first["sha256"]["mask"])
    assert (read_mask(folder.results.mask).voxels == read_mask(second).voxels).all()


def test_a_correction_with_a_changed_probability_map_is_refused(folder: JobFolder, tmp_path: Path) -> None:
    folder.results.prob.write_bytes(folder.results.mask.read_bytes())
    with pytest.raises(BadData, match="was changed since it was written"):
        correct_job(folder, {}, _edited(folder, tmp_path / "edited.nii.gz"))


def test_only_the_last_two_results_stay_and_every_correction_is_in_the_last(folder: JobFolder, tmp_path: Path) -> None:
    network = read_mask(folder.results.mask).voxels
    for shift in (0, 4, 8, 12):
        written = correct_job(folder, {}, _edited(folder, tmp_path / "edited.nii.gz", shift))
        assert json.loads(json.dumps(written)) == record_of(folder)
        assert (read_mask(folder.results.mask).voxels == read_mask(tmp_path / "edited.nii.gz").voxels).all()
        assert np.array_equal(read_mask(folder.results.network_mask).voxels, network)
        assert folder.archive.is_file()
    assert len(list(folder.results.record.parent.glob("*_corrected-*"))) == 3
    assert len(list(folder.path.glob("*.zip"))) == 2
    folder.clear()
    assert [path.name for path in folder.path.iterdir()] == ["upload.nii.gz"]


def test_a_small_file_that_unpacks_to_a_large_mask_is_never_unpacked(folder: JobFolder, tmp_path: Path) -> None:
    bomb = empty_mask(tmp_path, (400, 400, 400))
    tracemalloc.start()
    with pytest.raises(BadData, match="does not lie on the scan's grid"):
        correct_job(folder, {}, bomb)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20e6 and bomb.stat().st_size < 1e6
