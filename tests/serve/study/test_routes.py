"""A served study over real sockets: what a browser and an editor read, what raters write, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import nibabel
import numpy as np
import pytest

from insula.io import OutputFolder, read_mask
from insula.report import Review
from insula.study import read_reviews
from serve.study.conftest import CASES, edited, packed

CASE = CASES[0]
KEYS = ("case", "rater", "verdict", "note", "reviewed", "mask_sha256")


def _record(running: Any, case: str = CASE) -> dict[str, Any]:
    return json.loads((running.results / f"{case}.json").read_text(encoding="utf-8"))


def _verdict(running: Any, rater: str, verdict: str, *, case: str = CASE, minute: int = 0, note: str = "") -> dict:
    mask = _record(running, case)["sha256"]["mask"]
    return dict(zip(KEYS, (case, rater, verdict, note, f"2026-05-31T14:{minute:02}:00Z", mask), strict=True))


def _message(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]["message"]
    assert len(message.splitlines()) == 1
    return message


def _reviews(running: Any) -> dict[tuple[str, str], Review]:
    return {(review.case, review.rater): review for review in read_reviews(running.results / "review.tsv")}


@pytest.mark.parametrize("case", CASES)
def test_an_editor_finds_scan_mask_and_probabilities_of_a_case(case: str, served: Any, tmp_path: Path) -> None:
    described = served.client.get(f"/study/cases/{quote(case)}.json").json()
    assert (described["case"], described["threshold"]) == (case, _record(served, case)["threshold"])
    images = {}
    for kind in ("scan", "mask", "prob"):
        answer = served.client.get(f"/{described[kind]}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/gzip"), kind
        (tmp_path / f"{kind}.nii.gz").write_bytes(answer.content)
        images[kind] = nibabel.load(tmp_path / f"{kind}.nii.gz")
    assert served.client.get(f"/{described['record']}").json() == _record(served, case)
    assert served.client.get(f"/{described['page']}").headers["content-type"].startswith("text/html")
    original = nibabel.load(served.results.parent / "scans" / f"{case}.nii.gz")
    assert all(image.shape == original.shape for image in images.values())
    assert all(np.allclose(image.affine, original.affine) for image in images.values())
    shades = np.asarray(images["scan"].dataobj, float).ravel()
    assert np.corrcoef(shades, np.asarray(original.dataobj, float).ravel())[0, 1] > 0.99
    assert described["save"] == f"study/cases/{quote(case)}/mask"


def test_the_board_is_live_and_only_its_own_script_may_run(served: Any) -> None:
    answer = served.client.get("/study/")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'sha256-" in policy and "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert "data-served" in answer.text and f"../?case={quote(CASES[1])}" in answer.text
    assert f'href="files/{CASE}.html"' in answer.text
    page = served.client.get(f"/study/files/{CASE}.html")
    assert "script-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/study/", "/study/live", f"/study/files/{CASE}.html", f"/study/cases/{CASE}.json"])
def test_head_is_answered_as_get(path: str, served: Any) -> None:
    get, head = served.client.get(path), served.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))


@pytest.mark.parametrize(
    "path",
    [
        "/study/files/../scans/sub-a_T1w.nii.gz",
        "/study/files/..%2Fscans%2Fsub-a_T1w.nii.gz",
        "/study/files/%2e%2e%2fscans",
        "/study/files/.insula-sources",
        "/study/files/.insula.lock",
        "/study/files/%2Fetc%2Fpasswd",
        "/study/files/index.html",
        "/study/files/secret.txt",
        "/study/files/link_mask.nii.gz",
        "/study/files/nothing",
        "/study/cases/nobody.json",
        "/study/cases/..%2F..%2Fetc.json",
        "/study/cases/nobody/scan.nii.gz",
    ],
)
def test_nothing_but_the_files_of_cases_is_given_out(path: str, served: Any) -> None:
    (served.results / "secret.txt").write_text("secret")
    assert served.client.get(path).status_code == 404


def test_a_file_that_is_a_link_out_is_not_given_out(served: Any, tmp_path: Path) -> None:
    page = served.results / f"{CASES[1]}.html"
    content = page.read_bytes()
    (tmp_path / "outside").write_text("outside")
    page.unlink()
    page.symlink_to(tmp_path / "outside")
    try:
        assert "does not belong" in _message(served.client.get(f"/study/files/{quote(page.name)}"), 404)
    finally:
        page.unlink()
        page.write_bytes(content)


def test_without_a_token_nothing_is_read_and_a_cookie_only_reads(served: Any) -> None:
    verdicts, mask = [_verdict(served, "eve", "fail")], edited(served.results / f"{CASE}_mask.nii.gz")
    with httpx.Client(base_url=served.client.base_url) as browser:
        for path in ("/study/live", f"/study/files/{CASE}.html", f"/study/cases/{CASE}/scan.nii.gz"):
            assert browser.get(path).status_code == 401
        for path, where in (("/study/", "enter"), (f"/study/files/{CASE}.html", "../enter")):
            answer = browser.get(path, headers={"Accept": "text/html"})
            assert (answer.status_code, answer.headers["location"]) == (303, where)
        assert browser.get("/study/enter").status_code == 200
        assert browser.post("/study/session").status_code == 401
        answer = browser.post("/study/session", headers={"Authorization": served.client.headers["authorization"]})
        cookie = answer.headers["set-cookie"].lower()
        assert answer.status_code == 204 and "httponly" in cookie and "samesite=strict" in cookie
        assert "path" not in cookie
        for path in ("/study/", "/study/live", f"/study/files/{CASE}_mask.nii.gz"):
            assert browser.get(path).status_code == 200
        assert browser.get("/v1/jobs").status_code == 401
        assert browser.post("/study/verdicts", json=verdicts).status_code == 401
        assert browser.put(f"/study/cases/{CASE}/mask", content=mask).status_code == 401
        name, value = next(iter(browser.cookies.items()))
        browser.cookies.clear()
        browser.cookies.set(name, value.replace("local", "other"))
        assert browser.get("/study/live").status_code == 401


def test_two_raters_at_once_lose_nothing(served: Any) -> None:
    def rate(rater: str) -> None:
        for minute in range(8):
            verdict = _verdict(served, rater, "fix", case=CASES[minute % 2], minute=minute, note=f"{rater} {minute}")
            answers.append(served.client.post("/study/verdicts", json=[verdict]).status_code)

    answers: list[int] = []
    raters = ("anna", "ben", "cem", "dora")
    threads = [threading.Thread(target=rate, args=(rater,)) for rater in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 32
    table = _reviews(served)
    for rater in raters:
        assert [table[case, rater].note for case in CASES] == [f"{rater} 6", f"{rater} 7"]
    live = served.client.get("/study/live")
    assert {(row["case"], row["rater"]) for row in live.json()["reviews"]} == set(table)
    unchanged = served.client.get("/study/live", headers={"If-None-Match": live.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert "dora" in served.client.get("/study/").text


def test_an_older_verdict_changes_nothing_and_an_empty_one_withdraws(served: Any) -> None:
    for verdict, minute in (("pass", 5), ("fail", 4)):
        served.client.post("/study/verdicts", json=[_verdict(served, "fay", verdict, minute=minute)])
        assert _reviews(served)[CASE, "fay"].verdict == "pass"
    later = {**_verdict(served, "fay", "fix"), "reviewed": "2999-01-01T00:00:00Z"}
    served.client.post("/study/verdicts", json=[later])
    assert _reviews(served)[CASE, "fay"].reviewed < "2900"
    served.client.post("/study/verdicts", json=[{**later, "verdict": ""}])
    assert (CASE, "fay") not in _reviews(served)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "good"}, "is not a verdict"),
        ({"case": "nobody"}, "is on a case that this folder does not have"),
        ({"rater": " "}, "names no rater"),
        ({"reviewed": "yesterday"}, "is not a date"),
        ({"mask_sha256": "../../etc"}, "is not a SHA-256"),
        ({"note": "long" * 300}, "longer than 1000"),
        ({"note": 5}, "objects of texts"),
        ({"more": "x"}, "objects of texts"),
    ],
)
def test_a_malformed_verdict_is_refused_and_the_table_stays(change: dict[str, Any], words: str, served: Any) -> None:
    served.client.post("/study/verdicts", json=[_verdict(served, "gil", "pass")])
    before = (served.results / "review.tsv").read_bytes()
    good, bad = _verdict(served, "gil", "fail", minute=9), {**_verdict(served, "gil", "fix", minute=9), **change}
    assert words in _message(served.client.post("/study/verdicts", json=[good, bad]), 422)
    assert (served.results / "review.tsv").read_bytes() == before


@pytest.mark.parametrize(("body", "status"), [(b"", 422), (b"{}", 422), (b"[" * 100_000, 422), (bytes(1 << 21), 413)])
def test_a_body_that_is_no_list_of_verdicts_is_refused(body: bytes, status: int, served: Any) -> None:
    _message(served.client.post("/study/verdicts", content=body), status)


def test_a_note_is_one_cell_of_the_table(served: Any) -> None:
    served.client.post("/study/verdicts", json=[_verdict(served, "hu", "fix", note='a\tb\n"c"\r\nd')])
    assert _reviews(served)[CASE, "hu"].note == "a b 'c' d"


def test_a_malformed_table_in_the_folder_is_never_replaced(served: Any) -> None:
    table = served.results / "review.tsv"
    good = table.read_bytes() if table.exists() else b""
    table.write_text("case\trater\nx\ty\n")
    try:
        assert "review.tsv" in _message(served.client.post("/study/verdicts", json=[_verdict(served, "i", "fix")]), 409)
        assert table.read_text() == "case\trater\nx\ty\n"
        assert "No verdicts are shown" in served.client.get("/study/").text
    finally:
        table.write_bytes(good) if good else table.unlink()


@pytest.mark.long
def test_a_locked_folder_refuses_with_one_line_and_is_open_again(served: Any) -> None:
    mask = edited(served.results / f"{CASE}_mask.nii.gz")
    with OutputFolder(served.results, patience_s=5):
        answer = served.client.post("/study/verdicts", json=[_verdict(served, "jo", "pass")])
        assert "being written by another run" in _message(answer, 409) and answer.headers["retry-after"]
        assert "being written" in _message(served.client.put(f"/study/cases/{CASE}/mask", content=mask), 409)
        assert served.client.get("/study/").status_code == 200
    assert served.client.post("/study/verdicts", json=[_verdict(served, "jo", "pass")]).status_code == 200


def test_a_wrong_mask_is_refused_and_nothing_changes(served: Any) -> None:
    path = served.results / f"{CASE}_mask.nii.gz"
    image, before = nibabel.load(path), {file.name: file.read_bytes() for file in served.results.glob("sub-*")}
    voxels = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    moved = image.affine.copy()
    moved[0, 3] += 5
    save = f"/study/cases/{CASE}/mask"
    assert "grid" in _message(served.client.put(save, content=packed(voxels, moved)), 422)
    assert _message(served.client.put(save, content=packed(voxels[1:], image.affine)), 422)
    many = packed((np.arange(voxels.size).reshape(voxels.shape) % 3).astype(np.uint8), image.affine)
    assert "label" in _message(served.client.put(save, content=many), 422)
    assert _message(served.client.put(save, content=path.read_bytes()[:-40]), 422)
    assert _message(served.client.put(save, content=b"hello"), 415)
    assert _message(served.client.put(save, content=b""), 400)
    assert _message(served.client.put(save, content=bytes(2_000_001)), 413)
    assert _message(served.client.put("/study/cases/nobody/mask", content=path.read_bytes()), 404)
    changed = served.client.put(save, content=edited(path), headers={"If-Match": f'"{"0" * 64}"'})
    assert "was changed since it was loaded" in _message(changed, 412)
    assert {file.name: file.read_bytes() for file in served.results.glob("sub-*")} == before
    assert list((served.store / "incoming").iterdir()) == []


def test_a_corrected_mask_becomes_the_cases_and_what_it_replaces_is_kept(served: Any, tmp_path: Path) -> None:
    path, save = served.results / f"{CASE}_mask.nii.gz", f"/study/cases/{CASE}/mask"
    before, network = _record(served), read_mask(path).voxels
    first, second = edited(path), edited(path, shift=8)
    (tmp_path / "first.nii").write_bytes(first)
    match = {"If-Match": f'"{before["sha256"]["mask"]}"'}
    answer = served.client.put(save, content=first, headers=match)
    assert answer.status_code == 200 and answer.json() == _record(served)
    assert answer.json()["correction"]["network_volume_ml"] == before["volume_ml"]
    assert (read_mask(path).voxels == read_mask(tmp_path / "first.nii").voxels).all()
    assert (read_mask(served.results / f"{CASE}_network_mask.nii.gz").voxels == network).all()
    corrected = path.read_bytes()
    for headers in ({}, match):  # with `match` too: the sender of a mask whose answer was lost sends it again
        again = served.client.put(save, content=first, headers=headers)
        assert (again.status_code, again.json()) == (200, answer.json()) and path.read_bytes() == corrected
    assert served.client.put(save, content=second, headers=match).status_code == 412
    assert served.client.put(save, content=second).status_code == 200
    (aside,) = served.results.glob("*_corrected-*_mask.nii.gz")
    assert aside.read_bytes() == corrected
    live = served.client.get("/study/live").json()
    assert live["masks"][CASE] == _record(served)["sha256"]["mask"] != before["sha256"]["mask"]
    assert "corrected by hand" in served.client.get(f"/study/files/{CASE}.html").text


def test_the_audit_says_who_saved_and_read_what_and_names_no_case(served: Any) -> None:
    path = served.results / f"{CASES[1]}_mask.nii.gz"
    served.client.put(f"/study/cases/{quote(CASES[1])}/mask", content=edited(path, shift=16))
    served.client.get(f"/study/files/{quote(path.name)}")
    served.client.post("/study/verdicts", json=[_verdict(served, "kim", "pass")])
    text = served.audit.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    put = [line for line in lines if line["event"] == "PUT /study/cases/{name}/mask" and line["outcome"] == "200"][-1]
    assert (put["who"], put["scan"]) == ("local", _record(served, CASES[1])["scan"]["sha256"][:16])
    assert any(line["event"] == "GET /study/files/{name}" and line.get("part") == "mask" for line in lines)
    assert any(line["event"] == "POST /study/verdicts" and line["outcome"] == "200" for line in lines)
    assert not any(line["event"].endswith("live") and line["outcome"] == "200" for line in lines)
    assert "sub-" not in text and "kim" not in text


@pytest.fixture
def behind_a_prefix(served: Any) -> Iterator[str]:
    """The address of a proxy that shows the service below /insula/, as nginx does."""

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            kept = {name: self.headers[name] for name in ("Accept", "Authorization", "Cookie") if self.headers[name]}
            path = self.path.removeprefix("/insula")
            with httpx.Client(base_url=served.client.base_url) as client:
                answer = client.request(self.command, path, headers=kept, content=body)
            self.send_response(answer.status_code)
            for name in ("Location", "Set-Cookie", "Content-Type"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}/insula"
    proxy.shutdown()
    proxy.server_close()


def test_a_browser_gets_in_below_a_prefix_too(served: Any, behind_a_prefix: str) -> None:
    token = {"Authorization": served.client.headers["authorization"]}
    with httpx.Client(headers={"Accept": "text/html"}, follow_redirects=True) as browser:
        for place in ("/study/", f"/study/files/{CASE}.html"):
            answer = browser.get(behind_a_prefix + place)
            assert (answer.status_code, str(answer.url)) == (200, f"{behind_a_prefix}/study/enter")
        assert browser.post(f"{behind_a_prefix}/study/session", headers=token).status_code == 204
        for place in ("/study/", f"/study/files/{CASE}.html", "/study/live"):
            answer = browser.get(behind_a_prefix + place)
            assert (answer.status_code, str(answer.url)) == (200, behind_a_prefix + place)
        assert {cookie.path for cookie in browser.cookies.jar} == {"/insula/study"}
