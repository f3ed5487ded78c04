"""Where the time of one whole brain goes: by operator and resolution, in PyTorch and in OpenVINO, on the processor.

python -m studies.operators [--weights enhanced] [--repeats 5]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from math import prod
from typing import Any

import torch

from insula.checkpoint import load_weights
from insula.infer import choose_precision, on_processor, onnx_graph, openvino, precision_name, ready_network
from insula.models import UNet
from studies.rows import table

_ROWS = 14


def main() -> None:
    """Profile both engines and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="enhanced")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    loaded = load_weights(arguments.weights)
    precision = choose_precision(torch.device("cpu"), "auto")
    print(f"{arguments.weights}, {torch.get_num_threads()} threads, {precision_name(precision)}\n")
    image = torch.randn(1, 1, *loaded.card.prepare.box)
    print(_shares("PyTorch", _in_torch(loaded.model, image, precision, arguments.repeats)))
    print(_shares("OpenVINO", _in_openvino(loaded.model, image, precision, arguments.repeats)))


def _shares(engine: str, times: Mapping[str, float]) -> str:
    total = sum(times.values())
    most = sorted(times.items(), key=lambda item: -item[1])[:_ROWS]
    rest = total - sum(time for _, time in most)
    rows = [[name, f"{100 * time / total:.0f} %"] for name, time in [*most, ("all others", rest)]]
    return table([engine, "share of the time"], rows) + "\n"


def _in_torch(model: UNet, image: torch.Tensor, precision: torch.dtype, repeats: int) -> dict[str, float]:
    ready = ready_network(model, torch.device("cpu"))
    x, half = image.contiguous(memory_format=torch.channels_last_3d), precision == torch.bfloat16
    times: dict[str, float] = defaultdict(float)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        ready(x)
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True, acc_events=True
        ) as seen:
            for _ in range(repeats):
                ready(x)
    for event in seen.key_averages(group_by_input_shape=True):
        times[f"{event.key} {_place(event.input_shapes, image)}".strip()] += event.self_cpu_time_total
    return times


def _place(shapes: list[Any], image: torch.Tensor) -> str:
    """Resolution of the largest input, as a fraction of the image's along an axis, and its channels."""
    volumes = [shape for shape in shapes if len(shape) == 5 and shape[0] == 1]
    if not volumes:
        return ""
    largest = max(volumes, key=prod)
    part = round(image.shape[2] / largest[2]) if largest[2] > 1 else 0
    return f"at 1/{part}, {largest[1]} channels" if part > 1 else "at full resolution" if part == 1 else "on means"


def _in_openvino(model: UNet, image: torch.Tensor, precision: torch.dtype, repeats: int) -> dict[str, float]:
    i, j, k = image.shape[2:]
    graph = openvino().Core().read_model(onnx_graph(model, (i, j, k)))
    compiled = on_processor(graph, precision, PERF_COUNT=True)
    request = compiled.create_infer_request()
    places = {
        node.get_friendly_name(): list(node.output(0).shape)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_output_size() and node.output(0).partial_shape.is_static
    }
    times: dict[str, float] = defaultdict(float)
    request.infer({0: image.numpy()})
    for _ in range(repeats):
        request.infer({0: image.numpy()})
        for node in request.profiling_info:
            place = _place([places.get(node.node_name, [])], image)
            times[f"{node.node_type} ({node.exec_type}) {place}".strip()] += node.real_time.total_seconds()
    return times


if __name__ == "__main__":
    main()
