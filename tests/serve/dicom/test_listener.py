"""The node between a scanner and an archive that are made here."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import httpx
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from insula.config import ListenConfig
from insula.serve.dicom.node import doubts
from io_series import CANARY, save, write_head, write_series
from serve.dicom.dicomweb import dicomweb, free_port


def test_a_series_becomes_results_in_the_archive(start_node: Any, archive: Any, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series", **CANARY)
    with start_node(
        tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}", "--set", 'send=["seg","sr","sc"]'
    ) as node:
        assert set(node.send(series)) == {0}
        got = {data.Modality: data for data in archive.wait(3)}
        node.wait_for("sc: stored")
        log = node.log.read_text()
    assert set(got) == {"SEG", "SR", "OT"}
    source = [dcmread(path) for path in series.iterdir()]
    assert {data.StudyInstanceUID for data in got.values()} == {source[0].StudyInstanceUID}
    refers = got["SEG"].ReferencedSeriesSequence[0]
    assert refers.SeriesInstanceUID == source[0].SeriesInstanceUID
    assert {instance.ReferencedSOPInstanceUID for instance in refers.ReferencedInstanceSequence} <= {
        instance.SOPInstanceUID for instance in source
    }
    for value in (*CANARY.values(), source[0].SeriesInstanceUID, source[0].SOPInstanceUID):
        assert value not in log
        assert not any(value in str(path) for path in node.store.rglob("*"))


def test_an_archive_that_refuses_is_asked_again_for_what_is_missing(
    start_node: Any, archive: Any, tmp_path: Path
) -> None:
    archive.refuse = 1
    with start_node(tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}") as node:
        node.send(write_head(tmp_path / "series"))
        node.wait_for("not stored (status 0xa700)")
        archive.wait(2)
        node.wait_for(": stored", times=2)
        time.sleep(1.5)
    assert sorted(data.Modality for data in archive.got) == ["SEG", "SR"], "each is stored once"


def test_an_archive_that_is_away_is_asked_again(start_node: Any, archive: Any, tmp_path: Path) -> None:
    with start_node(tmp_path / "node", "--send", "NOBODY@127.0.0.1:1") as node:
        node.send(write_head(tmp_path / "series"))
        node.wait_for("does not answer")
    with start_node(tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}") as node:
        archive.wait(2)
        node.wait_for(": stored", times=2)


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
        node.wait_for(f"a series of {count - 5} files is complete")
        node.send(series)
        node.wait_for(f"a series of {count} files is complete")
        node.send(series)
        node.wait_for("its series was received again")
        assert node.log.read_text().count("is complete") == 2, "the same again is no new job"


def test_what_cannot_be_segmented_is_said_without_a_name(start_node: Any, tmp_path: Path) -> None:
    with start_node(tmp_path / "node") as node:
        node.send(
            write_series(
                tmp_path / "series",
                **(CANARY | {"SeriesDescription": "t2_flair", "EchoTime": 90.0, "RepetitionTime": 9000.0}),
            )
        )
        log = node.wait_for(": refused: ")
    for value in CANARY.values():
        assert value not in log


def test_what_came_to_nothing_is_tried_once_more_when_it_is_sent_again(start_node: Any, tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", SeriesDescription="t2_flair", EchoTime=90.0, RepetitionTime=9000.0)
    with start_node(tmp_path / "node") as node:
        node.send(series)
        node.wait_for(": refused: ")
        node.send(series)
        node.wait_for(": refused: ", times=2)


def test_a_job_that_expires_while_the_archive_is_away_does_not_end_the_node(start_node: Any, tmp_path: Path) -> None:
    with start_node(tmp_path / "node", "--send", "NOBODY@127.0.0.1:1", "--set", "service.keep_hours=0.001") as node:
        node.send(write_head(tmp_path / "series"))
        node.wait_for("does not answer")
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


def test_the_same_images_with_other_pixels_are_refused(start_node: Any, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series")

    def other(data: Any, number: int) -> Any:
        data.ImagePositionPatient = [-90.0, -100.0, -60.0 + 4 * number]
        return data

    changed = write_series(tmp_path / "changed", change=other)
    with start_node(tmp_path / "node") as node:
        assert set(node.send(series)) == {0}
        node.wait_for("is complete")
        assert set(node.send(changed)) == {0x0111}
        assert set(node.send(series)) == {0}, "the same again is acknowledged"
        node.wait_for("its series was received again")
        assert "refused: it exists already with other pixels or geometry" in node.log.read_text()


def test_the_t1w_series_of_a_study_is_segmented_and_nothing_else(start_node: Any, archive: Any, tmp_path: Path) -> None:
    others = [
        write_head(
            tmp_path / "t2", SeriesNumber=4, SeriesDescription="t2_tse", EchoTime=90.0, RepetitionTime=5000.0, **CANARY
        ),
        write_head(
            tmp_path / "post", SeriesNumber=5, SeriesDescription="t1_mprage +C", ContrastBolusAgent="Gd", **CANARY
        ),
    ]
    t1w = write_head(tmp_path / "t1w", SeriesNumber=3, **CANARY)
    with start_node(
        tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}", "--set", "quiet_seconds=3"
    ) as node:
        for series in (others[0], t1w, others[1]):
            assert set(node.send(series)) == {0}
        log = node.wait_for("another series of its study is the T1w scan", times=2)
        archive.wait(2)
        node.send(others[0])
        log = node.wait_for("another series of its study is the T1w scan", times=3)
    assert log.count("is complete") == 1
    (uid,) = {data.ReferencedSeriesSequence[0].SeriesInstanceUID for data in archive.got if data.Modality == "SEG"}
    assert uid == dcmread(next(t1w.iterdir())).SeriesInstanceUID
    assert len(archive.got) == 2
    assert not [value for value in CANARY.values() if value in log]


def test_a_study_without_a_t1w_series_is_not_segmented(start_node: Any, tmp_path: Path) -> None:
    slow = {"EchoTime": 90.0, "RepetitionTime": 9000.0}
    with start_node(tmp_path / "node", "--set", "quiet_seconds=3") as node:
        node.send(write_head(tmp_path / "a", SeriesNumber=4, SeriesDescription="t2_tse", **slow))
        node.send(write_head(tmp_path / "b", SeriesNumber=5, SeriesDescription="t2_flair", **slow))
        log = node.wait_for("hold no series whose header, name or timings indicate T1w", times=2)
        assert "is complete" not in log
        assert not list((node.store / "jobs").iterdir())


def test_what_was_doubted_is_not_sent(start_node: Any, archive: Any, tmp_path: Path) -> None:
    series = write_head(tmp_path / "series", ContrastBolusAgent="Gd")
    send = ("--send", f"ARCHIVE@127.0.0.1:{archive.port}")
    with start_node(tmp_path / "node", *send) as node:
        node.send(series)
        node.wait_for("held back from the archive: contrast-agent")
        time.sleep(1.5)
        assert node.log.read_text().count("held back") == 1
        (record,) = node.store.glob("jobs/*/results/*.json")
        assert record.with_name("scan_seg.dcm").exists(), "it is kept"
    assert archive.got == []
    despite = [*ListenConfig().send_despite, "contrast-agent"]
    with start_node(tmp_path / "node", *send, "--set", f"send_despite={json.dumps(despite)}"):
        archive.wait(2)


def test_its_audit_and_its_metrics(start_node: Any, archive: Any, tmp_path: Path) -> None:
    audit, port = tmp_path / "audit.jsonl", free_port()
    series = write_head(tmp_path / "series", **CANARY)
    with start_node(
        tmp_path / "node",
        "--audit",
        str(audit),
        "--metrics-port",
        str(port),
        "--callers",
        "SCANNER",
        "PACS",
        "--send",
        f"ARCHIVE@127.0.0.1:{archive.port}",
    ) as node:
        count = len(node.send(series))
        assert node.send(series, title="CANARYTITLE") == []
        archive.wait(2)
        node.wait_for("sr: stored")
        time.sleep(1)
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    association = next(line for line in lines if line["event"] == "association" and line["who"] == "SCANNER")
    assert (association["outcome"], association["stored"], association["failed"]) == ("released", count, 0)
    assert association["ms"] > 0
    (job,) = (line for line in lines if line["event"] == "job")
    assert (job["who"], job["outcome"]) == ("SCANNER", "done")
    assert [line["who"] for line in lines if line["outcome"] == "rejected"] == ["nobody"]
    for name in (
        f'insula_objects_total{{outcome="stored"}} {count}.0',
        'insula_associations_total{outcome="rejected"} 1.0',
        'insula_results_total{outcome="stored"} 2.0',
        'insula_jobs{state="done"} 1.0',
        "insula_workers_ready 1.0",
    ):
        assert name in metrics
    assert "CANARY" not in audit.read_text() + metrics + node.log.read_text()


def test_results_go_to_two_archives(start_node: Any, archive: Any, tmp_path: Path) -> None:
    with (
        dicomweb() as web,
        start_node(tmp_path / "node", "--send", f"ARCHIVE@127.0.0.1:{archive.port}", "--stow", web.url) as node,
    ):
        web.refuse = 1
        node.send(write_head(tmp_path / "series"))
        archive.wait(2)
        node.wait_for("not stored (status 0xa900)")
        node.wait_for(": stored", times=4)
        time.sleep(1.5)
    assert sorted(data.Modality for data in archive.got) == ["SEG", "SR"]
    assert sorted(data.Modality for data in web.got) == ["SEG", "SR"], "each is stored once"


def test_every_warning_that_is_not_named_is_a_doubt_and_no_note_is() -> None:
    def record(**severities: str) -> dict[str, Any]:
        return {"flags": [{"code": code, "severity": severity} for code, severity in severities.items()]}

    assert doubts(record(a="note", b="warning", c="warning", d="doubt", e="error"), ["b", "d"]) == ["c", "d", "e"]
    assert doubts(record(), []) == []


def test_nothing_of_a_malformed_header_is_in_the_log(start_node: Any, tmp_path: Path) -> None:
    words = {
        "SeriesInstanceUID": "1.2.CANARYSERIES",
        "StudyInstanceUID": "CANARYSTUDY",
        "FrameOfReferenceUID": "CANARYFRAME",
        "Modality": "CANARYMODALITY",
        "PatientBirthDate": "CANARY1960",
        "StudyDate": "CANARYDATE",
        "PatientAge": "CANARYAGE",
        "SliceThickness": "CANARYTHICK",
        "SpecificCharacterSet": "CANARYSET",
    }

    def mar(data: Any, number: int) -> Any:
        for name, value in words.items():
            vr = data[name].VR if name in data else "CS"
            if vr != "DS":
                data._dict[Tag(name)] = RawDataElement(Tag(name), vr, len(value), value.encode(), 0, False, True)
        return data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        series = write_head(tmp_path / "series")
        for path in series.iterdir():
            save(mar(dcmread(path), 0), path)
        with start_node(tmp_path / "node") as node:
            node.send(series)
            node.wait_for("is complete")
            node.wait_for("job=")
            time.sleep(0.5)
    assert "CANARY" not in node.log.read_text()


def test_an_association_that_breaks_off_is_said_too(start_node: Any, tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    with start_node(tmp_path / "node", "--audit", str(audit)) as node:
        for end in ("abort", "vanish"):
            caller = AE(ae_title="SCANNER")
            caller.add_requested_context(Verification)
            association = caller.associate("127.0.0.1", node.port, ae_title="INSULA")
            if end == "abort":
                association.abort()
            else:
                association.dul.socket.socket.shutdown(2)
        limit = time.monotonic() + 20
        while audit.read_text().count("\n") < 2 and time.monotonic() < limit:
            time.sleep(0.1)
    outcomes = [json.loads(line)["outcome"] for line in audit.read_text().splitlines()]
    assert outcomes == ["aborted", "broken off"]
