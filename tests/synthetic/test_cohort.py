"""Simulated cohorts: ATLAS' own layout, sites that share nothing, the same bytes for the same seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cohort.sources_tree import plant_sources
from insula.cohort import check_cohort, find_cohort
from insula.errors import CannotCreate, UsageError
from insula.io import read_scan
from insula.synthetic import CaseSpec, Part, Sources, load_sources, plan_cohort, write_case, write_sheets
from insula.synthetic.cohort import ATLAS_GRID

_BOX = (128, 160, 128)  # cuts the heads, which is all the same here


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[Part, Sources]:
    root = plant_sources(tmp_path_factory.mktemp("sources"))
    return {part: load_sources(root, part=part, box=_BOX) for part in ("train", "test")}  # type: ignore[misc]


@pytest.fixture(scope="module")
def specs(sources: dict[Part, Sources]) -> list[CaseSpec]:
    return plan_cohort(sources, cases=120, sites=5, controls=0.1, seed=3)


def test_sites_share_no_host_and_no_outline(sources: dict[Part, Sources], specs: list[CaseSpec]) -> None:
    sites = {spec.site.name: spec.site for spec in specs}
    assert len(specs) == 120
    assert sorted(sites) == [f"R{n:03d}" for n in range(1, 6)]
    for kind in ("hosts", "acute", "chronic"):
        dealt = [(site.part, place) for site in sites.values() for place in getattr(site, kind)]
        assert len(dealt) == len(set(dealt))
        there = [
            item
            for part in sources.values()
            for item in getattr(part, kind)
            if kind != "hosts" or item.image is not None
        ]
        assert len(dealt) == len(there)
    for spec in specs:
        with_image = [host for host in sources[spec.site.part].hosts if host.image is not None]  # real heads only
        assert spec.host.name in {with_image[place].name for place in spec.site.hosts}
        assert {site.part for site in sites.values()} == {"train", "test"}


def test_the_part_that_tests_never_trains(sources: dict[Part, Sources], specs: list[CaseSpec]) -> None:
    used: dict[str, set[str]] = {"train": set(), "test": set()}
    for spec in specs:
        used[spec.site.part] |= {spec.host.name, *(shape.name for shape in spec.shapes)}
    assert used["train"]
    assert used["test"]
    assert not used["train"] & used["test"]


def test_the_mixture_is_what_was_asked_for(specs: list[CaseSpec]) -> None:
    controls = sum(not spec.shapes for spec in specs)
    assert 4 <= controls <= 22
    assert {spec.phase for spec in specs} == {"acute", "chronic"}
    assert {len(spec.shapes) for spec in specs} == {0, 1, 2}
    assert any(spec.days is None for spec in specs), "real sheets have gaps"
    for spec in specs:
        if spec.days is not None:
            assert (spec.days >= 180) == (spec.phase == "chronic")


def test_the_plan_is_the_seeds(sources: dict[Part, Sources], specs: list[CaseSpec]) -> None:
    def facts(some: list[CaseSpec]) -> list[Any]:
        return [(s.subject, s.site, s.host.name, [x.name for x in s.shapes], s.phase, s.days) for s in some]

    assert facts(plan_cohort(sources, cases=120, sites=5, controls=0.1, seed=3)) == facts(specs)
    assert facts(plan_cohort(sources, cases=120, sites=5, controls=0.1, seed=4)) != facts(specs)


def test_impossible_cohorts_are_refused(sources: dict[Part, Sources]) -> None:
    with pytest.raises(UsageError, match="`sites` 99"):
        plan_cohort(sources, cases=200, sites=99, controls=0, seed=0)
    for share in (-1, 5, float("nan")):
        with pytest.raises(UsageError, match=f"`controls` {share}"):
            plan_cohort(sources, cases=20, sites=3, controls=share, seed=0)
    with pytest.raises(UsageError, match="`cases` 2 is fewer than the 3 sites"):
        plan_cohort(sources, cases=2, sites=3, controls=0, seed=0)


def test_a_case_is_written_as_atlas_has_it_and_again_byte_for_byte(specs: list[CaseSpec], tmp_path: Path) -> None:
    spec_of_one_lesion = next(spec for spec in specs if len(spec.shapes) == 1)
    control = next(spec for spec in specs if not spec.shapes)
    (tmp_path / "a").mkdir()
    write_sheets([spec_of_one_lesion, control], tmp_path / "a", {"seed": 3})
    for spec in (spec_of_one_lesion, control):
        write_case(spec, tmp_path / "a")
    write_case(spec_of_one_lesion, tmp_path / "b")
    files = sorted(path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*.nii.gz"))
    anat = Path("Training", spec_of_one_lesion.site.name, spec_of_one_lesion.subject, "ses-1", "anat")
    stem = f"{spec_of_one_lesion.subject}_ses-1_space-MNI152NLin2009aSym"
    names = ("T1w", "desc-brain_mask", "label-L_desc-T1lesion_mask")
    assert files == [anat / f"{stem}_{name}.nii.gz" for name in names]
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    write_case(replace(spec_of_one_lesion, unfamiliar=True), tmp_path / "c")  # another look, the same lesion
    for mask in files[1:]:
        assert (tmp_path / "a" / mask).read_bytes() == (tmp_path / "c" / mask).read_bytes()
    assert (tmp_path / "a" / files[0]).read_bytes() != (tmp_path / "c" / files[0]).read_bytes()
    assert read_scan(tmp_path / "a" / files[0]).grid.close_to(ATLAS_GRID)

    cohort = find_cohort(tmp_path / "a")
    assert (cohort.layout, cohort.notes) == ("atlas-indi", ())
    checked = check_cohort(cohort)
    assert not [fault for case in checked.cases for fault in case.faults if fault.severity == "error"]
    cases = {case.subject: case for case in checked.cases}
    assert cases[control.subject].lesion_voxels == 0
    assert (cases[spec_of_one_lesion.subject].lesion_ml or 0) > 1
    for spec in (spec_of_one_lesion, control):
        assert cases[spec.subject].centre == spec.site.name
        assert cases[spec.subject].days == spec.days
        assert cases[spec.subject].chronicity == spec.phase
    record = json.loads((tmp_path / "a" / "simulation.json").read_text())
    assert "simulated" in record["notice"]
    sheet = (tmp_path / "a" / "simulated_ATLAS_2.0_MetaData.csv").read_text()
    write_sheets([spec_of_one_lesion, control], tmp_path / "a", {"seed": 3})  # the same plan goes on
    assert (tmp_path / "a" / "simulated_ATLAS_2.0_MetaData.csv").read_text() == sheet
    with pytest.raises(CannotCreate, match="holds another cohort"):
        write_sheets([spec_of_one_lesion], tmp_path / "a", {"seed": 4})
    (tmp_path / "foreign" / "Training").mkdir(parents=True)
    with pytest.raises(CannotCreate, match="holds another cohort"):
        write_sheets([spec_of_one_lesion], tmp_path / "foreign", {"seed": 3})


def test_a_finished_case_is_left_alone_and_a_half_one_is_not(specs: list[CaseSpec], tmp_path: Path) -> None:
    spec = next(spec for spec in specs if not spec.shapes)
    write_case(spec, tmp_path)
    [scan], [mask] = ([*tmp_path.rglob(f"*{name}.nii.gz")] for name in ("_T1w", "-T1lesion_mask"))
    kept, before = scan.read_bytes(), scan.stat().st_mtime_ns
    write_case(spec, tmp_path)
    assert scan.stat().st_mtime_ns == before
    mask.unlink()
    write_case(spec, tmp_path)
    assert mask.exists()
    assert scan.read_bytes() == kept
