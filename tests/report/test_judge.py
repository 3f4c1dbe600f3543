"""When a claim holds, when it does not, and when it cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.metrics.stats import Sample
from holdfast.report.claim import Claim, Effect, Verdict, by_strength, effect_of, judge


def effect(
    mean: float, *, n: int = 100, spread: float = 1.0, percent: bool = False, of: int = 1, seeds: int = 3
) -> Effect:
    """A difference of this mean with ``spread / sqrt(n)`` as its standard error, the same in every seed."""
    values = np.random.default_rng(0).normal(size=n)
    values = spread * (values - values.mean()) / values.std() + mean
    return effect_of(f"part {mean}", Sample(np.repeat(values[None], seeds, axis=0)), percent, of=of, paper=mean)


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
    assert judge("claim", [effect(mean) for mean in means]).verdict == verdict


@pytest.mark.parametrize("mean", [0.5, -0.5])
def test_one_seed_carries_no_verdict(mean: float) -> None:
    claim = judge("claim", [effect(mean, seeds=1)])
    assert claim.verdict == "cannot be told"
    assert "one seed" in claim.test
    assert claim.effects[0].remark == "one seed"


def test_refuting_is_corrected_for_the_number_of_parts() -> None:
    """2.4 standard errors below 0 refute alone, not as one of twenty; holding needs no correction."""
    above = [effect(0.24, of=20) for _ in range(19)]
    assert judge("claim", [effect(-0.24)]).verdict == "does not hold"
    assert judge("claim", [effect(-0.24, of=20), *above]).verdict == "cannot be told"
    assert judge("claim", above).verdict == "holds"
    assert "99.75 %" in judge("claim", [effect(-0.24, of=20), *above]).test


def test_a_missing_run_never_holds_but_may_be_refuted() -> None:
    missing = effect_of("MART", None, False, missing=("MART on MNIST",))
    claim = judge("claim", [effect(0.5), missing])
    assert claim.verdict == "cannot be told"
    assert claim.said.endswith("; not run: MART on MNIST; in the paper's tables 1 of 1 are above 0")
    assert judge("claim", [effect(-0.5), missing]).verdict == "does not hold"


def test_a_margin_allows_a_small_loss() -> None:
    small = effect(-0.01, spread=0.02)
    assert judge("claim", [small]).verdict == "does not hold"
    claim = judge("claim", [small], margin=0.02)
    assert claim.verdict == "holds"
    assert "every 95 % interval lies above −0.02 (−2 points)" in claim.test
    assert judge("claim", [effect(-0.04, spread=0.02)], margin=0.02).verdict == "does not hold"


def test_a_few_images_decide_nothing() -> None:
    few = effect(0.5, n=19, spread=0.1)
    assert judge("claim", [few]).verdict == "cannot be told"
    assert few.remark == "19 images"
    assert judge("claim", [effect(0.5, n=20, spread=0.1)]).verdict == "holds"
    assert "fewer than 20 images decide nothing" in judge("claim", [few]).test


def test_of_many_parts_those_against_are_written_out() -> None:
    parts = [effect(0.5), *(effect(0.5 + i) for i in range(8)), effect(-0.02, spread=1e-5, percent=True)]
    assert judge("claim", parts).said == (
        "9 of 10 intervals lie above 0; those that do not: part -0.02 −2.0 [−2.0, −2.0] points; in the paper's "
        "tables 9 of 10 are above 0"
    )


def test_the_weakest_part_is_the_strength() -> None:
    claim = judge("claim", [effect(0.5), effect(0.3)])
    assert claim.weakest == claim.effects[1]
    assert claim.strength == pytest.approx(0.3 / 0.196, rel=0.1), "half-widths of about 1.96 standard errors"
    assert judge("claim", []).strength == 0


def test_the_clearest_of_each_verdict_comes_first() -> None:
    means = (0.3, -0.4, 0.05, 0.9, -0.8, 0.0)
    found = by_strength([judge(str(mean), [effect(mean)]) for mean in means])
    assert [claim.statement for claim in found] == ["0.9", "0.3", "-0.8", "-0.4", "0.05", "0.0"]


def test_claims_keep_their_differences_as_data() -> None:
    claim = judge("claim", [effect(0.5)], whose="ours")
    found = claim.effects[0].found
    assert found is not None
    assert (found.mean, found.n, found.seeds) == (pytest.approx(0.5), 100, 3)
    assert claim == Claim("claim", "holds", "", claim.test, claim.effects, 0.0, "ours")
