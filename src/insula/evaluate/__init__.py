"""Predictions held against the truth: scored, summarised, compared."""

from insula.evaluate.compare import Comparison, compare
from insula.evaluate.pairing import Pair, pair_up
from insula.evaluate.presets import METRICS, PRESETS, Metric, Preset
from insula.evaluate.score import CaseScore, score_masks, score_pair
from insula.evaluate.summary import Row, reliability, size_recall, summarise

__all__ = [
    "METRICS",
    "PRESETS",
    "CaseScore",
    "Comparison",
    "Metric",
    "Pair",
    "Preset",
    "Row",
    "compare",
    "pair_up",
    "reliability",
    "score_masks",
    "score_pair",
    "size_recall",
    "summarise",
]
