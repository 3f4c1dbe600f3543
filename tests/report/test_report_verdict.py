"""What the verdict says, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.report import Chance, Comparison, Estimate, Row, judge
from holdfast.report.tiles import build_tiles


def compare(before: tuple[float, float], after: tuple[float, float], natural: float = 0.97) -> Comparison:
    """Two models of (kendall, topk), intervals 0.03 to each side."""

    def row(name: str, kendall: float, topk: float, accuracy: float) -> Row:
        means = {"kendall": kendall, "topk": topk, "natural": accuracy}
        return Row(name, name, {key: Estimate(m, m - 0.03, m + 0.03, 200) for key, m in means.items()})

    rows = [row("Plain", *before, 0.98), row("IGR", *after, natural)]
    return Comparison("t", "d", rows, Chance(0.125, 0.0), k=8, n_features=64)


def test_better() -> None:
    verdict = judge(compare((0.4, 0.4), (0.6, 0.55)))
    assert verdict.kind == "better"
    assert verdict.sentence == (
        "IGR holds its attributions under attack better than Plain: Kendall’s τ 0.600 against 0.400 (+0.200) "
        "and top-8 55.0 % against 40.0 % (+15.0 points); natural accuracy 97.0 % against 98.0 % "
        "(−1.0 points, intervals overlap)."
    )


def test_worse() -> None:
    verdict = judge(compare((0.6, 0.55), (0.4, 0.4), natural=0.5))
    assert verdict.kind == "worse"
    assert verdict.headline == "IGR holds its attributions under attack worse than Plain"
    assert "natural accuracy 50.0 % against 98.0 % (−48.0 points)" in verdict.detail
    assert verdict.caveats == ()


def test_cannot_tell() -> None:
    verdict = judge(compare((0.5, 0.5), (0.55, 0.54)))
    assert verdict.kind == "unclear"
    assert "cannot be told apart at this sample size" in verdict.headline
    assert any("do not show that there is none" in caveat for caveat in verdict.caveats)


def test_disagreement_and_half_evidence() -> None:
    assert judge(compare((0.4, 0.6), (0.6, 0.4))).kind == "mixed"
    half = judge(compare((0.4, 0.5), (0.6, 0.52)))
    assert half.kind == "better"
    assert "(+2.0 points, intervals overlap)" in half.detail


def test_intervals_that_touch_overlap() -> None:
    assert Estimate(0.4, 0.3, 0.5, 9).overlaps(Estimate(0.6, 0.5, 0.7, 9))


def test_one_model_and_unmeasured_attributions() -> None:
    pair = compare((0.4, 0.4), (0.6, 0.6))
    assert judge(replace(pair, rows=pair.rows[:1])).sentence.startswith("Only Plain was evaluated")
    bare = [replace(row, estimates={"natural": row.estimates["natural"]}) for row in pair.rows]
    verdict = judge(replace(pair, rows=bare))
    assert verdict.kind == "none"
    assert "not both measured" in verdict.headline


def test_highlighted_row_is_the_one_compared() -> None:
    pair = compare((0.4, 0.4), (0.6, 0.6))
    other = replace(pair.rows[0], name="Other", run="other")
    chosen = replace(pair, rows=[pair.rows[0], replace(pair.rows[1], highlight=True), other])
    assert judge(chosen).headline.startswith("IGR ")


def test_caveats_name_failed_attacks_and_chance() -> None:
    pair = compare((0.4, 0.4), (0.01, 0.1))
    weak = {**pair.rows[1].estimates, "failure_rate": Estimate(0.34, 0.3, 0.38, 200)}
    caveats = judge(replace(pair, rows=[pair.rows[0], replace(pair.rows[1], estimates=weak)])).caveats
    assert any("found nothing on 34.0 % of the images of IGR" in caveat for caveat in caveats)
    assert any("not clearly above chance" in caveat for caveat in caveats)


def test_tiles_follow_the_numbers(comparison: Comparison) -> None:
    tiles = {tile.heading: tile for tile in build_tiles(comparison)}
    assert list(tiles) == [
        "Kendall τ under attack",
        "Top-8 under attack",
        "Natural accuracy",
        "PGD-40 accuracy",
    ]
    kendall = tiles["Kendall τ under attack"]
    assert (kendall.value, kendall.change, kendall.remark) == ("0.655", "+0.243", "clearly higher")
    assert [(bar.mean, bar.low, bar.width) for bar in kendall.bars] == [(41.2, 38.2, 6.0), (65.5, 62.5, 6.0)]
    assert kendall.chance == 0.0
    assert tiles["Natural accuracy"].remark == "intervals overlap"


def test_a_tile_axis_reaches_down_to_negative_values() -> None:
    tile = build_tiles(compare((-0.47, 0.4), (0.5, 0.5)))[0]
    assert tile.chance == pytest.approx(100 * 0.5 / 1.5, abs=0.01)
    assert tile.bars[0].low == 0.0
