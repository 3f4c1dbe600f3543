"""The program ``holdfast``. This module imports neither torch nor anything slow, so that --help is quick."""

from __future__ import annotations

import io
import os
import sys
import warnings
from importlib import import_module
from typing import TextIO

from holdfast import __version__
from holdfast.cli.interrupt import Ended, ended_by_sigterm, that_goes_on
from holdfast.errors import HoldfastError, HoldfastWarning, unknown_name

COMMANDS = {
    "demo": "train, attack and report on the embedded digits, in minutes",
    "data": "prepare, list or describe data sets",
    "recipes": "list the training recipes, or show one",
    "train": "train a recipe, with any setting overridden",
    "sweep": "train and evaluate many recipes: a table of the paper, several seeds",
    "audit": "can the explanations of any model be trusted? attack, noise, guarantee, on one page",
    "evaluate": "attack a trained run or any model of yours, and show what held",
    "report": "compare evaluated runs or exported results in one table and on one page",
    "leaderboard": "one sortable page of every stored result",
    "reproduce": "make the paper's tables, figures and theorems again, with a verdict a claim",
    "completion": "print a completion script for bash",
}

HELP = f"""usage: holdfast COMMAND [...]

Train, attack and measure the robustness of feature attributions.

commands:
{chr(10).join(f"  {name:11s} {text}" for name, text in COMMANDS.items())}

holdfast COMMAND --help shows the options of one; holdfast --version the version.
"""


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns 0, 2 after bad input (one line on stderr), 130 or 143 when interrupted or ended."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if args[0] in ("-V", "--version"):
        print(f"holdfast {__version__}")
        return 0
    warnings.showwarning = _show_warning
    _never_fail_to_print()
    try:
        if args[0] not in COMMANDS:
            raise unknown_name("command", args[0], COMMANDS)
        with ended_by_sigterm():
            return import_module(f"holdfast.cli.{args[0]}").run(args[1:]) or 0
    except HoldfastError as error:
        print(f"holdfast: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"holdfast: interrupted; what was finished is kept. {that_goes_on(args)}", file=sys.stderr)
        return 143 if isinstance(error, Ended) else 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _never_fail_to_print() -> None:
    """A console without Unicode shows ``?`` for what it lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, HoldfastWarning):
        print(f"holdfast: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
