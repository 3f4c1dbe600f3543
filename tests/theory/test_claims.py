"""Each statement and what becomes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch

from holdfast.errors import HoldfastError
from holdfast.paper.theory.attribution_space import SHOWN_IN, attribution_space
from holdfast.paper.theory.proposition1 import proposition1
from holdfast.paper.theory.proposition2 import proposition2
from holdfast.paper.theory.theorem1 import theorem1
from holdfast.report.claim import Claim, Verdict, closeness_verdict, sign_verdict

Claims = Callable[[float, int], list[Claim]]
VERDICTS: dict[Claims, list[tuple[str, Verdict]]] = {
    theorem1: [
        ("For fixed X and X'", "holds"),
        ("The same for exp(1) vectors", "holds"),
        ("Whenever X has the larger cosine", "does not hold"),
        ("Read without a condition", "holds"),
        ("One swap", "holds"),
        ("One scaling", "holds"),
        ("The proof's condition", "does not hold"),
        ("Induction over the chain", "does not hold"),
    ],
    proposition1: [
        ("With normal weights the right side", "holds"),
        ("Training that raises", "cannot be told"),
        ("cos(IG(x), IG(x~)) is close to the right side of Eq. 6 for images of low contrast", "holds"),
        ("cos(IG(x), IG(x~)) is close to the right side of Eq. 6 when pixels change", "does not hold"),
        ("The cosine of the gradients", "holds"),
        ("The cross terms dropped in Eq. 29 average out", "does not hold"),
        ("The cross terms dropped in Eq. 29 vanish", "holds"),
        ("Maximising Eq. 6 also rewards", "does not hold"),
    ],
    proposition2: [
        ("The expected squared norm", "holds"),
        ("The expected norm, not squared", "does not hold"),
        ("The assumption |N(psi)| < |N(phi)| is needed", "does not hold"),
        ("The assumption |N(psi)| < |N(phi)| is enough", "does not hold"),
    ],
    attribution_space: [
        ("At one l1 distance from the clean map", "holds"),
        ("At one l1 distance the cosine always", "does not hold"),
        ("Kendall's tau and the cosine of simulated vectors", "holds"),
        ("The l2 norm of an attribution", "does not hold"),
    ],
}
STATEMENTS = pytest.mark.parametrize(("claims", "expected"), VERDICTS.items(), ids=lambda v: getattr(v, "__name__", ""))


@STATEMENTS
def test_few_cases_never_say_the_opposite(claims: Claims, expected: list[tuple[str, Verdict]]) -> None:
    found = claims(0.02, 1)
    assert len(found) == len(expected)
    for claim, (opening, verdict) in zip(found, expected, strict=True):
        assert claim.statement.startswith(opening)
        assert claim.verdict in (verdict, "cannot be told"), claim
        assert claim.evidence
        assert claim.test


def test_each_claim_on_attribution_space_has_its_figure() -> None:
    found = {claim.statement: key for claim, key in zip(attribution_space(0.02, 1), SHOWN_IN, strict=True)}
    assert all(f"(Figure {key[6:]})" in statement for statement, key in found.items() if key != "figure2c")


@pytest.mark.slow
@STATEMENTS
def test_many_cases_decide(claims: Claims, expected: list[tuple[str, Verdict]]) -> None:
    for seed in (0, 1):
        assert [claim.verdict for claim in claims(1.0, seed)] == [verdict for _, verdict in expected]


@pytest.mark.parametrize("claims", VERDICTS)
def test_claims_repeat_and_leave_the_global_state_alone(claims: Claims) -> None:
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = claims(0.01, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()
    assert claims(0.01, 3) == first


def test_scale_is_positive() -> None:
    with pytest.raises(HoldfastError, match=r"scale is 0\.0;"):
        theorem1(0.0, 0)


def test_a_claim_is_frozen() -> None:
    claim = Claim("one is two", "does not hold", "1 < 2", "exact")
    with pytest.raises(dataclasses.FrozenInstanceError):
        claim.verdict = "holds"  # type: ignore[misc]
    assert claim.verdict in get_args(Verdict)


@pytest.mark.parametrize(
    ("z", "verdict"),
    [(4.1, "holds"), (-4.1, "does not hold"), (3.9, "cannot be told"), (float("nan"), "cannot be told")],
)
def test_sign_verdict(z: float, verdict: Verdict) -> None:
    assert sign_verdict(z) == verdict


@pytest.mark.parametrize(
    ("gap", "error", "verdict"),
    [
        (-0.01, 0.009, "holds"),
        (0.01, 0.011, "cannot be told"),
        (-0.1, 0.01, "does not hold"),
        (0.1, 0.02, "cannot be told"),
    ],
)
def test_closeness_verdict(gap: float, error: float, verdict: Verdict) -> None:
    assert closeness_verdict(gap, error, 0.05) == verdict
