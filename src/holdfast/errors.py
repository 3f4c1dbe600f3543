"""Errors that a user can act on: each names the value, what is allowed and the remedy, in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence


class HoldfastError(ValueError):
    """Bad input. The command line prints the message alone and exits with code 2.

    >>> str(HoldfastError("a name with\\na line break"))
    'a name with a line break'
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(" ".join(str(message).splitlines()))


class NotFinite(HoldfastError):
    """NaN where a number is needed: in images, gradients, logits or maps. An evaluation leaves such an image out."""


class HoldfastWarning(UserWarning):
    """Something that does not stop the work but may make its result untrustworthy."""


def first_line(error: BaseException) -> str:
    """What another library's error says, without a full stop; its kind where it says nothing.

    TorchScript puts the message last, behind a traceback.

    >>> first_line(RuntimeError("shapes differ.\\nsee above")), first_line(KeyError())
    ('shapes differ', 'KeyError')
    """
    lines = str(error).split("Traceback of TorchScript")
    said = lines[-1].strip().splitlines()[-1] if len(lines) > 1 else next(iter(lines[0].strip().splitlines()), "")
    return said.rstrip(".") or type(error).__name__


def unknown_name(kind: str, name: str, known: Iterable[str], remedy: str = "") -> HoldfastError:
    """An error for a misspelt name, with the nearest known names first.

    >>> str(unknown_name("recipe", "mnist-tardes", ["mnist-trades", "digits-at"]))
    "unknown recipe 'mnist-tardes'; did you mean mnist-trades? Known: mnist-trades, digits-at."
    """
    options = list(known)
    near = _nearest(name, options)
    guess = f"; did you mean {' or '.join(near)}?" if near else "."
    listed = f" Known: {', '.join(options)}." if len(options) <= (12 if near else 40) else ""
    return HoldfastError(f"unknown {kind} {name!r}{guess}{listed}{' ' + remedy if remedy else ''}")


def _nearest(name: str, options: Sequence[str]) -> list[str]:
    """Up to three that ``name`` may mean: those of which it is a whole part, or else those spelt most like it.

    >>> _nearest("--lr", ["--model", "--optim.lr", "--resume"]), _nearest("--n", ["--rank", "--n-examples"])
    (['--optim.lr'], ['--n-examples'])
    """
    wanted = name.lower().strip("-")
    plain = {option.lower().strip("-"): option for option in reversed(options)}
    whole = [known for known in plain if re.search(rf"(^|[.-]){re.escape(wanted)}($|[.-])", known)] if wanted else []
    found = difflib.get_close_matches(wanted, whole or plain, n=3, cutoff=0.0 if whole else 0.5)
    return [plain[known] for known in found]
