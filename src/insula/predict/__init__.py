"""From a scan to a result, and from a result to files."""

from insula.predict.bids import (
    BidsFound,
    BidsPaths,
    BidsScan,
    bids_paths,
    find_bids_scans,
    look_through,
    write_bids_dataset,
    write_bids_result,
)
from insula.predict.recall import Remembered, Token, remember
from insula.predict.record import refusal, to_record
from insula.predict.result import Result
from insula.predict.segmentation import segment
from insula.predict.source import open_scan
from insula.predict.write import ResultPaths, result_paths, write_refusal, write_result

__all__ = [
    "BidsFound",
    "BidsPaths",
    "BidsScan",
    "Remembered",
    "Result",
    "ResultPaths",
    "Token",
    "bids_paths",
    "find_bids_scans",
    "look_through",
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
