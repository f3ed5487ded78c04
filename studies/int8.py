"""What static int8 gains on a processor: speed, sensitivity of each convolution, and agreement of the masks.

python -m studies.int8 CALIBRATION TEST [--weights enhanced] [--keep 3]

Both arguments are labelled cohorts (`insula cohort simulate`): the ranges come from every second case of the first, the
figures from the second. NNCF quantises the convolutions for OpenVINO; the most sensitive ones, the stem and the gates
stay in bfloat16. ONNX Runtime quantises the same convolutions of the same graph (QDQ).
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from insula.checkpoint import Weights, load_weights
from insula.cohort import Entry, find_cohort
from insula.infer import on_processor, onnx_graph, openvino
from insula.io import read_mask, read_scan
from insula.metrics import dice_score, match_lesions, size_bin
from insula.models import probabilities
from insula.postprocess import decide
from insula.prepare import prepare
from studies.rows import table

_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_NEAR = 4.0  # logits in this range may cross a threshold
_REPEATS = 7
_SMALL = ("<10", "10-100")


@dataclass(frozen=True)
class _Graph:
    """The network as OpenVINO reads it, GELU in one piece, and its convolutions by name."""

    onnx: bytes
    model: Any
    convolutions: tuple[str, ...]
    gates: tuple[str, ...]
    """Convolutions with a kernel other than 3x3x3: the stem, and the gates of the skip connections."""


def main() -> None:
    """Quantise, time and judge the network; print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--weights", default="enhanced")
    parser.add_argument("--keep", type=int, default=3, help="convolutions left in bfloat16, beside stem and gates")
    arguments = parser.parse_args()
    loaded = load_weights(arguments.weights)
    graph = _graph(loaded)
    ranges = [_image(entry, loaded) for entry in find_cohort(arguments.calibration).entries[::2]]
    error = _sensitivity(graph, ranges)
    others = [name for name in graph.convolutions if name not in graph.gates]
    worst = sorted(others, key=lambda name: -error[name])[: arguments.keep]
    print(
        table(
            ["convolution quantised alone", "mean squared error of logits near 0"],
            [[name, f"{error[name]:.3f}"] for name in sorted(error, key=lambda name: -error[name])],
        ),
        "\n",
        flush=True,
    )
    runs: dict[str, _Run] = {
        "OpenVINO float32": _compiled(graph.model, torch.float32),
        "OpenVINO bfloat16": _compiled(graph.model, torch.bfloat16),
        "OpenVINO int8, all convolutions": _compiled(_quantised(graph, ranges, keep=()), torch.bfloat16),
        f"OpenVINO int8, stem, gates and {len(worst)} convolutions in bfloat16": _compiled(
            _quantised(graph, ranges, keep=(*graph.gates, *worst)), torch.bfloat16
        ),
        "ONNX Runtime float32": _ort(graph.onnx),
        "ONNX Runtime int8, all convolutions": _ort(_qdq(graph.onnx, ranges[:4])),
    }
    paces = _paces(runs, ranges[0])
    judged = _judge(runs, find_cohort(arguments.test).entries, loaded)
    head = [
        "",
        "time, x float32",
        "Dice",
        "change",
        "mask Dice with float32, mean",
        "worst (case)",
        "touched: <100 voxels",
        "touched: 100-1k",
        "false lesions",
    ]
    print(table(head, [[name, f"{paces[name]:.2f}", *judged[name]] for name in runs]))


