"""How long work will take here, said before a minute of it, asked before an hour."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable

from holdfast.errors import HoldfastError, HoldfastWarning

WORTH_TIMING = 5000
"""Forward passes below which nothing takes a minute."""
SAY_SECONDS, ASK_SECONDS = 60, 3600

Work = tuple[str, tuple[int, int, int], float]
"""A network's name, the shape of its images, and forward passes of one of them."""


def announce(what: str, seconds: float, device: str, *, yes: bool) -> None:
    """Print an estimate of more than a minute, and `ask`."""
    from holdfast.report.words import duration

    if seconds < SAY_SECONDS:
        return
    print(f"holdfast: {what} will take about {duration(seconds)} on {device} (estimated).", file=sys.stderr)
    ask(seconds, yes=yes)


def ask(seconds: float, *, yes: bool) -> None:
    """Ask whether to go on where work takes more than an hour; only people, and not with ``yes``.

    Raises:
        HoldfastError: the answer was no.
    """
    if seconds < ASK_SECONDS or yes or not sys.stdin.isatty():
        return
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise HoldfastError(
            "not started; choose a smaller --profile, --budget or fewer images, or --yes to start unasked."
        )


def estimated_seconds(work: Iterable[Work], device: str) -> float:
    """The sum over the work; each network is timed once, for a fraction of a second."""
    from holdfast.models.resolve import seconds_per_forward

    passes: dict[tuple[str, tuple[int, int, int]], float] = {}
    for model, shape, count in work:
        passes[model, shape] = passes.get((model, shape), 0.0) + count
    seconds = 0.0
    for (model, shape), count in passes.items():
        if count >= WORTH_TIMING:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HoldfastWarning)
                seconds += count * seconds_per_forward(model, shape, device)
    return seconds
