"""Predictions held against the truth: scored, summarised, compared, calibrated."""

from insula.evaluate.calibrate import calibrate
from insula.evaluate.compare import HOPED, Comparison, compare
from insula.evaluate.pairing import Pair, pair_up, weights_used
from insula.evaluate.presets import METRICS, PRESETS, Metric, Preset
from insula.evaluate.score import CaseScore, PredictedLesion, TrueLesion, score_masks, score_pair, try_score
from insula.evaluate.study import Studied, study
from insula.evaluate.summary import Row, coverage, curve, reliability, size_recall, summarise

__all__ = [
    "CaseScore",
    "Comparison",
    "HOPED",
    "METRICS",
    "Metric",
    "PRESETS",
    "Pair",
    "PredictedLesion",
    "Preset",
    "Row",
    "Studied",
    "TrueLesion",
    "calibrate",
    "compare",
    "coverage",
    "curve",
    "pair_up",
    "reliability",
    "score_masks",
    "score_pair",
    "size_recall",
    "study",
    "summarise",
    "try_score",
    "weights_used",
]
