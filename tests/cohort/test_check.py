"""Every planted fault is found, and nothing is found where nothing was planted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cohort.tree import load, mask_path, plant_tree, save, scan_path
from insula.cohort import CheckedCohort, check_cohort, find_cohort, from_record, to_record
from insula.cohort.examination import examine
from insula.errors import BadData
from insula.geometry import AxisMap, Grid, reordered
from insula.io import read_mask

_SITES = 8


@pytest.fixture(scope="module", params=[3, pytest.param(6, marks=pytest.mark.long)])
def each(request: pytest.FixtureRequest) -> int:
    """Subjects of every site."""
    return int(request.param)


@pytest.fixture(scope="module")
def clean(each: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("atlas") / "ATLAS_2"
    plant_tree(root, sites=_SITES, each=each)
    return root


@pytest.fixture(scope="module")
def checked_clean(clean: Path) -> CheckedCohort:
    return check_cohort(find_cohort(clean))


def _mask(change):  # type: ignore[no-untyped-def]
    def plant(root: Path, name: str) -> None:
        voxels, affine = load(mask_path(root, name))
        save(mask_path(root, name), *change(voxels, affine))

    return plant


def _cut(path_of, share: float):  # type: ignore[no-untyped-def]
    def plant(root: Path, name: str) -> None:
        path = path_of(root, name)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return plant


def _two_labels(voxels, affine):  # type: ignore[no-untyped-def]
    i, j, k = np.argwhere(voxels)[0]
    voxels[i, j, k] = 2
    return voxels, affine


def _outside(voxels, affine):  # type: ignore[no-untyped-def]
    moved = np.zeros_like(voxels)
    moved[:6, :6, :6] = 1
    return moved, affine


def _copy_of_first(root: Path, name: str) -> None:
    shutil.copy(scan_path(root, "r008s006"), scan_path(root, name))


def _former(root: Path, name: str) -> None:
    sheet = root / "phantom_MetaData.csv"
    lines = [f"{line}31768" if f"sub-{name}," in line else line for line in sheet.read_text().splitlines()]
    sheet.write_text("\n".join(lines) + "\n")


def _second_mask(root: Path, name: str) -> None:
    path = mask_path(root, name)
    shutil.copy(path, path.with_name(path.name.replace("label-L", "label-L_run-2")))


def _second_image(root: Path, name: str) -> None:
    path = scan_path(root, name)
    shutil.copy(path, path.with_name(path.name.replace("_T1w", "_run-2_T1w")))


def _no_head(root: Path, name: str) -> None:
    """A scan of a phantom the size of an orange."""
    voxels, affine = load(scan_path(root, name))
    place = np.linalg.norm(np.indices(voxels.shape) - np.array(voxels.shape)[:, None, None, None] / 2, axis=0)
    noise = np.random.default_rng([int(name[1:4]), int(name[5:])]).random(voxels.shape, dtype=np.float32)
    save(scan_path(root, name), np.where(place < 8, 500, 0).astype(np.float32) + noise, affine)


def _other_order(voxels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels, stored with other axes first and backwards."""
    grid = Grid(voxels.shape, affine)
    axes = AxisMap(order=(2, 0, 1), flip=(True, False, True))
    return np.ascontiguousarray(axes.apply(voxels)), reordered(grid, axes).affine


def _two_levels(voxels: np.ndarray) -> np.ndarray:
    """A mask of 255 that was resampled: every other voxel of the lesion holds 254."""
    out = (np.asarray(voxels) > 0) * np.uint8(255)
    out[tuple(np.argwhere(out)[::2].T)] = 254
    return out


