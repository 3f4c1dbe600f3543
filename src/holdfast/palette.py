"""One colour a run, the same in figures, table and page; after Okabe and Ito, safe for colour blindness."""

from __future__ import annotations

from collections.abc import Iterable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#56B4E9", "#E69F00")
BLUE, RED, GREEN, PURPLE = COLOURS[:4]
INK, MUTED, FAINT = "#22252a", "#6a707a", "#d9dce1"
DASHES = ("-", "--", "-.", ":")


def run_colours(runs: Iterable[str]) -> dict[str, str]:
    """A hexadecimal colour for each run, in order of first appearance; they repeat after six.

    >>> run_colours(["trades", "trades-igr", "trades"])
    {'trades': '#0072B2', 'trades-igr': '#D55E00'}
    """
    return {run: COLOURS[i % len(COLOURS)] for i, run in enumerate(dict.fromkeys(runs))}
