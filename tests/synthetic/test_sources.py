"""Sources: parts that never share a host or an outline, and heads that land where lesions are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cohort.sources_tree import GRID, plant_sources
from insula.errors import NoInput
from insula.simulate.anatomy import BRAIN
from insula.synthetic import Part, Sources, load_sources
from insula.synthetic.sources import part_of_host

_BOX = (144, 176, 176)  # the phantom's brain fits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def parts(folder: Path) -> list[Sources]:
    names: tuple[Part, ...] = ("train", "validation", "test")
    return [load_sources(folder, part=name, box=_BOX) for name in names]


def test_no_host_and_no_outline_is_in_two_parts(folder: Path, parts: list[Sources]) -> None:
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


def test_a_host_is_ras_and_its_brain_lies_in_the_atlas_brain(parts: list[Sources]) -> None:
    hosts = parts[0].hosts
    for host in hosts:
        assert tuple(host.tissue.shape) == _BOX
        inside = np.argwhere(np.isin(host.tissue.numpy(), BRAIN))
        centre = host.to_atlas @ [*inside.mean(0), 1.0]
        assert np.allclose(centre[:3], [0, -18, 10], atol=2), host.name
        assert np.allclose(np.linalg.det(host.to_atlas[:3, :3]), 1, atol=0.1)
        assert host.skull == (host.image is None or "brain" not in host.name)  # a label map gets one


def test_an_outline_keeps_its_place_and_volume(parts: list[Sources]) -> None:
    shape = parts[0].acute[0]
    assert float(shape.voxels.sum()) == pytest.approx(6 * 8 * 5 * 27, rel=0.05)
    middle = np.argwhere(shape.voxels.numpy()).mean(0) + shape.origin_mm
    assert np.allclose(middle, GRID.centre_mm([22.5, 33.5, 32]), atol=0.6)


def test_a_missing_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="hosts holds no NIfTI"):
        load_sources(tmp_path, part="train", box=_BOX)


def test_heads_of_one_person_are_dealt_to_one_part() -> None:
    same = [
        {part_of_host(Path(name, "T1w.nii.gz")) for name in names}
        for names in (
            ("nichart-08", "nichart-09", "nichart-10"),
            ("nichart-15", "nichart-16"),
        )
    ]
    assert same == [{"train"}, {"train"}]  # where weights have seen them already
    assert part_of_host(Path("nichart-03", "T1w.nii.gz")) == "test"