_PLANTS = {
    "shape-mismatch": _mask(lambda v, a: (v[:-1], a)),
    "affine-mismatch": _mask(lambda v, a: (v, a + np.array([[0, 0, 0, 0.5]] + [[0] * 4] * 3))),
    "affine-rounded": _mask(lambda v, a: (v, a + np.array([[0, 0, 0, 0.01]] + [[0] * 4] * 3))),
    "mask-reordered": _mask(_other_order),
    "mask-near-level": _mask(lambda v, a: (_two_levels(v), a)),
    "mask-probabilities": _mask(lambda v, a: (np.where(v > 0, np.float32(0.83), np.float32(0.11)), a)),
    "mask-scaled": _mask(lambda v, a: (v * np.uint8(255), a)),
    "mask-multi-label": _mask(_two_labels),
    "mask-empty": _mask(lambda v, a: (v * 0, a)),
    "mask-outside-head": _mask(_outside),
    "mask-flipped": _mask(lambda v, a: (v[::-1].copy(), a)),
    "identical-image": _copy_of_first,
    "in-atlas-1.2": _former,
    "mask-missing": lambda root, name: mask_path(root, name).unlink(),
    "image-missing": lambda root, name: scan_path(root, name).unlink(),
    "image-unreadable": _cut(scan_path, 0.5),
    "mask-unreadable": _cut(mask_path, 0.7),
    "several-masks": _second_mask,
    "several-images": _second_image,
    "no-head": _no_head,
}


def test_a_clean_tree_raises_no_alarm(each: int, checked_clean: CheckedCohort) -> None:
    checked = checked_clean
    assert checked.layout == "atlas-indi"
    assert len(checked.cases) == len(checked.usable) == _SITES * each
    assert [(case.case, case.faults) for case in checked.cases if case.faults] == []
    assert checked.notes == ()
    assert {case.centre for case in checked.cases} == {f"R{n:03d}" for n in range(1, 9)}
    sides = [case.hemisphere for case in checked.cases]
    assert sides == ["right" if number % 2 == 0 else "left" for number in range(_SITES * each)]
    assert all(case.components == 1 for case in checked.cases)


@pytest.mark.long
def test_forty_planted_faults_are_forty_found(tmp_path: Path) -> None:
    root = tmp_path / "ATLAS_2"
    plant_tree(root, sites=_SITES, each=6)
    names = [f"r{site:03d}s{number:03d}" for site in range(1, 9) for number in range(1, 6)]
    kinds = [*_PLANTS] * 3
    planted = dict(zip(names, kinds[:38], strict=False))
    for name, kind in planted.items():
        _PLANTS[kind](root, name)
    (root / "Training" / "R001" / "dataset_description.json").write_text("{")
    (root / "Training" / "R002" / "dataset_description.json").write_text('{"Name": "x"}')
    checked = check_cohort(find_cohort(root), jobs=2)
    described = [note for note in checked.notes if "dataset_description.json" in note]
    (rest,) = set(checked.notes) - set(described)
    assert rest.startswith("passed over: 1 T1w scan (")
    assert "run-2_T1w" in rest
    reported = {case.case[4:12]: {fault.code for fault in case.faults} for case in checked.cases}
    twins = {name for name, kind in planted.items() if kind == "identical-image"}
    for name, codes in reported.items():
        if name == "r008s006":  # the one that was copied
            assert codes == {"identical-image"}
        elif name in planted:
            assert planted[name] in codes, (name, planted[name], codes)
            if name not in twins:  # a copied image does not fit its mask's side
                assert codes == {planted[name]}, (name, planted[name], codes)
        else:
            assert codes == set(), (name, codes)
    assert len(planted) + len(described) == 40


