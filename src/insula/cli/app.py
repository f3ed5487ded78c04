"""The commands of `insula`, and the entry point that runs them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tyro.extras import SubcommandApp

from insula.cli import bench, cohort, dicom
from insula.cli.adapt import adapt
from insula.cli.calibrate import calibrate
from insula.cli.challenge import challenge
from insula.cli.consensus import consensus
from insula.cli.correct import correct
from insula.cli.demo import demo
from insula.cli.evaluate import evaluate
from insula.cli.exits import exit_code_of, leave
from insula.cli.export import export
from insula.cli.inspect import inspect
from insula.cli.review import review
from insula.cli.segment import segment
from insula.cli.serve import serve, token
from insula.cli.train import train
from insula.types import VERSION

__all__ = ["COMMANDS", "main"]

_ABOUT = (
    "Stroke lesion segmentation on T1-weighted MRI: a mask, a record and a page for every scan. "
    "For research only; not a medical device."
)


_VERBS: tuple[Callable[..., int], ...] = (
    segment,
    correct,
    review,
    consensus,
    adapt,
    evaluate,
    demo,
    train,
    calibrate,
    inspect,
    export,
    serve,
    token,
    challenge,
)
_GROUPS: dict[str, tuple[dict[str, Callable[..., int]], str]] = {
    "bench": (bench.COMMANDS, "Measure training and prediction on this machine, next to other tools' networks."),
    "cohort": (cohort.COMMANDS, "Check, split, simulate or prepare a folder of labelled scans."),
    "dicom": (dicom.COMMANDS, "Run a DICOM node: receive series, send segmentations and reports."),
}
COMMANDS: tuple[Callable[..., int], ...] = (
    *_VERBS,
    *(command for commands, _ in _GROUPS.values() for command in commands.values()),
)
"""The function of every command, including the commands in groups."""


def main() -> None:
    """Run the command line and exit with one of the codes of `insula.errors`."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        print(f"insula {VERSION}")
        return
    app = SubcommandApp()
    for verb in _VERBS:
        app.command(verb)
    for group, (commands, about) in _GROUPS.items():
        subcommands = SubcommandApp()
        for name, command in commands.items():
            subcommands.command(name=name)(command)
        app.command(subcommands, name=group, help=about)

    def call() -> int | None:
        return app.cli(prog="insula", description=_ABOUT, args=arguments or ["--help"])

    leave(exit_code_of(call, debug="--debug" in arguments))
