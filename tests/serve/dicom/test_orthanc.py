"""A real archive: Orthanc sends a series to the node, and then holds the study with segmentation and report."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread

from io_series import write_head
from serve.dicom.dicomweb import free_port

_ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")
_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
pytestmark = pytest.mark.skipif(_ORTHANC is None, reason="orthanc is not installed")


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[tuple[httpx.Client, int]]:
    web, dicom = free_port(), free_port()
    settings = {
        "Name": "test",
        "StorageDirectory": str(tmp_path / "db"),
        "IndexDirectory": str(tmp_path / "db"),
        "HttpPort": web,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckModalityHost": False,
        "DicomAlwaysAllowStore": True,
        "Plugins": [str(_DICOMWEB)] if _DICOMWEB.exists() else [],
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with open(tmp_path / "orthanc.log", "w") as log:
        process = subprocess.Popen([str(_ORTHANC), str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30) as client:
        end = time.monotonic() + 30
        while True:
            try:
                client.get("/system").raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < end, (tmp_path / "orthanc.log").read_text()
                time.sleep(0.2)
        yield client, dicom
    process.terminate()
    process.wait(20)


def test_the_study_in_orthanc_holds_the_results(
    orthanc: tuple[httpx.Client, int], start_node: Any, tmp_path: Path
) -> None:
    client, port = orthanc
    series = write_head(tmp_path / "series")
    for path in series.iterdir():
        client.post("/instances", content=path.read_bytes()).raise_for_status()
    (source,) = client.get("/series").json()
    with start_node(tmp_path / "node", "--send", f"ORTHANC@127.0.0.1:{port}") as node:
        client.put(
            "/modalities/insula", json={"AET": "INSULA", "Host": "127.0.0.1", "Port": node.port}
        ).raise_for_status()
        client.post("/modalities/insula/store", json=[source]).raise_for_status()
        node.wait_for(": stored", times=2)
        (study,) = client.get("/studies").json()  # reports and segmentations come along, and are passed over
        client.post("/modalities/insula/store", json=[study]).raise_for_status()
        node.wait_for("passed over", times=2)
    (study,) = client.get("/studies").json()
    inside = client.get(f"/studies/{study}/series").json()
    by_modality = {entry["MainDicomTags"]["Modality"]: entry for entry in inside}
    assert set(by_modality) == {"MR", "SEG", "SR"}
    sent = {dcmread(path).SOPInstanceUID for path in series.iterdir()}
    (seg_id,), (sr_id,) = by_modality["SEG"]["Instances"], by_modality["SR"]["Instances"]
    seg, sr = (dcmread(io.BytesIO(client.get(f"/instances/{id}/file").content)) for id in (seg_id, sr_id))
    assert {
        entry.ReferencedSOPInstanceUID for entry in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    } <= sent
    evidence = [
        entry for item in sr.CurrentRequestedProcedureEvidenceSequence for entry in item.ReferencedSeriesSequence
    ]
    assert {entry.SeriesInstanceUID for entry in evidence} == {
        seg.SeriesInstanceUID,
        by_modality["MR"]["MainDicomTags"]["SeriesInstanceUID"],
    }
    assert seg.SOPInstanceUID in {
        entry.ReferencedSOPInstanceUID for item in evidence for entry in item.ReferencedSOPSequence
    }


@pytest.mark.skipif(not _DICOMWEB.exists(), reason="orthanc-dicomweb is not installed")
def test_orthanc_takes_the_results_by_stow(orthanc: tuple[httpx.Client, int], start_node: Any, tmp_path: Path) -> None:
    client, _ = orthanc
    series = write_head(tmp_path / "series")
    with start_node(tmp_path / "node", "--stow", f"{client.base_url}/dicom-web") as node:
        node.send(series)
        node.wait_for(": stored", times=2)
    modalities = sorted(
        client.get(f"/series/{id}").json()["MainDicomTags"]["Modality"] for id in client.get("/series").json()
    )
    assert modalities == ["SEG", "SR"]
