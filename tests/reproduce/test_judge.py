"""When a claim holds, when it does not, and when it cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.reproduce.judge import Part, judge
from holdfast.reproduce.resample import Scores
from holdfast.theory import Verdict


def part(mean: float, *, n: int = 100, spread: float = 1.0, percent: bool = False) -> Part:
    """A difference of this mean, ``spread / sqrt(n)`` its standard error."""
    values = np.random.default_rng(0).normal(size=n)
    values = spread * (values - values.mean()) / values.std() + mean
    return Part(f"part {mean}", Scores(values[None]), percent, paper=mean)


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([0.5], "holds"),
        ([-0.5], "does not hold"),
        ([0.1], "cannot be told"),
        ([0.5, 0.3], "holds"),
        ([0.5, 0.1], "cannot be told"),
        ([0.5, -0.5], "does not hold"),
        ([], "cannot be told"),
    ],
)
def test_every_part_must_hold(means: list[float], verdict: Verdict) -> None:
    assert judge("claim", [part(mean) for mean in means]).verdict == verdict


def test_refuting_is_corrected_for_the_number_of_parts() -> None:
    """2.3 standard errors below 0 refute alone, not as one of twenty; holding needs no correction."""
    below, above = part(-0.23), [part(0.23) for _ in range(19)]
    assert judge("claim", [below]).verdict == "does not hold"
    assert judge("claim", [below, *above]).verdict == "cannot be told"
    assert judge("claim", above).verdict == "holds"
    assert "99.75 %" in judge("claim", [below, *above]).test


def test_a_missing_run_never_holds_but_may_be_refuted() -> None:
    missing = Part("MART", None, False, missing=("MART on MNIST",))
    claim = judge("claim", [part(0.5, spread=0), missing])
    assert claim.verdict == "cannot be told"
    assert claim.evidence == (
        "part 0.5 +0.500 [+0.500, +0.500]; not run: MART on MNIST; in the paper's tables 1 of 1 are above 0"
    )
    assert judge("claim", [part(-0.5), missing]).verdict == "does not hold"


def test_a_margin_allows_a_small_loss() -> None:
    small = part(-0.01, spread=0.02)
    assert judge("claim", [small]).verdict == "does not hold"
    claim = judge("claim", [small], margin=0.02)
    assert claim.verdict == "holds"
    assert "every 95 % interval lies above −0.02 (−2 points)" in claim.test
    assert judge("claim", [part(-0.04, spread=0.02)], margin=0.02).verdict == "does not hold"


def test_a_few_images_decide_nothing() -> None:
    few = part(0.5, n=19, spread=0.1)
    assert judge("claim", [few]).verdict == "cannot be told"
    assert judge("claim", [part(0.5, n=20, spread=0.1)]).verdict == "holds"
    assert "fewer than 20 images decide nothing" in judge("claim", [few]).test


def test_of_many_parts_those_against_are_written_out() -> None:
    claim = judge("claim", [part(0.5), *(part(0.5 + i) for i in range(8)), part(-0.02, spread=0, percent=True)])
    assert claim.evidence == (
        "9 of 10 intervals lie above 0; those that do not: part -0.02 −2.0 [−2.0, −2.0] points; in the paper's "
        "tables 9 of 10 are above 0"
    )


def test_the_seeds_are_in_the_test() -> None:
    several = Part("part", Scores(np.ones((3, 50))), False)
    assert "images and 3 seeds, the same images for every seed," in judge("claim", [several]).test
    assert "one seed" not in judge("claim", [several]).test
    assert "one seed" in judge("claim", [part(0.5)]).test
