"""The corrected mask of a job: taken in by the real service, and what is refused."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from insula.checkpoint import load_weights, save_weights
from insula.io import read_mask
from io_series import write_head
from serve.conftest import service


def _done(running: Any, upload: bytes) -> str:
    status = running.wait(running.post(upload).json()["id"])
    assert status["state"] == "done", status
    return status["id"]


def _part(running: Any, id: str, part: str) -> bytes:
    answer = running.client.get(f"/v1/jobs/{id}/result/{part}")
    assert answer.status_code == 200, (part, answer.text)
    return answer.content


def _mask(content: bytes, folder: Path, name: str = "mask") -> nibabel.Nifti1Image:
    (folder / f"{name}.nii.gz").write_bytes(content)
    return nibabel.load(folder / f"{name}.nii.gz")


def _edited(image: nibabel.Nifti1Image, *, shift: int = 0) -> bytes:
    voxels = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    voxels[shift : shift + 4, :4, :4] = 1
    return _packed(voxels, image.affine)


def _packed(voxels: np.ndarray, affine: np.ndarray) -> bytes:
    return nibabel.Nifti1Image(voxels, affine).to_bytes()


def _message(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["message"]


def test_every_file_of_the_job_becomes_that_of_the_corrected_mask(
    start: Callable[..., Any], scan_bytes: bytes, tmp_path: Path
) -> None:
    audit = tmp_path / "audit.jsonl"
    with start(tmp_path / "service", f"audit={audit}") as running:
        id = _done(running, scan_bytes)
        network, before = _part(running, id, "mask"), json.loads(_part(running, id, "record"))
        assert running.client.get(f"/v1/jobs/{id}/result/network_mask").status_code == 404
        edited = _edited(_mask(network, tmp_path))
        answer = running.client.put(f"/v1/jobs/{id}/mask", content=edited)
        assert answer.status_code == 200
        record = answer.json()
        assert record["correction"]["network_volume_ml"] == before["volume_ml"] != record["volume_ml"]
        assert (
            record == json.loads(_part(running, id, "record")) == running.client.get(f"/v1/jobs/{id}").json()["record"]
        )
        (tmp_path / "edited.nii").write_bytes(edited)
        _mask(_part(running, id, "mask"), tmp_path)
        assert (read_mask(tmp_path / "mask.nii.gz").voxels == read_mask(tmp_path / "edited.nii").voxels).all()
        kept, first = _mask(_part(running, id, "network_mask"), tmp_path), _mask(network, tmp_path, "first")
        assert (np.asarray(kept.dataobj) == np.asarray(first.dataobj)).all()
        assert "corrected by hand" in _part(running, id, "page").decode()
        assert running.client.put(f"/v1/jobs/{id}/mask", content=edited).json() == record
        later = running.client.put(f"/v1/jobs/{id}/mask", content=_edited(first, shift=8)).json()
        assert later["correction"]["network_volume_ml"] == before["volume_ml"]
        names = zipfile.ZipFile(io.BytesIO(_part(running, id, "zip"))).namelist()
        assert {"scan_mask.nii.gz", "scan_network_mask.nii.gz", "scan.json", "scan.html"} <= set(names)
        assert f"scan_corrected-{record['sha256']['mask'][:8]}_mask.nii.gz" in names
        third = running.client.put(f"/v1/jobs/{id}/mask", content=_edited(first, shift=16)).json()
    with start(tmp_path / "service") as running:  # after a restart, the results are still the corrected ones
        assert json.loads(_part(running, id, "record")) == third
        assert running.client.delete(f"/v1/jobs/{id}").status_code == 204
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    puts = [line for line in lines if line["event"] == "PUT /v1/jobs/{id}/mask"]
    assert [(line["who"], line["job"], line["outcome"]) for line in puts] == [("local", id, "200")] * 4


def test_the_dicom_objects_are_those_of_the_corrected_mask(
    brain_weights: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    series = tmp_path_factory.mktemp("series")
    write_head(series)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(series.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(series))
    brain = load_weights(str(brain_weights))
    (tmp_path / "weights").mkdir()
    few = replace(brain.card, min_lesion_ml=0.5)  # a few lesions, not thousands
    save_weights(tmp_path / "weights", brain.model, few)
    with service(tmp_path / "service", tmp_path / "weights") as running:
        id = _done(running, packed.getvalue())
        before = dcmread(io.BytesIO(_part(running, id, "seg")))
        image = _mask(_part(running, id, "mask"), tmp_path)
        assert running.client.put(f"/v1/jobs/{id}/mask", content=_edited(image)).status_code == 200
        after = dcmread(io.BytesIO(_part(running, id, "seg")))
        assert after.SOPInstanceUID != before.SOPInstanceUID and after.PatientID == before.PatientID
        assert after.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
        assert _part(running, id, "sr") and _part(running, id, "sc") and _part(running, id, "brain")
        assert not list((running.store / "tmp" / "service").iterdir())


def test_a_wrong_mask_is_refused_and_the_results_stay(running: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    id = _done(running, scan_bytes)
    save, image = f"/v1/jobs/{id}/mask", _mask(_part(running, id, "mask"), tmp_path)
    before = _part(running, id, "zip")
    voxels, moved = (np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine.copy()
    moved[0, 3] += 5
    put = running.client.put
    assert "grid" in _message(put(save, content=_packed(voxels, moved)), 422)
    assert _message(put(save, content=_packed(voxels[1:], image.affine)), 422)
    assert _message(put(save, content=_part(running, id, "mask")[:-40]), 422)
    assert _message(put(save, content=b"hello"), 415)
    assert _message(put(save, content=b""), 400)
    assert _message(put(save, content=bytes(2_000_001)), 413)
    assert _message(put("/v1/jobs/none/mask", content=_edited(image)), 404)
    assert _message(put(save, content=_edited(image), headers={"Authorization": "Bearer wrong"}), 401)
    assert put(f"{save}/../mask", content=b"").status_code != 200
    assert _part(running, id, "zip") == before
    assert list((running.store / "incoming").iterdir()) == []


def test_a_mask_that_another_tab_changed_meanwhile_is_not_replaced(
    running: Any, scan_bytes: bytes, tmp_path: Path
) -> None:
    id = _done(running, scan_bytes)
    save, loaded = f"/v1/jobs/{id}/mask", running.client.get(f"/v1/jobs/{id}").json()["record"]
    match = {"If-Match": f'"{loaded["sha256"]["mask"]}"'}
    image = _mask(_part(running, id, "mask"), tmp_path)
    answer = running.client.put(save, content=_edited(image), headers=match)
    assert answer.status_code == 200
    changed = running.client.put(save, content=_edited(image, shift=8), headers=match)
    assert "was changed since it was loaded" in _message(changed, 412)
    again = running.client.put(save, content=_edited(image), headers=match)
    assert (again.status_code, again.json()) == (200, answer.json())
    newest = {"If-Match": f'"{answer.json()["sha256"]["mask"]}"'}
    assert running.client.put(save, content=_edited(image, shift=8), headers=newest).status_code == 200


def test_a_job_that_is_not_done_takes_no_mask(start: Callable[..., Any], scan_bytes: bytes, tmp_path: Path) -> None:
    with start(tmp_path / "service", wait=False) as running:
        id = running.post(scan_bytes).json()["id"]
        answer = running.client.put(f"/v1/jobs/{id}/mask", content=scan_bytes)
        assert "once it is done" in _message(answer, 409)


def test_two_corrections_at_once_follow_one_another(running: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    id = _done(running, scan_bytes)
    image, answers = _mask(_part(running, id, "mask"), tmp_path), list[httpx.Response]()

    def correct(shift: int) -> None:
        answers.append(running.client.put(f"/v1/jobs/{id}/mask", content=_edited(image, shift=shift)))

    threads = [threading.Thread(target=correct, args=(shift,)) for shift in (4, 8, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert json.loads(_part(running, id, "record")) in [answer.json() for answer in answers]
    names = zipfile.ZipFile(io.BytesIO(_part(running, id, "zip"))).namelist()
    assert sum("_corrected-" in name for name in names) == 2