def _graph(loaded: Weights) -> _Graph:
    onnx = onnx_graph(loaded.model, loaded.card.prepare.box)
    model = openvino().Core().read_model(onnx)
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(model, False)
    convolutions = [op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    gates = [op for op in convolutions if list(op.input(1).get_shape())[2:] != [3, 3, 3]]
    names = [op.get_friendly_name() for op in convolutions]
    return _Graph(onnx, model, tuple(names), tuple(op.get_friendly_name() for op in gates))


def _image(entry: Entry, loaded: Weights) -> NDArray[np.float32]:
    return prepare(read_scan(entry.image), loaded.card.prepare).image.numpy()


def _quantised(graph: _Graph, ranges: Iterable[NDArray[np.float32]], *, keep: Iterable[str]) -> Any:
    import nncf

    nncf.set_log_level(logging.ERROR)
    images = list(ranges)
    options = nncf.AdvancedQuantizationParameters(disable_bias_correction=True, overflow_fix=nncf.OverflowFix.DISABLE)
    others = ["Multiply", "MatMul", "ReduceMean", "Interpolate", "Add", "Sigmoid", "Relu", "ConvolutionBackpropData"]
    return nncf.quantize(
        graph.model,
        nncf.Dataset(images),
        subset_size=len(images),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(types=others, names=list(dict.fromkeys(keep))),
        advanced_parameters=options,
    )


def _sensitivity(graph: _Graph, ranges: list[NDArray[np.float32]]) -> dict[str, float]:
    """Error of the logits when one convolution alone is quantised, by its name; mean of two scans."""
    seen = ranges[:: max(1, len(ranges) // 2)][:2]
    exact = [_compiled(graph.model, torch.float32)(image) for image in seen]
    error = {}
    for name in graph.convolutions:
        run = _compiled(_quantised(graph, ranges[:4], keep=set(graph.convolutions) - {name}), torch.float32)
        error[name] = statistics.mean(_near(run(image), there) for image, there in zip(seen, exact, strict=True))
    return error


def _near(logits: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    near = np.abs(exact) < _NEAR
    return float(np.square(logits[near] - exact[near]).mean()) if near.any() else 0.0


def _compiled(model: Any, precision: torch.dtype) -> _Run:
    compiled = on_processor(model, precision)
    return lambda image: compiled(image)[0]


def _ort(graph: bytes) -> _Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


class _Calibration:
    """Images for ONNX Runtime's calibration: a `CalibrationDataReader` by its one method, without the untyped class."""

    def __init__(self, images: Iterable[NDArray[np.float32]]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        image = next(self._left, None)
        return None if image is None else {"image": image}


def _qdq(graph: bytes, ranges: Iterable[NDArray[np.float32]]) -> bytes:
    from onnxruntime.quantization import QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        given, ready, quantised = (Path(folder) / name for name in ("given.onnx", "ready.onnx", "quantised.onnx"))
        given.write_bytes(graph)
        quant_pre_process(given, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            quantised,
            _Calibration(ranges),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
        )
        return quantised.read_bytes()


def _paces(runs: Mapping[str, _Run], image: NDArray[np.float32]) -> dict[str, float]:
    """Median time of every engine, as a multiple of the first."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(_REPEATS + 1):
        for name, run in runs.items():
            begun = time.perf_counter()
            run(image)
            if turn:
                times[name].append(time.perf_counter() - begun)
    first = statistics.median(next(iter(times.values())))
    return {name: statistics.median(some) / first for name, some in times.items()}


def _judge(runs: Mapping[str, _Run], entries: Iterable[Entry], loaded: Weights) -> dict[str, list[str]]:
    """Table cells of every engine: Dice of cases with a lesion, agreement with the first engine, lesions."""
    card = loaded.card
    dice: dict[str, list[float]] = {name: [] for name in runs}
    same: dict[str, dict[str, float]] = {name: {} for name in runs}
    small, middle, false = ({name: [0, 0] for name in runs} for _ in range(3))
    for entry in entries:
        scan, truth = read_scan(entry.image), read_mask(entry.mask).voxels
        prepared = prepare(scan, card.prepare)
        exact: NDArray[np.bool_] | None = None
        for name, run in runs.items():
            logits = torch.from_numpy(run(prepared.image.numpy()))
            prob = prepared.bring_home(probabilities(logits, scaling=card.calibration.scaling)[0, 0].numpy())
            mask = decide(prob, scan.grid, threshold=card.threshold, min_lesion_ml=card.min_lesion_ml).voxels
            exact = mask if exact is None else exact
            same[name][entry.case] = dice_score(exact, mask)
            if truth.any():
                dice[name].append(dice_score(truth, mask))
            match = match_lesions(truth, mask)
            false[name][0] += int((~match.predicted_touched).sum())
            for size, hit in zip(match.truth_sizes.tolist(), match.truth_touched.tolist(), strict=True):
                place = size_bin(size)
                kind = small if place in _SMALL else middle if place == "100-1k" else None
                if kind is not None:
                    kind[name] = [kind[name][0] + hit, kind[name][1] + 1]
    first = next(iter(runs))
    cells = {}
    for name in runs:
        worst = min(same[name], key=same[name].__getitem__)
        change = statistics.mean(dice[name]) - statistics.mean(dice[first])
        cells[name] = [
            f"{statistics.mean(dice[name]):.4f}",
            f"{change:+.4f}",
            f"{statistics.mean(same[name].values()):.4f}",
            f"{same[name][worst]:.4f} ({worst})",
            f"{small[name][0]}/{small[name][1]}",
            f"{middle[name][0]}/{middle[name][1]}",
            str(false[name][0]),
        ]
    return cells


if __name__ == "__main__":
    main()
