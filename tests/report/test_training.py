"""The page of a run: the figures of its log, whatever happened to the run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from insula.geometry import Grid
from insula.report import current_lines, read_log, render_folds, render_training
from insula.volume import Case, Mask, Scan


def _line(step: int, **more: Any) -> dict[str, Any]:
    return {
        "step": step,
        "steps": 200,
        "loss": 1.0 / step,
        "lr": 1e-3,
        "gradient_norm": 0.5,
        "seconds": 30.0 * step,
        "voxels_per_second": 2.5e6,
        "memory_gib": 0.0,
        "validation": None,
        **more,
    }


def _exam(dice: float) -> dict[str, Any]:
    return {"dice": dice, "low": dice - 0.1, "high": dice + 0.1, "f1": 0.5, "cases": 7}


def test_it_says_where_the_run_stands_and_how_good_it_is() -> None:
    log = [_line(1), _line(50, validation=_exam(0.61)), _line(100, validation=_exam(0.58)), _line(120)]
    page = render_training(log, name="a <run>", about={"model": "smart"})
    assert "a &lt;run&gt;" in page
    assert "Step 120 of 200, 60.0 min, about 40 min to go; 2.5 million voxels per second." in page
    assert "Validation on 7 held-out cases: Dice on cases with a lesion <strong>0.580</strong> [0.480, 0.680]" in page
    assert "best so far 0.610 at step 50" in page
    assert page.count("<svg") == 4
    assert not re.search(r"(src|href)=.http", page)


def test_a_run_that_went_on_and_losses_that_were_none() -> None:
    """Of a step that was done twice the later line counts; what was not finite is left out of the curve."""
    page = render_training([_line(1), _line(21, loss=None), _line(21), _line(41, loss=None)], name="run", about={})
    assert "Step 41 of 200" in page
    assert page.count("<svg") == 3


def test_what_a_run_did_before_it_went_back_is_not_shown() -> None:
    log = [_line(1), _line(41, validation=_exam(0.9)), _line(101), _line(21), _line(61)]
    page = render_training(log, name="run", about={})
    assert "Step 61 of 200" in page
    assert "0.900" not in page


def test_samples_show_both_outlines() -> None:
    image = np.random.default_rng(0).random((24, 24, 24)).astype(np.float32)
    truth = np.zeros((24, 24, 24), dtype=bool)
    truth[8:16, 8:16, 8:16] = True
    grid = Grid(image.shape, np.eye(4))
    case = Case(scan=Scan(image, grid, name="case7"), truth=Mask(truth, grid), subject="sub-7")
    predicted = Mask(np.roll(truth, 2, axis=0), grid)
    page = render_training([_line(1)], name="run", about={}, samples=[(case, predicted)])
    assert "case7: Dice 0.750" in page
    assert page.count("<path") > render_training([_line(1)], name="run", about={}).count("<path") + 1


def test_folds_are_listed_with_what_they_reached() -> None:
    folds = {
        "fold0": [_line(50, validation=_exam(0.5)), _line(200, validation=_exam(0.7))],
        "fold1": [_line(50, validation=_exam(0.6))],
        "fold2": [_line(1, loss=None)],
    }
    page = render_folds(folds, name="smart")
    assert "Mean Dice 0.650 over the last validations of 2 folds" in page
    assert 'href="fold2/training.html"' in page
    assert "0.700 [0.600, 0.800]" in page
    assert "1/200" in page


def test_a_log_is_read_though_a_killed_run_left_half_a_line(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 21}\n{"st\n{"step": 21}\n')
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == [1, 21, 21]
    assert [line["step"] for line in current_lines(lines)] == [1, 21]
