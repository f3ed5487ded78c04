"""Names that users give their cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.call import call
from corpus.files import nifti, packed
from insula.errors import BadData, InsulaError, NoInput
from insula.study import given_names


def _dicom(folder: Path) -> Path:
    """A folder that looks like DICOM: preamble and magic word are enough for its name."""
    folder.mkdir(parents=True)
    (folder / "IM0").write_bytes(bytes(128) + b"DICM" + bytes(64))
    return folder


def test_dicom_inputs_are_named_by_their_folders_and_other_files_by_themselves(tmp_path: Path) -> None:
    first, second, nifti_file = _dicom(tmp_path / "P 01"), _dicom(tmp_path / "P02"), tmp_path / "x.nii.gz"
    nifti_file.write_bytes(packed(nifti()))
    single = first / "IM0"
    assert given_names([first, second, nifti_file], "folder") == {first: "P 01", second: "P02"}
    assert given_names([single], "folder") == {single: "P 01"}
    with pytest.raises(BadData, match="is the name of two inputs"):
        given_names([_dicom(tmp_path / "a" / "T1"), _dicom(tmp_path / "b" / "t1")], "folder")


@pytest.mark.parametrize(("ending", "tab"), [("tsv", "\t"), ("csv", ",")])
def test_a_list_names_what_is_in_it(tmp_path: Path, ending: str, tab: str) -> None:
    listed, other = _dicom(tmp_path / "exam1"), _dicom(tmp_path / "exam2")
    table = tmp_path / f"names.{ending}"
    table.write_text(f"\ufeffname{tab}path\nS01{tab}exam1\nS02{tab}{tmp_path}/elsewhere\n", encoding="utf-8")
    assert given_names([listed, other], str(table)) == {listed: "S01"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path\n", "has no column name"),
        ("", "has no column path and no column name"),
        ("path\tname\nexam\t\n", "has no name in row 2"),
        ("path\tname\nexam\ta\n\tb\n", "has no path in row 3"),
        ("path\tname\nexam\ta\nother\tA\n", "is the name of two inputs"),
        ("path\tname\nexam\t../a\n", "in row 2 is no plain file name"),
        (b"\xff\xfe\x00", "is not UTF-8"),
    ],
)
def test_a_list_that_is_wrong_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    inputs, table = [_dicom(tmp_path / "exam"), _dicom(tmp_path / "other")], tmp_path / "names.tsv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InsulaError, match=words):
        given_names(inputs, str(table))
    with pytest.raises(NoInput, match="does not exist"):
        given_names(inputs, str(tmp_path / "none.tsv"))


def test_results_have_the_given_names_also_in_a_second_run(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "old.nii.gz").write_bytes(packed(nifti()))
    (tmp_path / "scans" / "bad.nii.gz").write_bytes(packed(nifti())[:900])
    table = tmp_path / "names.tsv"
    table.write_text("path\tname\nscans/old.nii.gz\tP01\nscans/bad.nii.gz\tP02\n", encoding="utf-8")
    command = ("segment", tmp_path / "scans", "--out", tmp_path / "out", "--names", table)
    for again in (False, True):
        result = call(capsys, *command, "--weights", tiny_weights, "--device", "cpu")
        assert result.code == 1 and "P02: the gzip stream" in result.err
        assert ("(unchanged)" in result.out) is again
    assert sorted(path.name for path in (tmp_path / "out").glob("P0*.json")) == ["P01.json", "P02.json"]
    assert not list((tmp_path / "out").glob("*names*"))
