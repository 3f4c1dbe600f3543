"""A reproduction whose every number is made up, and a reader of its page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from holdfast.evaluate import protocol_of
from holdfast.recipes import evaluation, method_recipe
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
from holdfast.results import RunResult
from holdfast.theory.claim import Claim

VOID = {"meta", "link", "img", "br", "hr", "line", "rect", "path", "circle"}


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
        settings=method_recipe(dataset, method, "laptop", seed),
        protocol=protocol_of(evaluation(dataset, "laptop")),
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


def reproduction_in(folder: Path) -> Reproduction:
    """Two tables, two figures, a statement, and four runs on two data sets; every number is made up."""
    (folder / "figure1.png").write_bytes(b"png bytes")
    (folder / "figure1.svg").write_text("<svg/>")
    (folder / "figure2.png").write_bytes(b"other bytes")
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
                folder / "figure1.png",
                folder / "figure1.svg",
                every[5:6],
            ),
            PaperFigure("figure2", "Figure 2: png alone", "Caption 2.", folder / "figure2.png", folder / "figure2.svg"),
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
