"""The page of a reproduction: it needs nothing else, shows everything given, and links hold."""

from __future__ import annotations

import base64
import os
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.errors import HoldfastError
from holdfast.reproduce.model import (
    LeftOut,
    PaperCell,
    PaperColumn,
    PaperFigure,
    PaperRow,
    PaperTable,
    Reproduction,
    Statement,
    TextTable,
)
from holdfast.reproduce.page import render_page, write_page
from holdfast.theory.claim import Claim

HOSTILE = '<script>alert("x")</script> & \'"><img src=y>'


def test_page_needs_nothing_else(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    page = render_page(reproduction)
    reader = made_up.Reader(page)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
    assert {tag for tag, _ in reader.elements}.isdisjoint({"script", "iframe", "object", "embed", "base"})
    for _, attributes in reader.elements:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)


def test_structure_ids_and_links(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    reader = made_up.Reader(render_page(reproduction))
    assert [name for name, n in Counter(reader.ids).items() if n > 1] == []
    links = [link["href"] for link in reader.all("a")]
    assert len(links) > 30
    assert {link[1:] for link in links if link} <= set(reader.ids)
    referred = [a[name] for _, a in reader.elements for name in ("aria-labelledby",) if name in a]
    assert set(referred) <= set(reader.ids)
    levels = [int(tag[1]) for tag, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(th.get("scope") in ("col", "colgroup", "row") for th in reader.all("th"))
    assert all(len(image["alt"] or "") > 20 for image in reader.all("img"))
    drawings = [svg for svg in reader.all("svg") if "aria-hidden" not in svg]
    assert len(drawings) == 2, "one card a method and its variants, and data set"
    assert "TRADES+IGR, seed 0, ends at loss 0.500, clean accuracy 90.0 %, cosine 0.500" in (
        drawings[0]["aria-label"] or ""
    )


def test_contents_lead_to_every_section(reproduction: Reproduction) -> None:
    page = render_page(reproduction)
    contents = page[page.index("<nav") : page.index("</nav>")]
    sections = re.findall(r'<h2 id="([^"]+)"', page[page.index("</nav>") :])
    assert len(sections) == 9
    assert set(sections) <= set(re.findall(r'href="#([^"]+)"', contents))
    assert "Table 2</a>" in contents, "titles are cut at their colon"


def test_everything_given_is_shown(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    page = render_page(reproduction)
    text = made_up.Reader(page).text
    for claim in made_up.claims(9):
        assert claim.statement in text
        assert claim.test in text
        assert claim.evidence.split("; ")[0] in text
    for shown in ("73.1", "[71.3, 74.9]", "56.13", "0.520", "[0.496, 0.547]", "0.4540", "−0.250", "[−0.300, −0.200]"):
        assert shown in text
    for shown in ("38.77", "0.1650", "+5.0", "[+1.0, +9.0]", "−0.95", "MNIST", "Fashion-MNIST", "points"):
        assert shown in text
    for shown in ("Table 1: losses", "CE(f(x̃), y)", "Word note.", "No recipes for CIFAR-10.", "Caption 2."):
        assert shown in text
    for name, value in reproduction.environment.items():
        assert f"{name} {value}" in text
    assert reproduction.commands[0] in text
    assert "seeds 0 and 1" in text
    assert text.count("A note of all.") == 1
    assert text.count("A note of one.") == 1


def test_figures_are_inlined_as_svg_or_else_png(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    sources = [image["src"] or "" for image in made_up.Reader(render_page(reproduction)).all("img")]
    assert sources == [
        f"data:image/svg+xml;base64,{base64.b64encode(b'<svg/>').decode()}",
        f"data:image/png;base64,{base64.b64encode(b'other bytes').decode()}",
    ]
    reproduction.figures[1].png.unlink()
    assert "The file of this figure is missing: figure2.svg" in made_up.Reader(render_page(reproduction)).text


def test_a_large_svg_gives_way_to_its_png(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    figure = reproduction.figures[0]
    figure.svg.write_text(f"<svg>{' ' * 500_000}</svg>")
    alone = replace(reproduction, figures=(figure,))
    assert (made_up.Reader(render_page(alone)).all("img")[0]["src"] or "").startswith("data:image/png")
    figure.png.unlink()
    assert (made_up.Reader(render_page(alone)).all("img")[0]["src"] or "").startswith("data:image/svg")


def test_verdicts_are_counted_once_each(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    text = made_up.Reader(render_page(reproduction)).text
    assert "3 ✓ hold 3 ✗ do not hold 3 ? cannot be told" in text
    page = render_page(reproduction)
    assert page.count('<details class="claim ') == 9, "claim 3 rests on two tables and is told once"
    one = replace(reproduction, tables=(), figures=(), statements=(Statement("t", "T", made_up.claims(2)),))
    assert "1 ✓ holds 1 ✗ does not hold" in made_up.Reader(render_page(one)).text


def test_paper_numbers_are_counted_against_the_intervals(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    text = made_up.Reader(render_page(reproduction)).text
    said = "the paper's lies inside our interval in {}, above it in {} and below it in {}."
    assert "Of the 6 numbers that both have, " + said.format(0, 1, 5) in text
    table = reproduction.tables[1]
    inside = replace(table, rows=(replace(table.rows[0], cells=(PaperCell(0.5, 0.4, 0.6, 9, 1, 0.6),)),))
    assert (
        "Of the 1 number that both have, " + said.format(1, 0, 0)
        in made_up.Reader(render_page(replace(reproduction, tables=(inside,)))).text
    )


def test_strips_lie_on_the_axis_of_their_column(reproduction: Reproduction) -> None:
    column = PaperColumn("topk", "Top-100", "mnist", True)
    rows = (
        PaperRow("A", "at", (PaperCell(0.6, 0.5, 0.7, 9, 1, 0.2),)),
        PaperRow("B", "mart", (PaperCell(0.9, 0.8, 1.0, 9, 1, None),)),
    )
    page = render_page(Reproduction("paper", ("mnist",), (0,), (PaperTable("t", "T", (column,), rows),)))
    lines = re.findall(r'<line x1="([\d.]+)" x2="([\d.]+)" y1="\d+" y2="\d+" class="(tick|range|dot)"/>', page)
    assert lines == [
        ("0.0", "0.0", "tick"),
        ("37.5", "62.5", "range"),
        ("50.0", "50.0", "dot"),
        ("75.0", "100.0", "range"),
        ("87.5", "87.5", "dot"),
    ]


def test_curves_are_drawn_to_scale_without_values_that_are_not_finite(made_up: SimpleNamespace) -> None:
    page = render_page(Reproduction("laptop", ("mnist",), (0,), results=(made_up.run_of("mnist", "trades"),)))
    loss = re.findall(r'<path d="M([^"]+)"/>', page)[0]
    points = [tuple(map(float, point.split())) for point in loss.split("L")]
    assert len(points) == 9
    assert points[-1] == (274.0, pytest.approx(94 - 70 * 0.5 / 4, abs=0.06))
    assert points[0] == (pytest.approx(30 + 244 * 0.1), pytest.approx(94 - 70 * 2.3 / 4, abs=0.06))


def test_hostile_text_stays_text(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    claim = Claim(HOSTILE, "holds", HOSTILE, HOSTILE)
    run = made_up.run_of("mnist", "trades")
    run = replace(
        run,
        train=replace(run.train, recipe=HOSTILE, profile=HOSTILE, data=replace(run.train.data, name=HOSTILE)),
        training={"device": HOSTILE},
        summary={"warnings": [HOSTILE]},
    )
    column = PaperColumn(HOSTILE, HOSTILE, HOSTILE, False)
    missing = Path(HOSTILE)
    page = render_page(
        Reproduction(
            profile=HOSTILE,
            datasets=(HOSTILE,),
            seeds=(0,),
            tables=(
                PaperTable(
                    HOSTILE,
                    HOSTILE,
                    (column,),
                    (PaperRow(HOSTILE, HOSTILE, (PaperCell(0.1),), (HOSTILE,)),),
                    (claim,),
                    (HOSTILE,),
                ),
            ),
            figures=(PaperFigure(HOSTILE, HOSTILE, HOSTILE, missing, missing, (claim,)),),
            statements=(Statement(HOSTILE, HOSTILE, (claim,)),),
            results=(run,),
            environment={HOSTILE: HOSTILE},
            commands=(HOSTILE,),
            texts=(TextTable(HOSTILE, HOSTILE, (HOSTILE,), ((HOSTILE,),), (HOSTILE,)),),
            left_out=(LeftOut(HOSTILE, HOSTILE, HOSTILE),),
        )
    )
    reader = made_up.Reader(page)
    assert "script" not in {tag for tag, _ in reader.elements}
    assert reader.all("img") == []
    assert reader.text.count(HOSTILE) > 15
    assert len(reader.ids) == len(set(reader.ids))
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in reader.ids)


@pytest.mark.parametrize("profile", ["laptop", "paper", "of-my-own"])
def test_an_empty_reproduction_says_so(profile: str, made_up: SimpleNamespace) -> None:
    reader = made_up.Reader(render_page(Reproduction(profile, (), ())))
    assert "Nothing has been run yet" in reader.text
    assert reader.all("section") == []
    assert reader.all("nav") == []
    assert ("This is not the paper's schedule." in reader.text) == (profile != "paper")


def test_each_part_alone_renders(reproduction: Reproduction, made_up: SimpleNamespace) -> None:
    bare = Reproduction("laptop", ("mnist",), (0,))
    for part in ("tables", "figures", "statements", "results", "environment", "commands", "texts", "left_out"):
        reader = made_up.Reader(render_page(replace(bare, **{part: getattr(reproduction, part)})))
        assert "Nothing has been run yet" not in reader.text
        links = {(link["href"] or "")[1:] for link in reader.all("a")}
        assert links <= set(reader.ids), part


def test_one_run_without_log_warnings_or_timing(made_up: SimpleNamespace) -> None:
    run = made_up.run_of("digits", "at", log=[], training={}, summary={"metrics": {}})
    text = made_up.Reader(render_page(Reproduction("laptop", ("digits",), (0,), results=(run,)))).text
    assert "The digits are no data set of the paper" in text
    assert "1 run of 1 method" in text
    assert "Training loss" not in text
    assert "Self-checks" not in text


def test_write_replaces_whole_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, out = Reproduction("laptop", ("mnist",), (0,)), tmp_path / "new" / "page"
    assert write_page(empty, out) == out / "index.html"
    before = (out / "index.html").read_text(encoding="utf-8")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(HoldfastError, match="no space left"):
        write_page(replace(empty, seeds=(1,)), out)
    assert (out / "index.html").read_text(encoding="utf-8") == before
    assert [entry.name for entry in out.iterdir()] == ["index.html"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(HoldfastError, match="cannot write"):
        write_page(Reproduction("laptop", (), ()), tmp_path / "taken" / "page")


def test_same_input_same_page(reproduction: Reproduction) -> None:
    assert render_page(reproduction) == render_page(reproduction)
