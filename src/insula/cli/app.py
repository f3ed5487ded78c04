"""The verbs, and what happens around each of them."""

from __future__ import annotations

import sys

from tyro.extras import SubcommandApp

import insula
from insula.cli import bench, cohort, dicom
from insula.cli.calibrate import calibrate
from insula.cli.demo import demo
from insula.cli.evaluate import evaluate
from insula.cli.exits import exit_code_of
from insula.cli.export import export
from insula.cli.inspect import inspect
from insula.cli.segment import segment
from insula.cli.serve import serve, token
from insula.cli.train import train

__all__ = ["main"]

_ABOUT = (
    "Stroke lesion segmentation on T1-weighted MRI: a mask, a record and a page for every scan. "
    "For research only; not a medical device."
)


def main() -> None:
    """Run the command line and exit with one of the codes of `insula.errors`."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        print(f"insula {insula.__version__}")
        return
    app = SubcommandApp()
    for verb in (segment, evaluate, demo, train, calibrate, inspect, export, serve, token):
        app.command(verb)
    app.command(bench.verbs(), name="bench", help="Time training on this machine, beside other tools' networks.")
    app.command(cohort.verbs(), name="cohort", help="Check, split, simulate or prepare a folder of labelled scans.")

    app.command(dicom.verbs(), name="dicom", help="A DICOM node: series in, segmentations and reports out.")

    def call() -> int | None:
        return app.cli(prog="insula", description=_ABOUT, args=arguments or ["--help"])

    sys.exit(exit_code_of(call, debug="--debug" in arguments))
