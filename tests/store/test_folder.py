"""The store: what goes in comes out, a broken run goes on, a damaged file is found."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cohort.tree import mask_path, plant_tree, scan_path
from insula.cohort import Cohort, find_cohort
from insula.config import PrepareConfig
from insula.errors import BadData, NoInput
from insula.io import read_scan
from insula.prepare import prepare
from insula.store import CaseSet, Store, store_case, write_index
from insula.store.folder import Precision, forget_index

_CONFIG = PrepareConfig(box=(48, 64, 48), spacing_mm=4.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    plant_tree(root, sites=2, each=2)
    return root


def _fill(cohort: Cohort, folder: Path, precision: Precision) -> None:
    write_index(folder, [store_case(e, folder, _CONFIG, precision) for e in cohort.entries], _CONFIG, precision)


@pytest.mark.parametrize(("precision", "most"), [("uint8", 0.5), ("float16", 0.003)])
def test_what_is_stored_comes_back(precision: Precision, most: float, tree: Path, tmp_path: Path) -> None:
    cohort = find_cohort(tree)
    _fill(cohort, tmp_path, precision)
    store = Store(tmp_path)
    assert store.verify() == []
    assert store.prepare == _CONFIG
    for entry in cohort.entries:
        image, mask = store.load(entry.case)
        prepared = prepare(read_scan(entry.images[0]), _CONFIG)
        known = store.cases[entry.case]
        assert (
            float((image - prepared.image[0, 0]).abs().max())
            <= most * max(known.scale, 1 if precision != "uint8" else 0) * 1.01
        )
        assert (known.subject, known.centre) == (entry.subject, entry.centre)
        assert int(mask.sum()) == known.lesion_voxels > 0
        lesion = np.argwhere(mask.numpy()).mean(0)
        there = (
            np.linalg.inv(prepared.grid.affine)
            @ prepared.home.affine
            @ [*np.argwhere(_as_image(entry.masks[0]) > 0).mean(0), 1]
        )
        assert np.allclose(lesion, there[:3], atol=0.1)


def _as_image(path: Path) -> np.ndarray:
    return read_scan(path).image


def test_655_cases_fit_into_8_gb(tree: Path, tmp_path: Path) -> None:
    stored = store_case(find_cohort(tree).entries[0], tmp_path, PrepareConfig(), "uint8")
    assert 655 * (tmp_path / stored.file).stat().st_size < 8e9


def test_a_case_is_as_large_as_it_should_be(tree: Path, tmp_path: Path) -> None:
    _fill(find_cohort(tree), tmp_path, "uint8")
    voxels = 48 * 64 * 48
    for path in tmp_path.glob("*.safetensors"):
        assert voxels * 9 / 8 < path.stat().st_size < voxels * 9 / 8 + 2048


def test_a_broken_run_goes_on_and_changed_sources_are_done_anew(tree: Path, tmp_path: Path) -> None:
    cohort = find_cohort(tree)
    kept = store_case(cohort.entries[0], tmp_path, _CONFIG, "uint8")
    path = tmp_path / kept.file
    os.utime(path, ns=(1, 1))
    again = store_case(cohort.entries[0], tmp_path, _CONFIG, "uint8")
    assert again == kept
    assert path.stat().st_mtime_ns == 1, "a finished case is left alone"
    other = store_case(cohort.entries[0], tmp_path, _CONFIG, "float16")
    assert path.stat().st_mtime_ns != 1
    assert other.source_sha256 != kept.source_sha256


def test_a_damaged_store_is_found(tree: Path, tmp_path: Path) -> None:
    cohort = find_cohort(tree)
    _fill(cohort, tmp_path, "uint8")
    store = Store(tmp_path)
    first, second = cohort.entries[0].case, cohort.entries[1].case
    path = tmp_path / store.cases[first].file
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    (tmp_path / store.cases[second].file).unlink()
    assert store.verify() == [first, second]
    for name in (first, second):  # nothing is trained on a case that is not what was stored
        with pytest.raises(BadData, match=f"{name} is missing, or its SHA-256"):
            CaseSet.from_store(store, [name])
    with pytest.raises(BadData, match=second):
        store.load(second)
    with pytest.raises(NoInput, match="sub-nobody"):
        store.load("sub-nobody")
    (tmp_path / "store.json").write_text('{"format": "insula-store/1"}')
    with pytest.raises(BadData, match="damaged index"):
        Store(tmp_path)
    with pytest.raises(NoInput, match=r"store\.json"):
        Store(tmp_path / "nowhere")


def test_a_case_without_a_mask_is_refused(tree: Path, tmp_path: Path) -> None:
    entry = find_cohort(tree).entries[0]
    assert scan_path(tree, "r001s001").exists()
    assert mask_path(tree, "r001s001").exists()
    with pytest.raises(BadData, match="has no lesion mask"):
        store_case(replace(entry, masks=()), tmp_path, _CONFIG, "uint8")
    assert not list(tmp_path.iterdir())


def test_preparing_again_mends_what_is_damaged(tree: Path, tmp_path: Path) -> None:
    """The remedy that the message names: one flipped bit in the voxels, the header untouched."""
    cohort = find_cohort(tree)
    _fill(cohort, tmp_path, "uint8")
    case = Store(tmp_path).cases[cohort.entries[0].case]
    path = tmp_path / case.file
    whole = path.read_bytes()
    data = bytearray(whole)
    data[len(data) // 2] ^= 64
    path.write_bytes(data)
    assert Store(tmp_path).verify() == [case.case]
    _fill(cohort, tmp_path, "uint8")
    assert path.read_bytes() == whole
    assert Store(tmp_path).verify() == []


def test_a_store_that_is_begun_anew_is_none_until_it_is_done(tree: Path, tmp_path: Path) -> None:
    """Stopped half-way, the old index would read float16 voxels with the scale of uint8 ones."""
    cohort = find_cohort(tree)
    _fill(cohort, tmp_path, "uint8")
    forget_index(tmp_path)
    store_case(cohort.entries[0], tmp_path, _CONFIG, "float16")
    with pytest.raises(NoInput, match=r"store\.json"):
        Store(tmp_path)
    _fill(cohort, tmp_path, "float16")
    assert Store(str(tmp_path)).verify() == []
