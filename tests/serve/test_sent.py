"""A mask that is sent: refused by its header where reading it would be useless, however far it unpacks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, cast

import pytest

from insula.errors import BadData, NoInput
from insula.predict import ResultRecord
from insula.serve.sent import check_sent
from report.records import done_record
from serve.study.conftest import empty_mask

SHAPE = [5, 6, 7]


def _record(**changes: Any) -> ResultRecord:
    record = done_record("a", **changes)
    return cast(ResultRecord, {**record, "scan": {**record["scan"], "shape": SHAPE}})


def test_any_axis_order_of_the_scan_is_taken_and_nothing_else(tmp_path: Path) -> None:
    for shape in itertools.permutations(SHAPE):
        check_sent(empty_mask(tmp_path, shape), _record())
    for other in ((5, 6, 8), (5, 6, 7, 2), (6, 6, 7)):
        times = "x".join(map(str, other))
        with pytest.raises(BadData, match=rf"\({times} voxels\) does not lie on the scan's grid \(5x6x7 voxels\)"):
            check_sent(empty_mask(tmp_path, other), _record())


def test_a_mask_with_megabytes_before_its_voxels_is_refused(tmp_path: Path) -> None:
    check_sent(empty_mask(tmp_path, (5, 6, 7), before=1 << 20), _record())
    with pytest.raises(BadData, match="begins its voxels after more than 16 MiB"):
        check_sent(empty_mask(tmp_path, (5, 6, 7), before=17 << 20), _record())


def test_a_result_without_hashes_takes_noempty_mask(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="the record of a has no hashes of its files.*; segment the scan again"):
        check_sent(empty_mask(tmp_path, (5, 6, 7)), _record(sha256={}))
