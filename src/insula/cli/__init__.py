"""The command line: parse arguments, call one function of a lower floor, print, and turn errors into exit codes."""

import os

# large memory pages: volumes are allocated and freed all the time, and mapping them in small pages costs 10 % of a run
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first allocation

from insula.cli.app import main

__all__ = ["main"]
