"""What the list of inputs may say, and where the scan is looked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from insula.errors import BadData, InsulaError, NoInput, NoPermission
from insula.serve.challenge import Folders
from insula.volume import Case
from serve.challenge.container import SOCKETS, fill, head


@pytest.fixture(scope="module")
def filled(coarse_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("container")
    fill(root, head(coarse_case))
    return root


def _listed(root: Path, text: object) -> Folders:
    (root / "input/inputs.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return Folders(root)


@pytest.mark.parametrize(
    "sockets",
    [
        SOCKETS,
        SOCKETS[:1],
        [{"socket": {"slug": "t1-brain-mri"}}],
        [{"interface": {"slug": "t1-brain-mri", "relative_path": "images/t1-brain-mri"}, "image": {"name": "x"}}],
        [{"socket": {"slug": "another"}}, *SOCKETS],
    ],
)
def test_lists_that_name_the_scan(sockets: object, filled: Path) -> None:
    scan, placement = _listed(filled, sockets).read_scan()
    assert scan.name == "scan"
    assert np.allclose(scan.grid.affine, placement.affine())


def test_the_relative_path_counts(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled / "input/images/t1-brain-mri", tmp_path / "input/elsewhere")
    folders = _listed(tmp_path, [{"socket": {"slug": "t1-brain-mri", "relative_path": "elsewhere"}}])
    assert folders.read_scan()[0].image.std() > 0


@pytest.mark.parametrize(
    ("sockets", "kind", "words"),
    [
        ([], NoInput, "which lists nothing"),
        (SOCKETS[1:], NoInput, "which lists stroke-metadata"),
        ([SOCKETS[0], *SOCKETS], BadData, "is 2 times in inputs.json"),
        ({"socket": {"slug": "t1-brain-mri"}}, BadData, "is not a list"),
        (["t1-brain-mri"], BadData, "has no socket"),
        ([{"slug": "t1-brain-mri"}], BadData, "has no socket"),
        ("[{", BadData, "is not JSON"),
        ("", BadData, "is empty"),
        ("[" * 100_000, BadData, "is not JSON"),
        *(
            ([{"socket": {"slug": "t1-brain-mri", "relative_path": path}}], BadData, "not inside the input folder")
            for path in ("../secret", "/etc", "images/../../secret", "a\0b", 7, None)
        ),
    ],
)
def test_lists_that_do_not(sockets: object, kind: type[InsulaError], words: str, filled: Path) -> None:
    with pytest.raises(kind, match=words):
        _listed(filled, sockets).read_scan()


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        ((), NoInput, "holds no image"),
        ((".hidden.mha",), NoInput, "holds no image"),
        (("a.tif",), BadData, "holds 1 file that are not .mha, .nii.gz, .nii"),
        (("a.mha", "a.tif"), BadData, "holds 1 file that"),
        (("a.mha", "b.nii.gz"), BadData, "holds 2 images"),
    ],
)
def test_one_image_and_nothing_else(
    names: tuple[str, ...], kind: type[InsulaError], words: str, tmp_path: Path
) -> None:
    (tmp_path / "input/images/t1-brain-mri").mkdir(parents=True)
    for name in names:
        (tmp_path / "input/images/t1-brain-mri" / name).write_bytes(b"x")
    with pytest.raises(kind, match=words):
        _listed(tmp_path, SOCKETS).read_scan()


def test_several_frames_are_not_a_volume(tmp_path: Path) -> None:
    fill(
        tmp_path,
        sitk.GetImageFromArray(np.random.default_rng(0).random((3, 8, 8, 8), np.float32), isVector=False),
        ending=".nii.gz",
    )
    with pytest.raises(BadData, match="of 3 frames is not one volume; give one 3-D volume"):
        Folders(tmp_path).read_scan()


@pytest.mark.parametrize("ending", ["mha", "nii.gz"])
def test_a_scan_that_cannot_be_read_is_not_named(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"DOE_1960.{ending}").write_bytes(b"x")

    def refuse(path: Path, **_: object) -> object:
        raise NoPermission("the input", path.name, "may not be read", "change its permissions")

    monkeypatch.setattr("insula.serve.challenge.folders.read_metaimage", refuse)
    monkeypatch.setattr("insula.serve.challenge.folders.read_scan", refuse)
    monkeypatch.setattr(Folders, "_scan_path", lambda _: tmp_path / f"DOE_1960.{ending}")
    with pytest.raises(NoPermission, match="the input may not be read") as caught:
        Folders(tmp_path).read_scan()
    assert "DOE" not in str(caught.value)


def test_weights_are_those_mounted(tmp_path: Path) -> None:
    folder = tmp_path / "opt/ml/model"
    assert Folders(tmp_path).weights is None
    folder.mkdir(parents=True)
    (folder / ".hidden").touch()
    assert Folders(tmp_path).weights is None
    (folder / "a.json").touch()
    assert Folders(tmp_path).weights == folder


def test_half_a_result_is_removed(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map is written, the mask's folder cannot be made."""
    from types import SimpleNamespace

    scan, placement = _listed(filled, SOCKETS).read_scan()
    result = SimpleNamespace(prob=scan.image, mask=SimpleNamespace(voxels=scan.image > 0))
    (tmp_path / "output/images").mkdir(parents=True)
    (tmp_path / "output/images/stroke-lesion-segmentation").write_text("a file")
    with pytest.raises(InsulaError, match="the output folder"):
        Folders(tmp_path).write_result(result, placement)  # type: ignore[arg-type]
    assert not list((tmp_path / "output").rglob("*.mha"))
