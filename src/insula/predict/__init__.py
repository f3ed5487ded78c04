"""From a scan to a result, and from a result to files."""

from insula.predict.bids import (
    BidsPaths,
    BidsScan,
    BidsScans,
    bids_case_paths,
    bids_entities,
    bids_paths,
    find_bids_scans,
    look_through,
)
from insula.predict.bids_files import (
    ExpectedScan,
    described_dataset,
    expected_scan,
    segmented_bids_scan,
    write_bids_dataset,
    write_bids_result,
)
from insula.predict.correction import corrected_result
from insula.predict.recall import Remembered, Token, remember
from insula.predict.record import CaseRecord, RefusalRecord, ResultRecord, refusal, to_record
from insula.predict.result import Correction, Provenance, Result
from insula.predict.review import ReviewScore, review_score
from insula.predict.segmentation import segment
from insula.predict.source import open_scan
from insula.predict.standing import (
    Kept,
    inputs_sha256,
    kept_result,
    read_record,
    set_corrected_aside,
)
from insula.predict.write import ResultPaths, result_paths, write_refusal, write_result

__all__ = [
    "BidsPaths",
    "BidsScan",
    "BidsScans",
    "CaseRecord",
    "Correction",
    "ExpectedScan",
    "Kept",
    "Provenance",
    "RefusalRecord",
    "Remembered",
    "Result",
    "ResultPaths",
    "ResultRecord",
    "ReviewScore",
    "Token",
    "bids_case_paths",
    "bids_entities",
    "bids_paths",
    "corrected_result",
    "described_dataset",
    "expected_scan",
    "find_bids_scans",
    "inputs_sha256",
    "kept_result",
    "look_through",
    "open_scan",
    "read_record",
    "refusal",
    "remember",
    "result_paths",
    "review_score",
    "segment",
    "segmented_bids_scan",
    "set_corrected_aside",
    "to_record",
    "write_bids_dataset",
    "write_bids_result",
    "write_refusal",
    "write_result",
]
