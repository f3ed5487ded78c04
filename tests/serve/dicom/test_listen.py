"""The node between a scanner and an archive that are made here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pydicom import dcmread

from io_series import CANARY, write_head, write_series


def test_a_series_becomes_results_in_the_archive(start_node: Any, archive: Any, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series", **CANARY)
    with start_node(
        tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}", "--set", 'send=["seg","sr","sc"]'
    ) as node:
        assert set(node.send(series)) == {0}
        got = {data.Modality: data for data in archive.wait(3)}
        node.says("sc: stored")
        said = node.log.read_text()
    assert set(got) == {"SEG", "SR", "OT"}
    source = [dcmread(path) for path in series.iterdir()]
    assert {data.StudyInstanceUID for data in got.values()} == {source[0].StudyInstanceUID}
    refers = got["SEG"].ReferencedSeriesSequence[0]
    assert refers.SeriesInstanceUID == source[0].SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in refers.ReferencedInstanceSequence} <= {
        one.SOPInstanceUID for one in source
    }
    for value in (*CANARY.values(), source[0].SeriesInstanceUID, source[0].SOPInstanceUID):
        assert value not in said
        assert not any(value in str(path) for path in node.store.rglob("*"))


def test_an_archive_that_refuses_is_asked_again_for_what_is_missing(
    start_node: Any, archive: Any, tmp_path: Path
) -> None:
    archive.refuse = 1
    with start_node(tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}") as node:
        node.send(write_head(tmp_path / "series"))
        node.says("not stored (status 0xa700)")
        archive.wait(2)
        node.says(": stored", times=2)
        time.sleep(1.5)
    assert sorted(data.Modality for data in archive.got) == ["SEG", "SR"], "each is stored once"


def test_an_archive_that_is_away_is_asked_again(start_node: Any, archive: Any, tmp_path: Path) -> None:
    with start_node(tmp_path / "node", "--send", "NOBODY@127.0.0.1:1") as node:
        node.send(write_head(tmp_path / "series"))
        node.says("does not answer")
    with start_node(tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}") as node:
        archive.wait(2)
        node.says(": stored", times=2)


def test_what_was_acknowledged_outlives_a_killed_node(start_node: Any, archive: Any, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series")
    with start_node(tmp_path / "node", "--set", "quiet_seconds=60") as node:
        assert set(node.send(series)) == {0}
        node.process.kill()
        node.process.wait()
    with start_node(tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}") as node:
        assert sorted(data.Modality for data in archive.wait(2)) == ["SEG", "SR"]


def test_late_slices_make_a_new_job_of_the_whole_series(start_node: Any, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series")
    count = len(list(series.iterdir()))
    with start_node(tmp_path / "node") as node:
        node.send(series, leave_out=5)
        node.says(f"a series of {count - 5} files is complete")
        node.send(series)
        node.says(f"a series of {count} files is complete")
        node.send(series)
        node.says("its series has come again")
        assert node.log.read_text().count("is complete") == 2, "the same again is no new job"


def test_what_cannot_be_segmented_is_said_without_a_name(start_node: Any, tmp_path: Path) -> None:
    with start_node(tmp_path / "node") as node:
        node.send(
            write_series(
                tmp_path / "series",
                **(CANARY | {"SeriesDescription": "t2_flair", "EchoTime": 90.0, "RepetitionTime": 9000.0}),
            )
        )
        said = node.says(": refused: ")
    for value in CANARY.values():
        assert value not in said


def test_what_came_to_nothing_is_tried_once_more_when_it_is_sent_again(start_node: Any, tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", SeriesDescription="t2_flair", EchoTime=90.0, RepetitionTime=9000.0)
    with start_node(tmp_path / "node") as node:
        node.send(series)
        node.says(": refused: ")
        node.send(series)
        node.says(": refused: ", times=2)


def test_a_job_that_expires_while_the_archive_is_away_does_not_end_the_node(start_node: Any, tmp_path: Path) -> None:
    with start_node(tmp_path / "node", "--send", "NOBODY@127.0.0.1:1", "--set", "service.keep_hours=0.001") as node:
        node.send(write_head(tmp_path / "series"))
        node.says("does not answer")
        end = time.monotonic() + 60
        while list((node.store / "jobs").iterdir()) and time.monotonic() < end:
            time.sleep(0.2)
        assert not list((node.store / "jobs").iterdir())
        time.sleep(1.5)
        assert node.process.poll() is None, node.log.read_text()
        assert set(node.send(write_series(tmp_path / "other"))) == {0}


def test_only_callers_that_are_named_get_in(start_node: Any, tmp_path: Path) -> None:
    series = write_series(tmp_path / "series")
    with start_node(tmp_path / "node", "--set", 'callers=["SCANNER"]') as node:
        assert node.send(series, title="STRANGER") == []
        assert set(node.send(series, title="SCANNER")) == {0}


def test_files_are_kept_under_hashes(start_node: Any, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series")
    with start_node(tmp_path / "node", "--set", "quiet_seconds=60") as node:
        node.send(series)
        kept = sorted((node.store / "received").rglob("*.dcm"))
    assert len(kept) == len(list(series.iterdir()))
    sums = sorted(dcmread(path).pixel_array.sum().item() for path in series.iterdir())
    assert sorted(dcmread(path).pixel_array.sum().item() for path in kept) == sums
