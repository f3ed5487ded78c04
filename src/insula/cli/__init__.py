"""The command line: it parses, calls one function of a lower floor, prints, and turns errors into exit codes."""

from insula.cli.app import main

__all__ = ["main"]
