"""The page of a reproduction: it needs nothing else, shows everything given, and links hold."""

from __future__ import annotations

import base64
import os
import re
import shlex
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli import evaluate as evaluate_command_line
from holdfast.cli import train as train_command_line
from holdfast.cli.parse import parse
from holdfast.config import TrainConfig
from holdfast.errors import HoldfastError
from holdfast.recipes import evaluation, method_recipe, origin, recipe
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
from holdfast.reproduce.sections.runs import evaluate_command, train_command
from holdfast.results import RunResult
from holdfast.sweep.plan import load_plan
from holdfast.theory.claim import Claim

VOID = {"meta", "link", "img", "br", "hr", "line", "rect", "path", "circle"}
HOSTILE = '<script>alert("x")</script> & \'"><img src=y>'


class Reader(HTMLParser):
    """Collects elements and text; fails where one is not properly closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


def run_of(dataset: str, method: str, seed: int = 0, **changes: Any) -> RunResult:
    """A run of the laptop profile whose numbers are made up: the loss falls from 2.5 to 0.5 in two epochs."""
    log: list[dict[str, Any]] = [
        {"kind": "train", "step": step, "epoch": 1 + (step > 5), "loss": 2.5 - 0.2 * step} for step in range(1, 11)
    ]
    log[3]["loss"] = float("nan")
    log += [
        {"kind": "validation", "step": 5 * epoch, "epoch": epoch, "natural": 0.45 * epoch, "cosine": 0.5}
        for epoch in (1, 2)
    ]
    result = RunResult(
        train=method_recipe(dataset, method, "laptop", seed),
        evaluation=evaluation(dataset, "laptop"),
        training={"steps": 10, "epochs": 2, "best_epoch": 2, "seconds": 90.0, "device": "cpu", "torch": "2"},
        log=log,
        summary={"metrics": {}, "warnings": [f"on {61 + seed}% of the images the attack was still improving"]},
        records={"accuracy": [], "attribution": []},
    )
    return replace(result, **changes)


def claims(n: int) -> tuple[Claim, ...]:
    verdicts = ("holds", "does not hold", "cannot be told")
    return tuple(
        Claim(f"statement {i}", verdicts[i % 3], f"evidence {i}, [0, 1]; more {i}", f"test {i}")  # type: ignore[arg-type]
        for i in range(n)
    )


@pytest.fixture
def reproduction(tmp_path: Path) -> Reproduction:
    """Two tables, two figures, a statement, and four runs on two data sets; every number is made up."""
    (tmp_path / "figure1.png").write_bytes(b"png bytes")
    (tmp_path / "figure1.svg").write_text("<svg/>")
    (tmp_path / "figure2.png").write_bytes(b"other bytes")
    columns = tuple(
        PaperColumn(key, heading, dataset, percent)
        for dataset in ("mnist", "fashion_mnist")
        for key, heading, percent in (("topk", "Top-100", True), ("kendall", "Kendall τ", False))
    )
    ours = PaperCell(0.731, 0.713, 0.749, 100, 1, 0.5613)
    bare = PaperCell(0.52, 0.4957, 0.5475, 100, 1, 0.454)
    rows = (
        PaperRow("TRADES", "trades", (PaperCell(0.652, 0.641, 0.66, 100, 1, 0.3637), bare, ours, PaperCell())),
        PaperRow("TRADES+IGR", "trades-igr", (ours, PaperCell(-0.25, -0.3, -0.2, 9, 1, 0.2127), PaperCell(), bare)),
        PaperRow("SSR", "ssr", (PaperCell(paper=0.3877), PaperCell(paper=0.165), PaperCell(), PaperCell())),
    )
    gain = PaperColumn("topk", "Top-100", "mnist", True, signed=True)
    every = claims(9)
    return Reproduction(
        profile="laptop",
        datasets=("mnist", "fashion_mnist"),
        seeds=(0, 1),
        tables=(
            PaperTable("table2", "Table 2: under IFIA", columns, rows, every[:4], ("A note of all.", "A note of one.")),
            PaperTable(
                "gains",
                "What IGR adds",
                (gain,),
                (PaperRow("TRADES+IGR less TRADES", "trades-igr", (PaperCell(0.05, 0.01, 0.09, 100, 1, -0.0095),)),),
                every[3:5],
                ("A note of all.",),
            ),
        ),
        figures=(
            PaperFigure(
                "figure1",
                "Figure 1: both files",
                "Caption 1.",
                tmp_path / "figure1.png",
                tmp_path / "figure1.svg",
                every[5:6],
            ),
            PaperFigure(
                "figure2", "Figure 2: png alone", "Caption 2.", tmp_path / "figure2.png", tmp_path / "figure2.svg"
            ),
        ),
        statements=(Statement("theorem1", "Theorem 1. Larger cosine, larger τ", every[6:]),),
        results=(
            run_of("fashion_mnist", "trades"),
            run_of("mnist", "trades"),
            run_of("mnist", "trades", seed=1),
            run_of("mnist", "trades-igr"),
        ),
        environment={"holdfast": "0.1.0", "torch": "2.13.0"},
        commands=("holdfast reproduce all --profile laptop",),
        texts=(TextTable("table1", "Table 1: losses", ("Method", "Loss"), (("AT", "CE(f(x̃), y)"),), ("Word note.",)),),
        left_out=(LeftOut("figure7", "Figure 7", "No recipes for CIFAR-10."),),
    )


def test_page_needs_nothing_else(reproduction: Reproduction) -> None:
    page = render_page(reproduction)
    reader = Reader(page)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
    assert {tag for tag, _ in reader.elements}.isdisjoint({"script", "iframe", "object", "embed", "base"})
    for _, attributes in reader.elements:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "data:").startswith(("data:", "#"))
        assert not any(name.startswith("on") for name in attributes)


def test_structure_ids_and_links(reproduction: Reproduction) -> None:
    reader = Reader(render_page(reproduction))
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


def test_everything_given_is_shown(reproduction: Reproduction) -> None:
    page = render_page(reproduction)
    text = Reader(page).text
    for claim in claims(9):
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


def test_figures_are_inlined_as_svg_or_else_png(reproduction: Reproduction) -> None:
    sources = [image["src"] or "" for image in Reader(render_page(reproduction)).all("img")]
    assert sources == [
        f"data:image/svg+xml;base64,{base64.b64encode(b'<svg/>').decode()}",
        f"data:image/png;base64,{base64.b64encode(b'other bytes').decode()}",
    ]
    reproduction.figures[1].png.unlink()
    assert "The file of this figure is missing: figure2.svg" in Reader(render_page(reproduction)).text


def test_a_large_svg_gives_way_to_its_png(reproduction: Reproduction) -> None:
    figure = reproduction.figures[0]
    figure.svg.write_text(f"<svg>{' ' * 500_000}</svg>")
    alone = replace(reproduction, figures=(figure,))
    assert (Reader(render_page(alone)).all("img")[0]["src"] or "").startswith("data:image/png")
    figure.png.unlink()
    assert (Reader(render_page(alone)).all("img")[0]["src"] or "").startswith("data:image/svg")


def test_verdicts_are_counted_once_each(reproduction: Reproduction) -> None:
    text = Reader(render_page(reproduction)).text
    assert "3 ✓ hold 3 ✗ do not hold 3 ? cannot be told" in text
    page = render_page(reproduction)
    assert page.count('<details class="claim ') == 9, "claim 3 rests on two tables and is told once"
    one = replace(reproduction, tables=(), figures=(), statements=(Statement("t", "T", claims(2)),))
    assert "1 ✓ holds 1 ✗ does not hold" in Reader(render_page(one)).text


def test_paper_numbers_are_counted_against_the_intervals(reproduction: Reproduction) -> None:
    text = Reader(render_page(reproduction)).text
    said = "the paper's lies inside our interval in {}, above it in {} and below it in {}."
    assert "Of the 6 numbers that both have, " + said.format(0, 1, 5) in text
    table = reproduction.tables[1]
    inside = replace(table, rows=(replace(table.rows[0], cells=(PaperCell(0.5, 0.4, 0.6, 9, 1, 0.6),)),))
    assert (
        "Of the 1 number that both have, " + said.format(1, 0, 0)
        in Reader(render_page(replace(reproduction, tables=(inside,)))).text
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


def test_curves_are_drawn_to_scale_without_values_that_are_not_finite() -> None:
    page = render_page(Reproduction("laptop", ("mnist",), (0,), results=(run_of("mnist", "trades"),)))
    loss = re.findall(r'<path d="M([^"]+)"/>', page)[0]
    points = [tuple(map(float, point.split())) for point in loss.split("L")]
    assert len(points) == 9
    assert points[-1] == (274.0, pytest.approx(94 - 70 * 0.5 / 4, abs=0.06))
    assert points[0] == (pytest.approx(30 + 244 * 0.1), pytest.approx(94 - 70 * 2.3 / 4, abs=0.06))


def test_hostile_text_stays_text(reproduction: Reproduction) -> None:
    claim = Claim(HOSTILE, "holds", HOSTILE, HOSTILE)
    run = run_of("mnist", "trades")
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
    reader = Reader(page)
    assert "script" not in {tag for tag, _ in reader.elements}
    assert reader.all("img") == []
    assert reader.text.count(HOSTILE) > 15
    assert len(reader.ids) == len(set(reader.ids))
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in reader.ids)


@pytest.mark.parametrize("profile", ["laptop", "paper", "of-my-own"])
def test_an_empty_reproduction_says_so(profile: str) -> None:
    reader = Reader(render_page(Reproduction(profile, (), ())))
    assert "Nothing has been run yet" in reader.text
    assert reader.all("section") == []
    assert reader.all("nav") == []
    assert ("This is not the paper's schedule." in reader.text) == (profile != "paper")


def test_each_part_alone_renders(reproduction: Reproduction) -> None:
    bare = Reproduction("laptop", ("mnist",), (0,))
    for part in ("tables", "figures", "statements", "results", "environment", "commands", "texts", "left_out"):
        reader = Reader(render_page(replace(bare, **{part: getattr(reproduction, part)})))
        assert "Nothing has been run yet" not in reader.text
        links = {(link["href"] or "")[1:] for link in reader.all("a")}
        assert links <= set(reader.ids), part


def test_one_run_without_log_warnings_or_timing() -> None:
    run = run_of("digits", "at", log=[], training={}, summary={"metrics": {}})
    text = Reader(render_page(Reproduction("laptop", ("digits",), (0,), results=(run,)))).text
    assert "The digits are no data set of the paper" in text
    assert "1 run of 1 method" in text
    assert "Training loss" not in text
    assert "Self-checks" not in text


def test_reduced_profile_says_what_it_leaves_out(reproduction: Reproduction) -> None:
    text = Reader(render_page(reproduction)).text
    assert "This is not the paper's schedule." in text
    small, full = recipe("mnist-trades", "laptop"), recipe("mnist-trades")
    assert f"{small.optim.epochs} of {full.optim.epochs} epochs" in text
    assert f"{small.data.train_size:,} of 55,000 training images" in text


def test_settings_in_which_rows_differ_come_first_with_their_origins(reproduction: Reproduction) -> None:
    page = render_page(reproduction)
    text = Reader(page[page.index('<h3 id="settings-mnist"') : page.index('<h3 id="settings-fashion-mnist"')]).text
    differing, _, shared = text.partition("The same for all rows")
    assert "igr.lam , ours 0 , ours 1" in differing.replace(" ,", " ,")
    assert "optim.lr" not in differing
    assert f"optim.lr 0.001 {origin('mnist', 'optim.lr', 'trades', 'laptop')} 0.0001" in shared
    assert f"attack.eps 0.3 {origin('mnist', 'attack.eps', 'trades', 'laptop')}" in shared


def test_a_value_that_is_not_the_recipes_is_ours() -> None:
    run = run_of("mnist", "trades")
    run = replace(run, train=replace(run.train, attack=replace(run.train.attack, eps=0.2)))
    text = Reader(render_page(Reproduction("laptop", ("mnist",), (0,), results=(run,)))).text
    assert "attack.eps 0.2 ours 0.3" in text


def test_commands_give_the_very_settings_of_a_run(reproduction: Reproduction) -> None:
    run = run_of("mnist", "trades-igr", seed=3)
    odd = replace(
        run,
        train=replace(
            run.train,
            optim=replace(run.train.optim, lr=0.5, schedule="multistep", milestones=(2, 4)),
            igr=replace(run.train.igr, internal_batch_size=2),
        ),
        evaluation=replace(run.evaluation, n_attribution=7, ifia=replace(run.evaluation.ifia, random_start=True)),
    )
    for result in (run, odd):
        _, verb, name, *rest = shlex.split(train_command(result))
        assert (verb, name, rest[:2]) == ("train", "mnist-trades-igr", ["--profile", "laptop"])
        options = parse(train_command_line.TrainOptions(recipe(name, "laptop")), rest, "train", "")
        assert options.config == result.train
        assert options.out == f"runs/{result.name}"
        _, verb, folder, *rest = shlex.split(evaluate_command(result))
        assert (verb, folder) == ("evaluate", options.out)
        known = evaluate_command_line.EvaluateOptions(evaluation("mnist"))
        assert parse(known, rest, "evaluate", "").config == result.evaluation
    page = Reader(render_page(replace(reproduction, results=(odd,)))).text
    assert "--methods trades-igr" not in page, "no sweep makes a run of other settings"
    assert train_command(odd) in page


def test_a_row_is_made_again_by_its_sweep(reproduction: Reproduction) -> None:
    text = Reader(render_page(reproduction)).text
    command = "holdfast sweep all --profile laptop --datasets mnist,fashion_mnist --methods trades --seeds 0,1"
    assert command in text
    assert "holdfast sweep all --profile laptop --datasets mnist,fashion_mnist --methods ssr --seeds 0,1" in text
    made = load_plan("all", profile="laptop", datasets=("mnist", "fashion_mnist"), methods=("trades",), seeds=(0, 1))
    trained: set[TrainConfig] = {run.train for run in made.runs()}
    assert {run.train for run in reproduction.results if run.method == "trades"} <= trained


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
