"""What becomes of inputs that are known to go wrong: how many were tried and how many came out right, before and after.

    python -m studies.faults [--before REVISION] [--out studies/results/faults.json]

Every input of `fault_cases.py` goes through the command line twice: in a process that has the present sources, and in
one that has those of an earlier revision. The network is small, with random weights: the question is whether an input
is accepted or refused as it should be and what the messages say, not how good the mask is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from insula.io import write_json
from studies.fault_cases import KINDS, Case, cases

_ROOT = Path(__file__).parents[1]
_FIRST = "2ccc596"  # 0.1.0, before any of these faults was fixed
_CHILD = """
import contextlib, io, json, os, sys, torch
torch.set_num_threads(2)
from pathlib import Path
try:
    from insula import prepare as data
except ImportError:
    from insula import data
from insula.checkpoint import Card, save_weights
from insula.config import AttentionUNet, PrepareConfig
from insula.models import build_model
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
plan, weights = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
weights.mkdir()
torch.manual_seed(0)
try:
    config = AttentionUNet(widths=(4, 8), norm="instance", stem="full", brain=False)
except TypeError:
    config = AttentionUNet(widths=(4, 8), norm="instance", stem="full")
model = build_model(config)
model(torch.randn(2, 1, 16, 16, 16))
prepare = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
with torch.no_grad():
    scan = phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0))).scan
    answer = torch.sigmoid(model.eval()(data.prepare(scan, prepare).image))
threshold = round(float(answer.quantile(0.9)), 4)
save_weights(weights, model, Card(name="tiny", model=config, prepare=prepare, threshold=threshold, min_lesion_ml=2.0))
from insula.cli import main
for entry in plan:
    words = list(entry["words"])
    if words[0] == "segment":
        words += ["--out", entry["out"], "--weights", str(weights), "--device", "cpu"]
    encoding = entry["environment"].get("PYTHONIOENCODING", "utf-8")
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            sys.argv = ["insula", *words]
            code = main()
        except SystemExit as stop:
            code = stop.code
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
    output.flush()
    entry |= {"code": code, "output": output.buffer.getvalue().decode(encoding, "replace")}
    print(json.dumps({k: entry[k] for k in ("title", "code", "output")}), flush=True)
"""


def run(tree: Path, plan: list[dict[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """Run every case in one process that has the sources of a tree; output and exit code by title."""
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONWARNINGS": "ignore"}
    results = []
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder / "plan.json"), str(folder / "weights")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("{"):
                results.append(json.loads(line))
                print(f"{len(results)} of {len(plan)}: {results[-1]['title']}", file=sys.stderr, flush=True)
    return {result["title"]: result for result in results}


def right(case: Case, result: dict[str, Any], out: Path, volumes: dict[str, float]) -> str:
    """What is wrong with the outcome of a case; empty if nothing is."""
    paths = [path for path in sorted(out.glob("*.json")) if path.stem not in ("lesions", "results")]
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    done = [record for record in records if record.get("outcome") == "done"]
    text = result["output"] + json.dumps(records)
    if not isinstance(result["code"], int | None) or result["code"] == 70 or "Traceback" in result["output"]:
        return f"broke ({result['code']})"
    if case.done > 0 and len(done) != case.done:
        return f"{len(done)} of {case.done} done"
    if case.done > 0 and len(list(out.glob("*_mask.nii.gz"))) != case.done:
        return "masks are missing"
    if case.done == 0 and (done or not result["code"]):
        return "was taken"
    if case.done < 0 and result["code"]:
        return f"refused ({result['code']})"
    if case.message and not re.search(case.message, text):
        return "does not say so"
    if case.never and re.search(case.never, text):
        return "says what it must not"
    if done:
        volumes[case.title] = done[0]["volume_ml"]
    if case.like and abs(volumes[case.title] / volumes[case.like] - 1) > 0.05:
        return f"{volumes[case.title]:.1f} ml for {volumes[case.like]:.1f}"
    return _forms_kept(case, out) if case.kind == "A" else ""


def _forms_kept(case: Case, out: Path) -> str:
    import nibabel as nib
    import numpy as np

    scan = nib.load(next(out.parent.glob("in/*.nii.gz")))
    mask = nib.load(next(out.glob("*_mask.nii.gz")))
    for form in ("get_qform", "get_sform"):
        (a, code_a), (b, code_b) = getattr(scan, form)(coded=True), getattr(mask, form)(coded=True)
        if code_a != code_b or not np.allclose(a, b, atol=1e-4):
            return "forms differ"
    return ""


def table(tree: Path, folder: Path) -> dict[str, str]:
    """What is wrong with the outcome of every case in a tree, by title."""
    plan, outputs, all_cases = list[dict[str, Any]](), list[Path](), list(cases())
    for n, case in enumerate(all_cases):
        home = folder / f"{n:03d}"
        (home / "in").mkdir(parents=True)
        words = case.build(home / "in")
        outputs.append(home / "out")
        plan.append({"title": case.title, "words": words, "out": str(home / "out"), "environment": case.environment})
    results = run(tree, plan, folder)
    volumes: dict[str, float] = {}
    nothing = {"code": "the process ended", "output": ""}
    return {
        case.title: right(case, results.get(case.title, nothing), out, volumes)
        for case, out in zip(all_cases, outputs, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default=_FIRST, help="a revision to compare with; empty for none")
    parser.add_argument("--out", type=Path, default=Path("studies/results/faults.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        folder = Path(place)
        (folder / "after").mkdir()
        after = table(_ROOT, folder / "after")
        before: dict[str, str] = {}
        if arguments.before:
            tree = folder / "tree"
            subprocess.run(
                ["git", "-C", str(_ROOT), "worktree", "add", "--detach", "-q", str(tree), arguments.before], check=True
            )
            try:
                (folder / "before").mkdir()
                before = table(tree, folder / "before")
            finally:
                subprocess.run(["git", "-C", str(_ROOT), "worktree", "remove", "--force", str(tree)], check=False)
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases():
        groups[case.kind].append(case)
    print(f"{'':2} {'kind':34} {'tried':>5} {'before':>6} {'after':>5}")
    for kind, some in sorted(groups.items()):
        counts = [sum(not result[case.title] for case in some) if result else "" for result in (before, after)]
        print(f"{kind:2} {KINDS[kind]:34} {len(some):5} {counts[0]:>6} {counts[1]:5}")
    for case in cases():
        if after[case.title]:
            print(f"not right: {case.kind} {case.title}: {after[case.title]}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {"kinds": KINDS, "before": before, "after": after})


if __name__ == "__main__":
    main()
