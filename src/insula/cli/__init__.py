"""The command line: it parses, calls one function of a lower floor, prints, and turns errors into exit codes."""

import os

# whole volumes come and go, and mapping their memory page by page costs a tenth of a run: ask for large pages
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it at its first allocation

from insula.cli.app import main

__all__ = ["main"]
