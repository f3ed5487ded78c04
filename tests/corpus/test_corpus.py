"""Every row of the table through `insula segment`: the outcome, the code, the value named, and nothing else written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from corpus.files import GRID, IMAGE, nifti, packed
from corpus.rows import ROWS, Row
from geometry.orders import ORDERS, stored_as, turned
from insula.cli.flags import flagged
from insula.cli.study import print_study
from insula.config import SegmentConfig
from insula.errors import InsulaError
from insula.geometry import AxisMap, Grid, ras_map
from insula.io import read_scan
from insula.simulate import phantom_case
from insula.study import StudyPlan
from insula.study.inputs import find_scans, name_cases

Run = Callable[..., tuple[int, Path]]


@pytest.fixture
def run(tiny_weights: Path, tmp_path: Path) -> Run:
    """Segment one file as the command line does."""

    def once(path: Path, **options: Any) -> tuple[int, Path]:
        files = find_scans([str(path)]).files
        out = tmp_path / "out"
        plan = StudyPlan(
            files=files,
            names=name_cases(files),
            config=SegmentConfig(precision="float32", device="cpu"),
            weights=[str(tiny_weights)],
            wording=flagged,
            **options,
        )
        return print_study(plan, out), out

    return once


def _param(row: Row) -> Any:
    """Variants of a row that passes are long, since each is a whole run, and so is what packs 64 MB first."""
    variant = (row.outcome != "refused" and not row.number.isdigit()) or row.number in ("31h", "31i")
    return pytest.param(row, id=f"{row.number}: {row.title}", marks=[pytest.mark.long] if variant else [])


@pytest.mark.parametrize("row", [_param(row) for row in ROWS])
def test_row(row: Row, run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = row.build(folder)
    code, out = run(path, **dict(row.options))
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    (file,) = (path for path in out.glob("*.json") if path.stem not in ("lesions", "results"))
    record = json.loads(file.read_text())
    written = sorted(
        p.name.rpartition("_")[2] for p in out.iterdir() if p.suffix in (".gz", ".html") and p.name != "index.html"
    )
    if row.outcome == "refused":
        assert code == row.code
        assert record["outcome"] == "refused"
        assert record["error"]["code"] == row.code
        assert row.message in record["error"]["message"]
        assert "\n" not in record["error"]["message"]
        assert record["error"]["message"] in printed.err
        assert written == []
        return
    assert code == 0, printed.err
    assert record["outcome"] == "done"
    assert len(written) == 3
    codes = [flag["code"] for flag in record["flags"]]
    if row.outcome == "warned":
        assert row.message in codes
    else:
        assert not [
            flag for flag in record["flags"] if flag["severity"] == "warning" and flag["code"] != "lesion-at-box-rim"
        ]
    for part in ("mask", "prob"):
        _lies_on(out / record["files"][part], path, read_scan(path, **dict(row.options)).grid)


def _lies_on(path: Path, scan: Path, grid: Grid) -> None:
    """Two readers agree with us on where the result is; of odd headers, they make of it what they make of the scan."""
    image = nib.load(path)
    assert image.shape == grid.shape
    if not np.allclose(image.affine, grid.affine, atol=1e-4 * max(1, np.abs(grid.affine).max() / 100)):
        assert np.allclose(image.affine, nib.load(scan).affine, rtol=1e-6)
        return
    try:
        seen, result = (sitk.ReadImage(str(file)) for file in (scan, path))
        facts = ("GetDirection", "GetSpacing", "GetOrigin") if seen.GetDimension() == 3 else ()
        same = bool(facts) and all(
            np.allclose(getattr(result, fact)(), getattr(seen, fact)(), rtol=1e-5, atol=1e-5) for fact in facts
        )
    except RuntimeError:  # a file that ITK does not read
        same = False
    if not same:
        _lies_on_grid(path, grid)


def _lies_on_grid(path: Path, grid: Grid) -> None:
    other = sitk.ReadImage(str(path))
    turn = np.array(other.GetDirection()).reshape(3, 3) * other.GetSpacing()
    to_ras = np.diag([-1, -1, 1])
    assert np.allclose(to_ras @ turn, grid.affine[:3, :3], atol=1e-4)
    assert np.allclose(
        to_ras @ other.GetOrigin(), grid.affine[:3, 3], atol=1e-4 * max(1, np.abs(grid.affine).max() / 100)
    )


def test_slopes_that_mean_nothing_change_nothing(tmp_path: Path) -> None:
    by_number = {row.number: row for row in ROWS}
    images = []
    for number in ("45", "45b", "45c"):
        (tmp_path / number).mkdir()
        images.append(read_scan(by_number[number].build(tmp_path / number)).image)
    assert all(np.array_equal(image, IMAGE.astype(np.float32)) for image in images)


def test_a_negative_slope_gives_the_true_intensities(tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.number == "46")
    assert np.array_equal(read_scan(row.build(tmp_path)).image, IMAGE.astype(np.float32))


def test_metres_become_millimetres(tmp_path: Path) -> None:
    for number in ("56", "56b"):
        (tmp_path / number).mkdir()
        row = next(row for row in ROWS if row.number == number)
        assert read_scan(row.build(tmp_path / number)).grid.close_to(GRID, tolerance_mm=1e-2)


@pytest.mark.long
@pytest.mark.parametrize("degrees", [0.0, 17.0])
def test_the_48_orders_of_one_scan_get_the_same_mask(degrees: float, run: Run, tmp_path: Path) -> None:
    grid = turned(GRID, degrees)
    image = phantom_case(grid).scan.image.astype(np.int16)
    masks = []
    for number, axes in enumerate(ORDERS if degrees == 0 else ORDERS[::5]):  # geometry's own laws take all, tilted
        path = tmp_path / f"order{number}.nii"
        path.write_bytes(nifti(*stored_as(image, grid, axes)))
        _, out = run(path)
        masks.append(_in_ras(out / f"order{number}_mask.nii.gz"))
    assert 0 < masks[0].sum() < masks[0].size
    assert all(np.array_equal(mask, masks[0]) for mask in masks)


def _in_ras(path: Path) -> np.ndarray:
    image = nib.load(path)
    axes: AxisMap = ras_map(Grid(image.shape, image.affine))
    return axes.apply(np.asarray(image.dataobj))


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_files_by_the_thousand_give_no_wrong_voxel(count: int, tmp_path: Path) -> None:
    """Each damage is refused, or did not touch what the file says (a time stamp in the gzip header, say)."""
    whole = packed(nifti())
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(whole)
    scan = read_scan(path)
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(count):
        data, at = bytearray(whole), int(rng.integers(len(whole)))
        kind = number % 4
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data[at] = (data[at] + int(rng.integers(1, 256))) % 256
        elif kind == 2:
            data[at : at + 4096] = bytes(len(data[at : at + 4096]))
        else:
            data = data[: -int(rng.integers(1, 64))]
        path.write_bytes(data)
        try:
            seen = read_scan(path)
        except InsulaError:
            refused += 1
        else:
            assert np.array_equal(seen.image, scan.image)
            assert seen.grid == scan.grid
    assert refused > 0.95 * count
