"""The files of a reproduction: tables, figures, verdicts, and an index from which a page can be made later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from matplotlib.figure import Figure

from holdfast.errors import HoldfastError
from holdfast.report.images import to_png_bytes, to_svg
from holdfast.reproduce.model import PaperFigure, Reproduction, Statement
from holdfast.reproduce.render import (
    claims_markdown,
    text_to_csv,
    text_to_latex,
    text_to_markdown,
    to_csv,
    to_latex,
    to_markdown,
)
from holdfast.results import RunResult, load_results
from holdfast.theory.claim import Claim
from holdfast.train.folder import make_folder, writable, write_atomically

INDEX = "index.json"
DPI = 160


def write_figure(
    figure: Figure, out: Path, key: str, title: str, caption: str, claims: Sequence[Claim] = ()
) -> PaperFigure:
    """Write ``KEY.png`` and ``KEY.svg`` under ``out``."""
    make_folder(out)
    png, svg = out / f"{key}.png", out / f"{key}.svg"
    picture = to_png_bytes(figure, DPI)
    with writable(png):
        png.write_bytes(picture)
    write_atomically(svg, to_svg(figure))
    return PaperFigure(key, title, caption, png, svg, tuple(claims))


def write_tables(reproduction: Reproduction, out: Path) -> list[Path]:
    """Write each table as Markdown, LaTeX and CSV, each statement and the captions as Markdown; the paths."""
    make_folder(out)
    texts: dict[str, str] = {}
    for text in reproduction.texts:
        texts[f"{text.key}.md"] = text_to_markdown(text)
        texts[f"{text.key}.tex"] = text_to_latex(text)
        texts[f"{text.key}.csv"] = text_to_csv(text)
    for table in reproduction.tables:
        texts[f"{table.key}.md"] = to_markdown(table)
        texts[f"{table.key}.tex"] = to_latex(table)
        texts[f"{table.key}.csv"] = to_csv(table)
    for statement in reproduction.statements:
        texts[f"{statement.key}.md"] = statement_markdown(statement)
    for figure in reproduction.figures:
        if figure.key not in {statement.key for statement in reproduction.statements}:
            texts[f"{figure.key}.md"] = figure_markdown(figure)
    for name, content in texts.items():
        write_atomically(out / name, content)
    return [out / name for name in texts]


def statement_markdown(statement: Statement) -> str:
    """A theorem or proposition with its verdicts."""
    return "\n".join([f"# {statement.title}", "", *claims_markdown(statement.claims)])


def figure_markdown(figure: PaperFigure) -> str:
    """A figure with its caption and verdicts."""
    picture = f"![{figure.title}]({figure.png.name})"
    return "\n".join([f"# {figure.title}", "", picture, "", figure.caption, "", *claims_markdown(figure.claims)])


def write_index(reproduction: Reproduction, out: Path, results: Path) -> Path:
    """Write ``index.json``: everything but the records, which stay in ``results``."""
    document = asdict(replace(reproduction, results=()))
    del document["results"]
    for figure in document["figures"]:
        figure |= {kind: figure[kind].name for kind in ("png", "svg")}
    document["result_names"] = [r.name for r in reproduction.results]
    document["result_folder"] = str(results.relative_to(out) if results.is_relative_to(out) else results.resolve())
    path = out / INDEX
    write_atomically(path, json.dumps(document, indent=1) + "\n")
    return path


def load_reproduction(out: Path) -> Reproduction:
    """What `write_index` wrote, with its figures' paths and its results.

    Raises:
        HoldfastError: no index, a damaged one, or results that are missing or damaged.
    """
    from pydantic import TypeAdapter, ValidationError

    path = out / INDEX
    if not path.is_file():
        raise HoldfastError(f"{path} does not exist; make it with: holdfast reproduce all --out {out}.")
    try:
        document = json.loads(path.read_text())
        names, folder = document.pop("result_names"), out / document.pop("result_folder")
        found = TypeAdapter(Reproduction).validate_json(json.dumps(document))
    except (KeyError, ValueError, ValidationError):
        raise HoldfastError(f"{path} is not an index of holdfast, or is damaged; make it again.") from None
    figures = tuple(replace(figure, png=out / figure.png, svg=out / figure.svg) for figure in found.figures)
    return replace(found, figures=figures, results=_named(folder, names))


def _named(folder: Path, names: Sequence[str]) -> tuple[RunResult, ...]:
    results = {result.name: result for result in load_results(folder)} if names else {}
    missing = [name for name in names if name not in results]
    if missing:
        raise HoldfastError(f"{folder} lacks {', '.join(missing)}; restore them, or reproduce again.")
    return tuple(results[name] for name in names)
