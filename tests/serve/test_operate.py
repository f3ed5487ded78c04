"""What the documentation gives operators works: nginx in front, units that systemd takes, a store that is moved."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from insula.config import ListenConfig, ServeConfig, load_knobs
from serve.certificate import make_certificate
from serve.conftest import TOKEN
from serve.dicom.dicomweb import free_port

_FILES = Path(__file__).parents[2] / "docs" / "how-to" / "files"
_NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
_ANALYZE = shutil.which("systemd-analyze")


@pytest.fixture(scope="module")
def proxied(start: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Any]]:
    """The documented nginx, on another port and with a certificate made here, before a service."""
    if _NGINX is None:
        pytest.skip("nginx is not installed")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    make_certificate(folder / "key", folder / "cert")
    with start(folder / "service", "failed_tokens=3", "most_mb=2") as running:
        text = (_FILES / "nginx.conf").read_text(encoding="utf-8")
        changes = {
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "    listen [::]:443 ssl;\n": "",
            "/etc/ssl/certs/insula.pem": f"{folder}/cert",
            "/etc/ssl/private/insula.key": f"{folder}/key",
            "127.0.0.1:8080": f"127.0.0.1:{running.client.base_url.port}",
        }
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "site.conf").write_text(text)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"{'user root;' if os.geteuid() == 0 else ''}\n"
            f"daemon off;\npid {folder}/pid;\nworker_processes 1;\nerror_log {folder}/error.log;\n"
            f"events {{}}\nhttp {{\naccess_log {folder}/access.log;\n{paths}include {folder}/site.conf;\n}}\n"
        )
        process = subprocess.Popen([str(_NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")])
        trusting = ssl.create_default_context(cafile=str(folder / "cert"))
        try:
            with httpx.Client(base_url=f"https://localhost:{port}", verify=trusting, timeout=60) as client:
                end = time.monotonic() + 20
                while True:
                    try:
                        client.get("/")
                        break
                    except httpx.TransportError:
                        assert process.poll() is None and time.monotonic() < end, (folder / "error.log").read_text()
                        time.sleep(0.1)
                yield client, running
        finally:
            process.terminate()
            process.wait(20)


def test_a_job_through_nginx_under_a_path(proxied: Any, scan_bytes: bytes) -> None:
    client, _ = proxied
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = client.post("/insula/v1/segment", content=scan_bytes, headers=headers)
    assert answer.status_code == 202, answer.text
    assert (
        answer.headers["Location"].removeprefix(str(client.base_url).rstrip("/"))
        == f"/insula/v1/jobs/{answer.json()['id']}"
    )
    where = answer.headers["Location"]
    end = time.monotonic() + 60
    while (job := client.get(where, headers=headers).json())["state"] in ("queued", "running"):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert job["state"] == "done"
    assert client.get(f"{where}/result", headers=headers).content[:2] == b"PK"
    assert client.delete(where, headers=headers).status_code == 204


def test_the_page_and_all_that_it_loads_are_under_the_path(proxied: Any) -> None:
    client, _ = proxied
    assert client.get("/insula").headers["Location"].endswith("/insula/")
    page = client.get("/insula/")
    assert page.status_code == 200
    loaded = re.findall(r'(?:href|src)="([^"#:]+)"', page.text)
    assert "page/page.js" in loaded
    for name in loaded:
        assert not name.startswith("/")
        assert client.get(f"/insula/{name}").status_code == 200, name


def test_uploads_over_nginxs_own_limit_reach_the_service_and_too_large_ones_its_words(proxied: Any) -> None:
    client, _ = proxied
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = client.post("/insula/v1/segment", content=b"x" * 1_800_000, headers=headers)  # nginx takes 1 MB by itself
    assert answer.status_code == 415
    answer = client.post("/insula/v1/segment", content=b"x" * 2_100_000, headers=headers)
    assert answer.status_code == 413
    assert "larger than 2 MB" in answer.json()["error"]["message"]
    assert (
        int(re.findall(r"client_max_body_size (\d+)m", (_FILES / "nginx.conf").read_text())[0]) << 20
        > ServeConfig().most_mb * 10**6
    )


def test_metrics_stay_inside(proxied: Any) -> None:
    client, running = proxied
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/insula/metrics", headers=headers).status_code == 404
    assert running.client.get("/metrics").status_code == 200


def test_wrong_tokens_are_counted_by_the_callers_address(proxied: Any) -> None:
    """Whatever a caller writes into X-Forwarded-For."""
    client, _ = proxied
    statuses = [
        client.get(
            "/insula/v1/jobs", headers={"Authorization": f"Bearer wrong{n}", "X-Forwarded-For": f"192.0.2.{n}"}
        ).status_code
        for n in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]


@pytest.mark.parametrize("name", ["insula.service", "insula-dicom.service"])
def test_units(name: str, tmp_path: Path) -> None:
    if _ANALYZE is None:
        pytest.skip("systemd-analyze is not installed")
    text = (_FILES / name).read_text(encoding="utf-8")
    assert "/opt/insula/bin/insula" in text
    (tmp_path / name).write_text(text.replace("/opt/insula/bin/insula", shutil.which("true") or "/bin/true"))
    done = subprocess.run([_ANALYZE, "verify", "--man=no", tmp_path / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), "what it does not know it says, and passes over"


@pytest.mark.parametrize(("name", "kind"), [("serve.toml", ServeConfig), ("dicom.toml", ListenConfig)])
def test_settings(name: str, kind: type) -> None:
    load_knobs(kind, _FILES / name, (), what="the settings")


def test_a_store_that_was_copied_goes_on_elsewhere(start: Any, scan_bytes: bytes, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with start(tmp_path / "old") as running:
        done = running.post(scan_bytes).json()["id"]
        running.wait(done)
    with start(tmp_path / "old", 'devices=["cpu"]', wait=False) as running:
        waiting = running.post(scan_bytes).json()["id"]
    (tmp_path / "new").mkdir()
    subprocess.run(
        ["tar", "--create", "--file", tmp_path / "backup.tar", "--directory", tmp_path / "old", "store"], check=True
    )
    subprocess.run(["tar", "--extract", "--file", tmp_path / "backup.tar", "--directory", tmp_path / "new"], check=True)
    with start(tmp_path / "new") as running:
        assert running.wait(waiting)["state"] == "done"
        assert running.client.get(f"/v1/jobs/{done}/result/mask").status_code == 200
