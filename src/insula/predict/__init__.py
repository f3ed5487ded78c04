"""One scan to one result, and the result to disk."""

from insula.predict.bids import BidsPaths, BidsScan, bids_paths, find_bids_scans, write_bids_dataset, write_bids_result
from insula.predict.record import refusal, to_record
from insula.predict.remember import Remembered, Token, remember
from insula.predict.result import Result
from insula.predict.segment import segment
from insula.predict.source import open_scan
from insula.predict.write import ResultPaths, result_paths, write_refusal, write_result

__all__ = [
    "BidsPaths",
    "BidsScan",
    "Remembered",
    "Result",
    "ResultPaths",
    "Token",
    "bids_paths",
    "find_bids_scans",
    "open_scan",
    "refusal",
    "remember",
    "result_paths",
    "segment",
    "to_record",
    "write_bids_dataset",
    "write_bids_result",
    "write_refusal",
    "write_result",
]
