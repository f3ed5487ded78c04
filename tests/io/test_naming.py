"""Names that say what an image is, and names that only seem to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from insula.errors import BadData
from insula.io.naming import contrast_by_name, flags_by_name, other_than_t1w, refuse_other_than_t1w


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("sub-01_FLAIR.nii.gz", "FLAIR"),
        ("sub-01_ses-2_T2w.nii", "T2w"),
        ("sub-01_task-rest_bold.nii.gz", "bold"),
        ("scan dwi.nii", "dwi"),
        ("sub-1_T1map.nii.gz", "T1map"),
        ("sub-1_part-phase_T1w.nii.gz", "part-phase"),
        ("sub-1_inv-1_MP2RAGE.nii.gz", "inv-1"),
        ("head.CT.nii", None),
        ("ct.nii.gz", "ct"),
        ("patient-TOF-angio.nii", "TOF"),
        ("sub-01_T1w.nii.gz", None),
        ("t1_flair.nii.gz", None),
        ("sub-1_space-T2w_T1w.nii.gz", None),
        ("flairing.nii", None),
        ("PD_001.nii", None),
        ("sub-ct01_T1w.nii.gz", None),
        ("sub-1_UNIT1.nii.gz", None),
        ("scan.nii", None),
        ("mprage_ct_patient.nii", None),
    ],
)
def test_the_word_that_says_so(name: str, word: str | None) -> None:
    assert other_than_t1w(Path(name)) == word


def test_a_sidecar_says_so_too(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    beside = tmp_path / "scan.json"
    for sidecar, rule in (
        ({"Modality": "CT"}, "is not MR"),
        ({"SeriesDescription": "AX T2 FLAIR FS"}, "with T2"),
        ({"ProtocolName": "ep2d_dwi_b1000"}, "with dwi"),
        ({"SequenceName": "swi 3d"}, "with swi"),
        ({"ProtocolName": "dwi/b0"}, "with dwi"),
    ):
        beside.write_text(json.dumps(sidecar))
        with pytest.raises(BadData, match=rule):
            refuse_other_than_t1w(scan)
    for fine in (
        {"Modality": "MR", "SeriesDescription": "t1_mprage_sag"},
        {"SeriesDescription": "CANARY Name"},
        {"Modality": 7},
        [],
    ):
        beside.write_text(json.dumps(fine))
        refuse_other_than_t1w(scan)
    beside.write_bytes(b"\xff{")
    refuse_other_than_t1w(scan)
    beside.unlink()
    refuse_other_than_t1w(scan)


def test_a_contrast_agent_in_the_name_is_flagged() -> None:
    assert [flag.code for flag in contrast_by_name(Path("sub-1_ce-gadolinium_T1w.nii.gz"))] == ["contrast-agent"]
    assert not contrast_by_name(Path("sub-1_acq-ce_T1w.nii.gz"))


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("sub-1_T1w.nii.gz", []),
        ("sub-1_UNIT1.nii.gz", ["mp2rage-uni"]),
        ("sub-1_ce-gd_UNIT1.nii", ["contrast-agent", "mp2rage-uni"]),
    ],
)
def test_all_flags_of_a_name(name: str, codes: list[str]) -> None:
    assert [flag.code for flag in flags_by_name(Path(name))] == codes


@pytest.mark.parametrize(
    ("told", "codes"),
    [
        ("SE", ["spin-echo"]),
        (["SE"], ["spin-echo"]),
        ("SE_IR", []),
        ("GR\\IR", []),
        ("GR", []),
        (7, []),
        (None, []),
        ("RESEARCH", []),
    ],
)
def test_a_spin_echo_is_known_by_the_sidecar(told: object, codes: list[str], tmp_path: Path) -> None:
    (tmp_path / "sub-1_T1w.json").write_text(json.dumps({"ScanningSequence": told}))
    assert [flag.code for flag in flags_by_name(tmp_path / "sub-1_T1w.nii.gz")] == codes


def test_a_sidecar_that_is_huge_or_the_scan_itself_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "scan.json").write_text(json.dumps({"Modality": "CT", "more": "x" * (1 << 20)}))
    refuse_other_than_t1w(tmp_path / "scan.nii")
    (tmp_path / "scan.json").write_text('{"Modality": "CT"}')
    refuse_other_than_t1w(tmp_path / "scan.json")
