"""The paper's theorem, propositions and drawings, tested on numbers: what holds, and what a counterexample refutes."""

from __future__ import annotations

from holdfast.validate import check_positive


def scaled_count(scale: float, full: int, least: int) -> int:
    """``scale`` times ``full`` cases or draws, at least ``least``; raises HoldfastError for a scale of 0 or less.

    >>> scaled_count(0.1, 500, least=20), scaled_count(0.001, 500, least=20)
    (50, 20)
    """
    check_positive("scale", scale)
    return max(least, round(scale * full))
