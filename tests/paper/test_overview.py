"""The document of a reproduction: what it answers, and what stands behind it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from holdfast.paper.overview import GAINS, overview
from holdfast.paper.targets import parts_of
from holdfast.results import RunResult

from .conftest import MakeResult, MakeStudy

PARTS = [part for part in parts_of("all") if part.startswith("table")]


def around(level: float, method: str, seed: int) -> np.ndarray:
    """Forty values near a level, others for every method and seed."""
    return level + np.random.default_rng([seed, *method.encode()]).normal(scale=0.01, size=40)


def test_the_answer_counts_gains_and_verdicts(study: MakeStudy, result: MakeResult) -> None:
    """TRADES gains in both metrics, AT loses in both, and MART was run with one seed."""
    levels = {"trades": 0.4, "trades-igr": 0.6, "at": 0.5, "at-igr": 0.4, "mart": 0.4, "mart-igr": 0.6}
    runs = [
        result(m, seed=seed, kendall=around(x, m, seed), topk=around(x, m, seed))
        for m, x in levels.items()
        for seed in ((0,) if m.startswith("mart") else (0, 1, 2))
    ]
    document = overview(study(*runs), PARTS)
    assert "Of 6 gains of IGR in top-k and Kendall's τ under IFIA, 2 lie clearly above 0, 2 below, and 2 cannot be" in (
        document.answer
    )
    verdicts = [claim.verdict for claim in document.claims]
    counts = [verdicts.count(verdict) for verdict in ("holds", "does not hold", "cannot be told")]
    assert (
        f"of {len(verdicts)} claims tested, {counts[0]} hold, {counts[1]} do not, and {counts[2]} cannot"
        in document.answer
    )
    assert document.sections[0].title == GAINS
    assert document.figures[0].alt.startswith("Forest plot. MNIST: Top-100 under IFIA (points): AT −10.1 [")
    assert document.warnings[0].startswith("This is not the paper's schedule. The profile laptop is a reduced one")


@pytest.mark.parametrize("profile", ["laptop", "paper"])
def test_nothing_run_says_so(study: MakeStudy, profile: str) -> None:
    document = overview(study(profile=profile), ["table3"])
    assert document.answer.startswith("Of 3 claims tested, 0 hold, 0 do not, and 3 cannot be told")
    assert overview(study(profile=profile), []).answer == "Nothing has been run yet, so there is nothing to say."
    assert "Nothing of this table has been run yet." in document.to_html()


def _warned(run: RunResult, *warnings: str) -> RunResult:
    return replace(run, summary={**run.summary, "warnings": [*warnings]})


def test_what_stands_behind_is_folded(study: MakeStudy, result: MakeResult) -> None:
    log = [{"kind": "train", "step": step, "epoch": 1, "loss": 2.5 - 0.2 * step} for step in range(1, 11)]
    run = _warned(replace(result("trades"), log=log), "on 61% of the images", "only 40 images")
    other = _warned(result("trades", seed=1), "on 70% of the images")
    document = overview(study(run, other), PARTS, ["holdfast reproduce all"])
    folded = {section.title for section in document.sections if section.folded}
    assert folded == {
        "Tables", "Training", "Settings", "Self-checks", "Make it again", "Versions",
    }  # fmt: skip
    page = document.to_html()
    for said in ("on 70% of the images", "holdfast reproduce all", "60 s on cpu", "seed 1", "training images"):
        assert said in page
    assert [figure.key for figure in document.figures] == ["training-mnist"]


def test_parts_without_claims_are_not_said_to_lack_runs(study: MakeStudy, result: MakeResult) -> None:
    assert overview(study(result("at")), ["figure7"]).answer == "No claim rests on these parts."
    assert "Nothing has been run" in overview(study(), ["figure7"]).answer
