"""What becomes of a statement of the paper when it is tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.validate import check_positive

Verdict = Literal["holds", "does not hold", "cannot be told"]
Z_LIMIT = 4.0


@dataclass(frozen=True)
class Claim:
    """One statement, what the test says of it, the numbers computed, and the test in words."""

    statement: str
    verdict: Verdict
    evidence: str
    test: str


def exact_verdict(holds: bool) -> Verdict:
    """The verdict of a test without chance.

    >>> exact_verdict(False)
    'does not hold'
    """
    return "holds" if holds else "does not hold"


def sign_verdict(z: float) -> Verdict:
    """The verdict on "this mean is positive" from the mean divided by its standard error.

    Decided only beyond ``Z_LIMIT`` standard errors on either side, which chance alone passes once in 16,000.

    >>> sign_verdict(9.0), sign_verdict(1.5), sign_verdict(-7.0)
    ('holds', 'cannot be told', 'does not hold')
    """
    if abs(z) <= Z_LIMIT or z != z:
        return "cannot be told"
    return exact_verdict(z > 0)


def closeness_verdict(gap: float, error: float, tolerance: float) -> Verdict:
    """The verdict on "these two are within ``tolerance``" from their mean difference and its standard error.

    Decided only where the difference, give or take ``Z_LIMIT`` standard errors, lies on one side.

    >>> closeness_verdict(0.01, 0.002, 0.05), closeness_verdict(0.11, 0.002, 0.05)
    ('holds', 'does not hold')
    """
    if abs(gap) + Z_LIMIT * error <= tolerance:
        return "holds"
    return "does not hold" if abs(gap) - Z_LIMIT * error > tolerance else "cannot be told"


def scaled_count(scale: float, full: int, least: int) -> int:
    """``scale`` times ``full`` cases or draws, at least ``least``; raises HoldfastError for a scale of 0 or less.

    >>> scaled_count(0.1, 500, least=20), scaled_count(0.001, 500, least=20)
    (50, 20)
    """
    check_positive("scale", scale)
    return max(least, round(scale * full))
