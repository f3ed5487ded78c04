"""One scan to one result, and the result to disk."""

from insula.predict.record import refusal, to_record
from insula.predict.result import Result
from insula.predict.segment import segment
from insula.predict.write import ResultPaths, result_paths, write_refusal, write_result

__all__ = ["Result", "ResultPaths", "refusal", "result_paths", "segment", "to_record", "write_refusal", "write_result"]
