"""The protocol, replayed over HTTP as the platform runs it: health, input, invoke, output."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import pytest
import SimpleITK as sitk
import torch

import insula
from insula.checkpoint import load_weights
from insula.config import SegmentConfig
from insula.predict import Result
from insula.serve.challenge import Folders, Invocation, challenge_app
from insula.volume import Case
from serve.challenge.container import MASK, PROB, Running, challenge, fill, geometry, head


@pytest.fixture(scope="module")
def image(coarse_case: Case) -> sitk.Image:
    return head(coarse_case)


@pytest.fixture(scope="module")
def shared(quiet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Running]]:
    """One container for the tests of a module: weights are mounted, and the input folder is filled later."""
    root = tmp_path_factory.mktemp("container")
    shutil.copytree(quiet_weights, root / "opt/ml/model")
    with challenge(root) as running:
        yield root, running


@pytest.fixture
def container(shared: tuple[Path, Running]) -> tuple[Path, Running]:
    """The shared container with empty folders."""
    root, running = shared
    for name in ("input", "output"):
        shutil.rmtree(root / name, ignore_errors=True)
    running.log.write_text("")
    return root, running


def _volume(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_a_case_from_health_to_output(
    container: tuple[Path, Running], image: sitk.Image, quiet_weights: Path, tmp_path: Path
) -> None:
    """Both volumes lie exactly on the scan and are what insula finds in the same scan as NIfTI."""
    root, running = container
    health = running.client.get("/health")
    assert (health.status_code, health.json()["status"], health.json()["weights"]) == (200, "ok", "tiny")
    fill(root, image)
    response = running.client.post("/invoke")
    assert response.status_code == 201, response.text

    mask, prob = (sitk.ReadImage(str(root / path)) for path in (MASK, PROB))
    assert geometry(mask) == geometry(prob) == geometry(image)
    assert (mask.GetPixelID(), prob.GetPixelID()) == (sitk.sitkUInt8, sitk.sitkFloat32)
    voxels, chances = sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(prob)
    assert set(np.unique(voxels)) == {0, 1}
    assert 0 <= chances.min() < chances.max() <= 1
    written = {str(path.relative_to(root)) for path in (root / "output").rglob("*") if path.is_file()}
    assert written == {MASK, PROB}

    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    torch.set_num_threads(1)
    config = SegmentConfig(device="cpu", assume_t1w=True)
    expected = insula.segment(tmp_path / "scan.nii.gz", config, weights=str(quiet_weights))
    assert np.abs(chances.T - expected.prob).max() < 1e-3
    assert np.mean(expected.mask.voxels != voxels.T) < 1e-3
    assert response.json()["volume_ml"] == pytest.approx(voxels.sum() * 0.064, abs=1e-3)
    assert response.json()["lesions"] == len(expected.lesions)


def test_nothing_of_the_patient_is_logged(container: tuple[Path, Running], image: sitk.Image) -> None:
    root, running = container
    path = fill(root, image)
    (root / "input/stroke-metadata.json").write_text('{"CENTER": "R049", "DAYS_POST_STROKE": 412}')
    assert running.client.post("/invoke").status_code == 201
    path.write_bytes(path.read_bytes()[:-1])
    assert running.client.post("/invoke").status_code == 400
    log = running.log.read_text()
    assert "invocation done in" in log and "invocation failed after" in log
    for word in ("DOE", "R049", "412", path.stem, str(root)):
        assert word not in log


def test_the_name_of_a_file_that_cannot_be_read_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Result:
        raise OSError(errno.EIO, "Input/output error", "/input/images/t1/DOE_1960.mha")

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(challenge_app(cast(Invocation, fail)))
        async with httpx.AsyncClient(transport=transport, base_url="http://container") as client:
            return await client.post("/invoke")

    assert asyncio.run(post()).status_code == 500
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("insula")]
    assert "invocation failed after" in line and "DOE" not in line


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_nifti_is_taken_too(ending: str, container: tuple[Path, Running], image: sitk.Image) -> None:
    root, running = container
    fill(root, image, ending=ending)
    assert running.client.post("/invoke").status_code == 201
    mask = sitk.ReadImage(str(root / MASK))
    assert mask.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-5)
    assert mask.GetOrigin() == pytest.approx(image.GetOrigin(), abs=1e-3)


def test_case_after_case(container: tuple[Path, Running], image: sitk.Image) -> None:
    """The same scan gives the same bytes; another scan replaces the result."""
    root, running = container
    path = fill(root, image)
    assert running.client.post("/invoke", json={}).status_code == 201
    first = [(root / name).read_bytes() for name in (MASK, PROB)]
    assert running.client.post("/invoke", json={}).status_code == 201
    assert [(root / name).read_bytes() for name in (MASK, PROB)] == first
    sitk.WriteImage(sitk.Flip(image, (True, False, False), False), str(path))
    assert running.client.post("/invoke", json={}).status_code == 201
    assert (root / PROB).read_bytes() != first[1]


def _no_list(root: Path, path: Path) -> None:
    (root / "input/inputs.json").unlink()


def _no_folder(root: Path, path: Path) -> None:
    shutil.rmtree(root / "input")


def _no_image(root: Path, path: Path) -> None:
    path.unlink()


def _two_images(root: Path, path: Path) -> None:
    shutil.copy(path, path.with_name("another.mha"))


def _wrong_socket(root: Path, path: Path) -> None:
    (root / "input/inputs.json").write_text(json.dumps([{"socket": {"slug": "head-ct-angio"}}]))


def _cut(root: Path, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flipped_bit(root: Path, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2000] ^= 4
    path.write_bytes(data)


def _not_a_volume(root: Path, path: Path) -> None:
    path.write_bytes(b"<html>log in</html>")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_no_list, "the list of inputs inputs.json does not exist"),
        (_no_folder, "the list of inputs inputs.json does not exist"),
        (_no_image, "the folder of t1-brain-mri holds no image"),
        (_two_images, "the folder of t1-brain-mri holds 2 images"),
        (_wrong_socket, "t1-brain-mri is not in inputs.json, which lists head-ct-angio"),
        (_cut, "is shorter than the"),
        (_flipped_bit, "the compressed voxel data"),
        (_not_a_volume, "has no MetaImage header"),
    ],
)
def test_bad_input_is_one_line_and_400(damage, words: str, container: tuple[Path, Running], image: sitk.Image) -> None:  # type: ignore[no-untyped-def]
    """The result of the case before is gone, and the next case is served."""
    root, running = container
    path = fill(root, image)
    assert running.client.post("/invoke").status_code == 201
    damage(root, path)
    response = running.client.post("/invoke")
    assert response.status_code == 400
    message = response.json()["error"]["message"]
    assert words in message and "\n" not in message
    assert message in running.log.read_text()
    assert "Traceback" not in running.log.read_text()
    assert not [path for path in (root / "output").rglob("*") if path.is_file()]
    shutil.rmtree(root / "input", ignore_errors=True)
    fill(root, image)
    assert running.client.post("/invoke").status_code == 201


def test_an_output_that_cannot_be_written_is_500(container: tuple[Path, Running], image: sitk.Image) -> None:
    root, running = container
    fill(root, image)
    shutil.rmtree(root / "output")
    (root / "output").write_text("a file")
    response = running.client.post("/invoke")
    assert response.status_code == 500
    assert "output" in response.json()["error"]["message"]
    (root / "output").unlink()
    assert running.client.post("/invoke").status_code == 201


@pytest.mark.parametrize(
    ("method", "address", "status"), [("GET", "/", 404), ("GET", "/invoke", 405), ("POST", "/health", 405)]
)
def test_other_addresses(method: str, address: str, status: int, container: tuple[Path, Running]) -> None:
    response = container[1].client.request(method, address)
    assert response.status_code == status
    assert "use GET /health or POST /invoke" in response.json()["error"]["message"]


def test_named_weights_win_over_mounted_ones(
    image: sitk.Image, quiet_weights: Path, brain_weights: Path, tmp_path: Path
) -> None:
    """Other weights give another map; without mounted and named ones, the bundled default is used."""
    root = tmp_path / "container"
    shutil.copytree(quiet_weights, root / "opt/ml/model")
    fill(root, image)
    maps = []
    for arguments in ((), ("--weights", str(brain_weights))):
        with challenge(root, *arguments) as running:
            assert running.client.post("/invoke").status_code == 201
            maps.append(_volume(root / PROB))
    assert not np.array_equal(*maps)


def test_an_empty_mount_leaves_the_bundled_weights(tmp_path: Path) -> None:
    root = tmp_path / "container"
    (root / "opt/ml/model").mkdir(parents=True)
    with challenge(root) as running:
        assert running.client.get("/health").json()["weights"] == load_weights("smart").card.name
        assert "(bundled)" in running.log.read_text()


def test_one_invocation_at_a_time_and_no_text_of_a_bug(
    image: sitk.Image,
    quiet_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill(tmp_path, image)
    invocation = Invocation(Folders(tmp_path), load_weights(str(quiet_weights)), SegmentConfig(device="cpu"))
    app = challenge_app(invocation)
    begun, finish = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> None:
        begun.set()
        finish.wait(30)
        raise RuntimeError("about DOE^JANE")

    async def two_at_a_time() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://container") as client:
            first = asyncio.create_task(client.post("/invoke"))
            assert await asyncio.to_thread(begun.wait, 30)
            health, second = await client.get("/health"), await client.post("/invoke")
            finish.set()
            return await first, second, health

    monkeypatch.setattr("insula.serve.challenge.server.segment", slow)
    failed, busy, health = asyncio.run(two_at_a_time())
    assert (failed.status_code, busy.status_code, health.status_code) == (500, 409, 200)
    assert "another one was running" in busy.json()["error"]["message"]
    assert "DOE" not in failed.text + caplog.text
    assert "RuntimeError at test_server.py" in caplog.text
