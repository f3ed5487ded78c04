"""Sources: parts that never share a host or an outline, and heads that land where lesions are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from corpus.files import nifti, packed
from geometry.orders import ORDERS, stored_as
from insula.cohort import load_sources
from insula.errors import NoInput
from insula.geometry import Grid
from insula.simulate import phantom_case
from insula.simulate.anatomy import BRAIN
from insula.simulate.phantom import phantom_grid

_GRID = phantom_grid(spacing_mm=(3.0, 3.0, 3.0))
_BOX = (192, 224, 176)


def _write(path: Path, image: np.ndarray, grid: Grid = _GRID) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed(nifti(image, grid)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little source folder: six heads in different orders of axes, three label maps, some outlines."""
    root = tmp_path_factory.mktemp("sources")
    brain = phantom_case(_GRID, (), skull=False, noise=0).scan.image.astype(np.int16)
    head = phantom_case(_GRID, ()).scan.image.astype(np.int16)
    labels = np.zeros(_GRID.shape, np.uint8)
    for level, label in ((100, 1), (400, 200), (800, 81)):
        labels[brain > level] = label
    _write(root / "hosts" / "a_brain_T1w.nii.gz", brain)
    for number in range(5):
        image, grid = stored_as(head, _GRID, ORDERS[7 * number])
        _write(root / "hosts" / f"p{number}" / "T1w.nii.gz", image, grid)
        _write(root / "hosts" / f"p{number}" / "dlmuse.nii.gz", *stored_as(labels, _GRID, ORDERS[7 * number]))
    for number in range(3):
        _write(root / "labelmaps" / f"m{number}_dlmuse.nii.gz", labels)
    blob = np.zeros(_GRID.shape, np.uint8)
    blob[20:26, 30:38, 30:35] = 1
    for phase in ("acute", "chronic"):
        for number in range(30):
            _write(root / "lesions" / phase / f"{phase}-{number}.nii.gz", blob)
    return root


def test_no_host_and_no_outline_is_in_two_parts(folder: Path) -> None:
    parts = [load_sources(folder, part=part, box=_BOX) for part in ("train", "validation", "test")]  # type: ignore[arg-type]
    for kind in ("hosts", "acute", "chronic"):
        names = [{item.name for item in getattr(part, kind)} for part in parts]
        assert names[0]
        assert names[2]
        assert not names[0] & names[1]
        assert not names[0] & names[2]
        assert not names[1] & names[2]
    assert sum(len(part.hosts) for part in parts) == 9
    assert len({part.fingerprint for part in parts}) == 3
    assert load_sources(folder, part="test", box=_BOX).fingerprint == parts[2].fingerprint


def test_a_host_is_ras_and_its_brain_lies_in_the_atlas_brain(folder: Path) -> None:
    hosts = load_sources(folder, part="train", box=_BOX).hosts
    for host in hosts:
        assert tuple(host.tissue.shape) == _BOX
        inside = np.argwhere(np.isin(host.tissue.numpy(), BRAIN))
        centre = host.to_atlas @ [*inside.mean(0), 1.0]
        assert np.allclose(centre[:3], [0, -18, 10], atol=2), host.name
        assert np.allclose(np.linalg.det(host.to_atlas[:3, :3]), 1, atol=0.1)
        assert host.skull == (host.image is not None and "brain" not in host.name)


def test_an_outline_keeps_its_place_and_volume(folder: Path) -> None:
    shape = load_sources(folder, part="train", box=_BOX, most_lesions=1).acute[0]
    assert float(shape.voxels.sum()) == pytest.approx(6 * 8 * 5 * 27, rel=0.05)
    middle = np.argwhere(shape.voxels.numpy()).mean(0) + shape.origin_mm
    assert np.allclose(middle, _GRID.centre_mm([22.5, 33.5, 32]), atol=0.6)


def test_a_missing_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="hosts holds no NIfTI"):
        load_sources(tmp_path, part="train", box=_BOX)
