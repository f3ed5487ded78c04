"""A run that fails or is stopped leaves the earlier consensus, or what the next run takes for its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.call import call
from insula.errors import CannotCreate
from insula.study import consensus_study, find_rater_masks
from study.rater_masks import lesion, plant_raters, rows, save

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return plant_raters(tmp_path)


def _contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".insula.lock"}


def test_without_simpleitk_nothing_is_touched(
    folders: list[Path], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    call(capsys, "consensus", *folders, "--out", out)
    before = _contents(out)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    result = call(capsys, "consensus", *folders, "--out", out)
    assert result.code == 69 and result.err.count("SimpleITK, which is not installed") == 1
    assert "a_mask.nii.gz" in before and _contents(out) == before
    assert call(capsys, "consensus", *folders, "--out", tmp_path / "new").code == 69 and not (tmp_path / "new").exists()


@pytest.mark.parametrize("failing", ["read_mask", "staple", "two of the majority"])
def test_a_failure_that_is_not_the_masks_leaves_the_earlier_consensus(
    failing: str, folders: list[Path], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(masks: Any, **_: Any) -> None:
        if not isinstance(masks, list) or masks[0].size > 1:
            raise MemoryError

    out = tmp_path / "out"
    call(capsys, "consensus", *folders, "--out", out)
    before = _contents(out)
    if failing == "two of the majority":
        result = call(capsys, "consensus", *folders, "--out", out, "--method", "majority")
        assert "c: the majority of two raters" in result.err
        kept = ["c_mask.nii.gz", "c_consensus.json"]
    else:
        monkeypatch.setattr(f"insula.study.consensus.{failing}", out_of_memory)
        result = call(capsys, "consensus", *folders, "--out", out)
        assert result.err.count("memory ran out") == 3
        kept = list(before)
    assert result.code == 1 and {name: _contents(out)[name] for name in kept} == {name: before[name] for name in kept}


@pytest.mark.parametrize("failing", ["write_mask", "write_json"])
def test_a_full_disk_leaves_the_earlier_consensus(
    failing: str, folders: list[Path], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any, **__: Any) -> None:
        raise CannotCreate("the output file", path.name, "cannot be written", "free some space")

    out = tmp_path / "out"
    call(capsys, "consensus", *folders, "--out", out)
    before = _contents(out)
    save(folders[1] / "a_mask.nii.gz", lesion(4))
    monkeypatch.setattr(f"insula.study.consensus.{failing}", full)
    assert call(capsys, "consensus", *folders, "--out", out).code == 73
    assert _contents(out) == before


class _Kill(BaseException):
    """A stop after which nothing is done any more, not even tidying up."""


def _killed_at(number: int, patch: pytest.MonkeyPatch) -> None:
    """Let every change of a file fail from the given one on."""
    changes = 0

    def counted(change: Callable[..., None]) -> Callable[..., None]:
        def changed(*paths: Any, **options: Any) -> None:
            nonlocal changes
            changes += 1
            if changes > number:
                raise _Kill
            change(*paths, **options)

        return changed

    for name in ("replace", "unlink"):
        patch.setattr(os, name, counted(getattr(os, name)))


@pytest.mark.parametrize("spoilt", [False, True])
def test_after_a_stop_at_any_point_the_next_run_goes_on(
    spoilt: bool, folders: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    """Also if the run that was stopped deletes the consensus of masks that are spoilt."""
    two, out = [folder / "a_mask.nii.gz" for folder in folders[:2]], tmp_path / "out"
    wanted: dict[int, bytes] = {}
    for side in (5, 6):
        save(two[1], lesion(side))
        call(capsys, "consensus", *two, "--out", tmp_path / str(side))
        wanted[side] = (tmp_path / str(side) / "a_mask.nii.gz").read_bytes()
    for stop in range(100):
        save(two[1], lesion(5))
        assert call(capsys, "consensus", *two, "--out", out).code == 0, stop
        assert (out / "a_mask.nii.gz").read_bytes() == wanted[5], stop
        save(two[1], lesion(6) + 2 * lesion(2, 9) if spoilt else lesion(6))
        with pytest.MonkeyPatch.context() as patch:
            _killed_at(stop, patch)
            try:
                list(consensus_study(find_rater_masks(two), out))
            except _Kill:
                continue
        break
    assert 5 < stop < 99
    assert spoilt or (out / "a_mask.nii.gz").read_bytes() == wanted[6]


def test_a_record_without_its_mask_is_in_no_table(folders: list[Path], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    call(capsys, "consensus", *folders, "--out", out)
    (out / "b_mask.nii.gz").unlink()
    call(capsys, "consensus", *(folder / "a_mask.nii.gz" for folder in folders), "--out", out)
    assert {row["case"] for row in rows(out / "consensus.tsv")} == {"a", "c"}
