"""Does a training store load as fast as the disk delivers its bytes?

python -m studies.store STORE [--rounds 3] [--out studies/results/store.json]

Every round loads all cases in a new order, in three ways side by side: the bytes alone, the tensors as stored (mapped,
every page touched), and the input of a training step (float32 intensities and a mask). After the first round, which is
left out, the disk's cache is warm for all three, so the comparison is of the work on top of reading.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from insula.io import write_json
from insula.store import Store
from studies.rows import table


def main() -> None:
    """Time the three ways, print a table and write the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("studies/results/store.json"))
    arguments = parser.parse_args()
    store = Store(arguments.store)
    files = {name: arguments.store / case.file for name, case in store.cases.items()}
    size = sum(path.stat().st_size for path in files.values())
    loaders: dict[str, Callable[[str], object]] = {
        "bytes": lambda name: files[name].read_bytes(),
        "stored tensors": lambda name: [int(tensor.max()) for tensor in store.stored(name)],
        "float32 and mask": lambda name: [float(tensor.flatten()[-1]) for tensor in store.load(name)],
    }
    seconds: dict[str, list[float]] = {loader: [] for loader in loaders}
    for number in range(arguments.rounds + 1):
        order = random.Random(number).sample(list(files), len(files))
        for loader, load in loaders.items():
            begun = time.perf_counter()
            for name in order:
                load(name)
            if number:
                seconds[loader].append(time.perf_counter() - begun)
    first = statistics.median(seconds["bytes"])
    ratios = {loader: round(statistics.median(some) / first, 2) for loader, some in seconds.items()}
    print(f"{len(files)} cases, {size / 1e9:.2f} GB, {size / len(files) / 1e6:.2f} MB a case\n")
    print(table(["loaded", "time"], [[loader, str(ratio)] for loader, ratio in ratios.items()]))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {"cases": len(files), "bytes": size, "seconds": seconds, "ratios": ratios})


if __name__ == "__main__":
    main()