def test_a_scan_saved_anew_under_another_name_is_found(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "ATLAS_2"
    shutil.copytree(clean, root, ignore=shutil.ignore_patterns("R00[4-8]"))
    voxels, affine = load(scan_path(root, "r001s001"))
    save(scan_path(root, "r003s003"), (0.5 * voxels**0.9).astype(np.float32), affine)
    checked = check_cohort(find_cohort(root))
    original, copy = (next(case for case in checked.cases if name in case.case) for name in ("r001s001", "r003s003"))
    assert (original.alike, copy.alike) == ((copy.case,), (original.case,))
    for case, other in ((original, copy), (copy, original)):
        (fault,) = [fault for fault in case.faults if fault.code == "near-identical-image"]
        assert fault.severity == "warning"
        assert f"nearly the same head as {other.case} (correlation 0.9" in fault.text
        assert case in checked.usable
    assert sum(bool(case.alike) for case in checked.cases) == 2
    assert not any(case.signature for case in checked.cases), "compared, then dropped"
    assert from_record(json.loads(json.dumps(to_record(checked))), name="x") == checked


@pytest.mark.parametrize(
    ("text", "days", "chronicity"),
    [
        ("400", 400, "chronic"),
        ("180", 180, "chronic"),
        ("179", 179, "acute"),
        ("0", None, "chronic"),
        ("-4", None, "chronic"),
        ("NaN", None, "chronic"),
        ("", None, "chronic"),
        ("n/a", None, "chronic"),
    ],
)
def test_days_go_before_the_sheets_word(
    text: str, days: float | None, chronicity: str, clean: Path, tmp_path: Path
) -> None:
    """The sheet calls everyone chronic; days decide where there are any, and 0, negative and NaN are none."""
    root = tmp_path / "ATLAS_2"
    shutil.copytree(clean / "Training" / "R001" / "sub-r001s001", root / "Training" / "R001" / "sub-r001s001")
    (root / "x_MetaData.csv").write_text(
        f"Subject ID,Session,Days Post Stroke,CHRONICITY\nsub-r001s001,ses-1,{text},chronic\n"
    )
    (entry,) = find_cohort(root).entries
    assert (entry.days, entry.chronicity) == (days, chronicity)


def test_masks_of_almost_one_are_masks(tmp_path: Path) -> None:
    voxels = np.zeros((12, 12, 12), np.float64)
    voxels[3:6, 3:6, 3:6] = 0.99999998
    save(tmp_path / "mask.nii.gz", voxels, np.eye(4))
    lesion = read_mask(tmp_path / "mask.nii.gz")
    assert lesion.voxels.sum() == 27
    assert lesion.flags == ()


def test_a_label_can_be_chosen(tmp_path: Path) -> None:
    voxels = np.zeros((12, 12, 12), np.uint8)
    voxels[2], voxels[3] = 1, 4
    save(tmp_path / "labels.nii.gz", voxels, np.eye(4))
    assert read_mask(tmp_path / "labels.nii.gz", label=4).voxels.sum() == 144
    with pytest.raises(BadData, match="`label`"):
        read_mask(tmp_path / "labels.nii.gz")


def test_the_record_comes_back(clean: Path, checked_clean: CheckedCohort) -> None:
    cohort, checked = find_cohort(clean), checked_clean
    tree = json.loads(json.dumps(to_record(checked)))
    again = from_record(tree, name="cohort.json")
    assert again == checked
    assert again.sha256 == checked.sha256
    tree["cases"][3]["lesion_voxels"] += 1
    with pytest.raises(BadData, match="cohort check"):
        from_record(tree, name="cohort.json")
    assert examine(cohort.entries[0]).places != examine(cohort.entries[1]).places


def test_a_label_that_no_voxel_has_is_refused_and_an_empty_mask_is_not(tmp_path: Path) -> None:
    voxels = np.zeros((12, 12, 12), np.uint8)
    save(tmp_path / "empty.nii.gz", voxels, np.eye(4))
    assert not read_mask(tmp_path / "empty.nii.gz", label=7).voxels.any()
    voxels[2] = 1
    save(tmp_path / "one.nii.gz", voxels, np.eye(4))
    with pytest.raises(BadData, match="has no label 7"):
        read_mask(tmp_path / "one.nii.gz", label=7)


def test_a_label_of_a_map_with_several_is_that_label_alone(tmp_path: Path) -> None:
    """Values near one level are one label only where nothing else is marked."""
    voxels = np.zeros((8, 8, 8), np.uint8)
    voxels[:2], voxels[2:4] = 254, 255
    save(tmp_path / "near.nii.gz", voxels, np.eye(4))
    for label in (None, 255):
        lesion = read_mask(tmp_path / "near.nii.gz", label=label)
        assert lesion.voxels.sum() == 256
        assert [fault.code for fault in lesion.flags] == ["mask-near-level"]
        assert "254 and 255" in lesion.flags[0].text
    voxels[4:6] = 40
    save(tmp_path / "several.nii.gz", voxels, np.eye(4))
    assert read_mask(tmp_path / "several.nii.gz", label=255).voxels.sum() == 128
