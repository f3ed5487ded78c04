"""Benchmarks of training and inference on this machine, compared with other networks and pipelines."""

from insula.bench.contenders import CONTENDERS, Contender
from insula.bench.cost import Cost, DeviceLimits, Work, cost_of, limits_of
from insula.bench.predict import PredictBench, SeenCase, Way, bench_predict, parse_way
from insula.bench.steps import StepBench, bench_steps
from insula.bench.streams import StreamBench, bench_streams

__all__ = [
    "CONTENDERS",
    "Contender",
    "Cost",
    "DeviceLimits",
    "PredictBench",
    "SeenCase",
    "StepBench",
    "StreamBench",
    "Way",
    "Work",
    "bench_predict",
    "bench_steps",
    "bench_streams",
    "cost_of",
    "limits_of",
    "parse_way",
]
