"""Evaluation of predictions against the ground truth: scoring, summaries, comparisons and calibration."""

from insula.evaluate.calibration import calibrate
from insula.evaluate.comparison import HOPED, Comparison, compare
from insula.evaluate.pairing import Pair, pair_up, weights_used
from insula.evaluate.pool import CaseStatistics, measure_case
from insula.evaluate.presets import METRICS, PRESETS, Metric, Preset
from insula.evaluate.score import CaseScore, PredictedLesion, TrueLesion, score_masks, score_pair, try_score
from insula.evaluate.summary import ScoreRow, coverage, curve, reliability, size_recall, summarise

__all__ = [
    "CaseScore",
    "CaseStatistics",
    "Comparison",
    "HOPED",
    "METRICS",
    "Metric",
    "PRESETS",
    "Pair",
    "PredictedLesion",
    "Preset",
    "ScoreRow",
    "TrueLesion",
    "calibrate",
    "compare",
    "coverage",
    "curve",
    "measure_case",
    "pair_up",
    "reliability",
    "score_masks",
    "score_pair",
    "size_recall",
    "summarise",
    "try_score",
    "weights_used",
]
