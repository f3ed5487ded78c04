"""A cohort prepared for training, on disk and in memory."""

from insula.store.case_set import CaseSet
from insula.store.folder import Store, StoredCase, store_case, write_index

__all__ = ["CaseSet", "Store", "StoredCase", "store_case", "write_index"]
