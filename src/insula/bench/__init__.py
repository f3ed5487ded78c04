"""Benchmarks of training and inference on this machine, compared with other networks and pipelines."""

from insula.bench.contenders import CONTENDERS, Contender
from insula.bench.cost import Cost, DeviceLimits, Work, cost_of, limits_of
from insula.bench.predict import Agreement, Combination, PredictBench, bench_predict, parse_combination
from insula.bench.steps import StepBench, bench_steps
from insula.bench.streams import StreamBench, bench_streams

__all__ = [
    "Agreement",
    "CONTENDERS",
    "Combination",
    "Contender",
    "Cost",
    "DeviceLimits",
    "PredictBench",
    "StepBench",
    "StreamBench",
    "Work",
    "bench_predict",
    "bench_steps",
    "bench_streams",
    "cost_of",
    "limits_of",
    "parse_combination",
]
