"""The page of a cohort says what the record says and shows what is odd."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cohort.tree import load, mask_path, plant_tree, save, scan_path
from insula.cohort import check_cohort, find_cohort, to_record
from insula.report import render_cohort, suspects


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    names = plant_tree(tmp_path, sites=2, each=3, step_mm=6.0)
    voxels, affine = load(mask_path(tmp_path, names[4]))
    save(mask_path(tmp_path, names[4]), np.zeros_like(voxels), affine)
    scan = scan_path(tmp_path, names[2])
    scan.write_bytes(scan.read_bytes()[:-200])
    return tmp_path


def test_suspects_come_errors_first_with_a_picture_where_there_is_one(tree: Path) -> None:
    cohort = find_cohort(tree)
    suspicious = suspects(check_cohort(cohort), cohort.entries)
    assert [(case.case, picture is not None) for case, picture in suspicious] == [
        ("sub-r001s003_ses-1", False),
        ("sub-r002s002_ses-1", True),
    ]


def test_the_page_is_whole_and_fetches_nothing(tree: Path) -> None:
    cohort = find_cohort(tree)
    checked = check_cohort(cohort)
    html = render_cohort(checked, to_record(checked), suspects(checked, cohort.entries))
    assert html.rstrip().endswith("</html>")
    assert not re.search(r"""(src|href)=["']https?:|@import|<script""", html)
    assert html.count("<svg") >= 3
    for text in ("R001", "R002", "mask-empty", "image-unreadable", "sub-r002s002_ses-1", "not a medical device"):
        assert text in html


def test_a_cohort_of_controls_alone_has_a_page_too(tmp_path: Path) -> None:
    for name in plant_tree(tmp_path, sites=1, each=2, step_mm=6.0):
        voxels, affine = load(mask_path(tmp_path, name))
        save(mask_path(tmp_path, name), np.zeros_like(voxels), affine)
    checked = check_cohort(find_cohort(tmp_path))
    assert "</html>" in render_cohort(checked, to_record(checked), ())
