"""``holdfast completion bash``."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from importlib import import_module

from holdfast.cli import COMMANDS
from holdfast.cli.parse import take_name
from holdfast.errors import HoldfastError, unknown_name

USAGE = "usage: holdfast completion bash\n\nPrint a script that completes commands, their options, and files."
SCRIPT = """\
_holdfast() {{
  local word=${{COMP_WORDS[COMP_CWORD]}}
  if [[ $COMP_CWORD -eq 1 ]]; then COMPREPLY=($(compgen -W "{commands}" -- "$word")); return; fi
  case ${{COMP_WORDS[1]}} in
{cases}
  esac
}}
complete -o bashdefault -o default -F _holdfast holdfast
"""


def run(argv: Sequence[str]) -> None:
    if argv and argv[0] in ("-h", "--help"):
        print(USAGE)
        return
    shell, rest = take_name(argv, "the shell", "completion", "bash")
    if shell != "bash" or rest:
        raise unknown_name("shell", " ".join(argv), ["bash"])
    cases = "\n".join(
        f'    {name}) [[ $word == -* ]] && COMPREPLY=($(compgen -W "{" ".join(options_of(name))}" -- "$word"));;'
        for name in COMMANDS
    )
    print(SCRIPT.format(commands=" ".join(COMMANDS), cases=cases), end="")


def options_of(command: str) -> list[str]:
    """The long options that a command's help names."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit, HoldfastError):
        import_module(f"holdfast.cli.{command}").run(["--help"])
    return sorted({"--help", *re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", text.getvalue())})
