"""What a node does when its disk or its database fails for a moment."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from insula.config import ListenConfig
from insula.io import write_json
from insula.serve import Jobs, JobStore, Workers
from insula.serve.database import Busy
from insula.serve.dicom import receive
from insula.serve.dicom.meter import NodeMeter
from insula.serve.dicom.node import Node
from insula.serve.dicom.sender import Target
from io_series import SHAPE, sample, write_series


@pytest.fixture
def node(tmp_path: Path) -> Node:
    store = JobStore(tmp_path / "store")
    store.sweep(set())
    jobs, config = Jobs(store.database), ListenConfig(quiet_seconds=0)
    return Node(
        store, jobs, config, [Target("archive", 104, "ARCHIVE")], NodeMeter(jobs, Workers(store, jobs, config.service))
    )


def _received(node: Node, name: str, *, slices: int = SHAPE[2]) -> Path:
    """A series of the study S, as the receiver keeps it."""
    folder = write_series(node._store.path / "received" / name, sample()[:, :, :slices])
    for file in list(folder.iterdir()):
        file.rename(file.with_suffix(".dcm"))
    write_json(folder / ".about.json", {"study": "S", "caller": "SCANNER"})
    return folder


def test_a_series_that_cannot_be_copied_leaves_no_copies(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    _received(node, "head")

    def refuse(*paths: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(receive.os, "link", refuse)
        full.setattr(receive.shutil, "copyfile", refuse)
        for _ in range(3):
            node.look()
    assert node._jobs.ids() == set()
    assert list((node._store.path / "jobs").iterdir()) == []
    node.look()
    assert len(node._jobs.ids()) == 1


def test_a_locked_database_ends_neither_looking_nor_sending(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Semaphore(0)

    def locked(owner: str) -> list[object]:
        asked.release()
        raise Busy("the job database", "", "is locked by another program", "try again in a few seconds")

    monkeypatch.setattr(node._jobs, "of", locked)
    node.look()
    assert asked.acquire(timeout=0)
    sender = threading.Thread(target=node.send_for_ever, daemon=True)
    sender.start()
    for _ in range(2):  # a second time only if the first did not end it
        assert asked.acquire(timeout=20)
    node.stopping.set()
    sender.join(20)


def test_a_damaged_header_of_one_series_does_not_keep_the_others_of_its_study(node: Node) -> None:
    _received(node, "head")
    file = next(_received(node, "localiser", slices=3).glob("*.dcm"))
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"\x20\x00\x13\x00IS", b"\x20\x00\x13\x00I1"))  # a type that DICOM does not know
    assert file.read_bytes() != whole
    node.look()
    assert len(node._jobs.ids()) == 1
    assert list(node.receiver.complete(0)) == []
