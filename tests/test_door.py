"""The public functions, as a notebook uses them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

import insula
from corpus.files import nifti
from insula.cli.app import COMMANDS
from insula.cli.bids import bids_app
from insula.cli.flags import PARAMETERS, with_flags
from io_series import write_head


def test_a_notebook_goes_from_a_path_to_saved_files(tiny_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T1w.nii"
    path.write_bytes(nifti())
    weights = insula.load_weights(str(tiny_weights))
    result = insula.segment(path, insula.SegmentConfig(device="cpu"), weights=weights)
    assert isinstance(weights, insula.Weights)
    assert result.mask.grid.close_to(insula.read_scan(path).grid)
    words = f"<Result of sub-01_T1w: {result.volume_ml:.2f} ml in {len(result.lesions)} lesion"
    assert repr(result).startswith(words)
    assert len(repr(result)) < 120
    record = result.save(tmp_path / "results")
    assert json.loads((tmp_path / "results" / "sub-01_T1w.json").read_text())["sha256"] == record["sha256"]
    for key in ("mask", "prob", "page"):
        assert (tmp_path / "results" / record["files"][key]).stat().st_size > 0
    assert np.array_equal(insula.read_mask(tmp_path / "results" / record["files"]["mask"]).voxels, result.mask.voxels)
    again = insula.segment(insula.read_scan(path), insula.SegmentConfig(device="cpu"), weights=str(tiny_weights))
    assert np.array_equal(again.prob, result.prob)
    assert again.source is None


@pytest.mark.long
def test_dicom_leaves_dicom(quiet_weights: Path, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series")
    result = insula.segment(series, weights=str(quiet_weights))
    assert isinstance(result.source, insula.DicomScan)
    record = result.save(tmp_path / "results")
    assert (tmp_path / "results" / record["files"]["seg"]).is_file()


def test_a_source_that_changed_is_not_saved(tiny_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(nifti())
    result = insula.segment(str(path), weights=str(tiny_weights))
    path.write_bytes(nifti()[:-2] + b"\x01\x02")
    with pytest.raises(insula.InsulaError, match="changed while it was segmented"):
        result.save(tmp_path / "results")


def test_what_it_refuses_names_parameters_and_the_command_line_flags(tmp_path: Path) -> None:
    (tmp_path / "a_FLAIR.nii").write_bytes(nifti())
    with pytest.raises(insula.InsulaError, match="`assume_t1w`") as refused:
        insula.segment(tmp_path / "a_FLAIR.nii")
    assert "--assume-t1w" in with_flags(str(refused.value))
    assert with_flags("use `device=cpu`, or `set=train.lr=1`") == "use --device cpu, or --set train.lr=1"
    assert with_flags("see `prepare` and `no_such_word`") == "see `prepare` and `no_such_word`"


def test_every_parameter_of_a_command_has_a_flag_in_messages() -> None:
    parameters = {
        name
        for command in (*COMMANDS, bids_app)
        for name, parameter in inspect.signature(command).parameters.items()
        if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    }
    assert parameters == PARAMETERS
