"""The commands of a complete workflow, one after the other, and the SHA-256 of every file that they write.

    python -m studies.walkthrough --data DATA --out before.json      # and again after a change, to another file
    python -m studies.walkthrough --compare before.json after.json

A refactoring must not change any output: either two files are equal, or `--compare` names the differences. Logs and
pages of runs contain times, and are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

_TIMED = ("log.jsonl", "training.html", "index.html", ".pt", ".lock", ".dcm", ".insula-sources")
_ENSEMBLE = ("--weights", "ensemble", "--tta")
_SMALL = ("--cases", "6", "--sites", "3", "--seed", "4")
_TINY = (
    "model.widths=[8,16,32]",
    "train.steps=6",
    "train.batch=2",
    "train.crop=[32,32,32]",
    "train.compile=false",
    "train.seed=0",
)


def commands(data: Path) -> list[tuple[str, list[str]]]:
    """Named commands; all run in one folder, so later ones use the output of earlier ones."""
    patient = str(Path(__file__).parents[1] / "src" / "insula" / "patient" / "sub-M2017_T1w.nii.gz")
    sets = [word for knob in _TINY for word in ("--set", knob)]
    recipe = str(Path(__file__).parents[1] / "recipes" / "cohort.toml")
    return [
        ("the patient, default", ["segment", patient, "--out", "default"]),
        ("the patient, ensemble, mirrored", ["segment", patient, "--out", "mirrored", *_ENSEMBLE]),
        ("the patient, in tiles", ["segment", patient, "--out", "tiles", "--weights", "baseline", "--low-memory"]),
        ("DICOM", ["segment", "series", "--out", "dicom", "--weights", "enhanced"]),
        ("a demo that is simulated", ["demo", "--simulated", "--out", "demo"]),
        ("simulate", ["cohort", "simulate", "--data", str(data), *_SMALL, "--out", "cohort"]),
        ("check", ["cohort", "check", "cohort", "--out", "check"]),
        ("split", ["cohort", "split", "check/cohort.json", "--out", "split.json", "--folds", "3"]),
        ("prepare", ["cohort", "prepare", "cohort", "--out", "store"]),
        ("nnU-Net", ["cohort", "export", "cohort", "--to", "nnunet", "--out", "nnunet"]),
        ("segment them", ["segment", "cohort", "--out", "results", "--weights", "baseline"]),
        ("evaluate", ["evaluate", "cohort", "results", "--out", "evaluation"]),
        ("train", ["train", recipe, "--data", "store", "--out", "run", *sets]),
        ("train on heads", ["train", recipe, "--data", str(data), "--out", "heads", *sets]),
        ("segment with it", ["segment", patient, "--out", "trained", "--weights", "run"]),
        ("export", ["export", "baseline", "--format", "onnx", "--out", "baseline.onnx"]),
    ]  # fmt: skip


def walk(data: Path) -> dict[str, dict[str, str | int]]:
    """Exit code of every command, and the hashes of the files that it wrote or changed."""
    from io_series import write_head

    rows: dict[str, dict[str, str | int]] = {}
    with tempfile.TemporaryDirectory(prefix="walk-") as place:
        folder = Path(place)
        write_head(folder / "series")
        known: dict[str, str] = {}
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "INSULA_CACHE": str(folder / "cache")}
        for title, words in commands(data):
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "insula", *words],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
            )
            print(f"{title}: {done.returncode} {done.stderr.strip()[-200:]}", flush=True)
            row: dict[str, str | int] = {"exit code": done.returncode}
            for path in sorted(folder.rglob("*")):
                name = str(path.relative_to(folder))
                if (
                    path.is_file()
                    and not name.endswith(_TIMED)
                    and "tfevents" not in name
                    and not name.startswith("cache")
                ):
                    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                    if known.get(name) != sha256:
                        row[name] = known[name] = sha256
            rows[title] = row
    return rows


def compare(before: Path, after: Path) -> int:
    """Print every difference; 1 if there is one, 0 otherwise."""
    a, b = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    wrong = [
        f"{title}: {name}: {a.get(title, {}).get(name)} -> {b.get(title, {}).get(name)}"
        for title in {**a, **b}
        for name in {**a.get(title, {}), **b.get(title, {})}
        if a.get(title, {}).get(name) != b.get(title, {}).get(name)
    ]
    print("\n".join(wrong) or f"equal: {sum(map(len, a.values()))} hashes and codes of {len(a)} commands")
    return int(bool(wrong))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compare", type=Path, nargs=2)
    arguments = parser.parse_args()
    with contextlib.suppress(BrokenPipeError):
        if arguments.compare:
            sys.exit(compare(*arguments.compare))
        arguments.out.write_text(json.dumps(walk(arguments.data.resolve()), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
