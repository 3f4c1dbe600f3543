"""The comparison as one HTML file that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from holdfast.errors import HoldfastError
from holdfast.palette import run_colours
from holdfast.report.curves import curves_figure
from holdfast.report.figures import attribution_figure
from holdfast.report.images import data_uri, to_png_bytes, to_svg
from holdfast.report.model import Comparison, Setting
from holdfast.report.tables import build_table
from holdfast.report.tiles import build_tiles
from holdfast.report.verdict import judge


def render_page(comparison: Comparison) -> str:
    """The page as HTML text: style and figures inline, no script, nothing fetched from elsewhere."""
    environment = Environment(
        loader=PackageLoader("holdfast.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    colours = run_colours(row.run for row in comparison.rows)
    return environment.get_template("comparison.html.j2").render(
        comparison=comparison,
        verdict=judge(comparison),
        tiles=build_tiles(comparison),
        table=build_table(comparison),
        colours=colours,
        models=_pictured(comparison),
        attributions=_attributions(comparison, colours),
        curves=_curves(comparison, colours),
        settings=_grouped(comparison.settings),
    )


def write_page(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write the page to ``path``, making its folder; an older page stays until the new one is whole.

    Returns the path. Raises HoldfastError where the file cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise HoldfastError(f"{target} is a folder; give the page a file name, such as {target / 'report.html'}")
    text = render_page(comparison)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, target)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise HoldfastError(f"cannot write the page to {target}: {error.strerror}") from error
    return target


def _pictured(comparison: Comparison) -> list[str]:
    return [row.name for row in comparison.rows if any(row.name in e.views for e in comparison.examples)]


def _attributions(comparison: Comparison, colours: dict[str, str]) -> str | None:
    models = _pictured(comparison)
    if not models:
        return None
    headings = {row.name: colours[row.run] for row in comparison.rows if row.name in models}
    figure = attribution_figure(comparison.examples, models, comparison.k, headings)
    return data_uri(to_png_bytes(figure))


def _curves(comparison: Comparison, colours: dict[str, str]) -> str | None:
    if not any(comparison.curves.values()):
        return None
    names = {row.run: row.name for row in comparison.rows}
    return data_uri(to_svg(curves_figure(comparison.curves, colours, names)))


def _grouped(settings: Iterable[Setting]) -> list[tuple[str, list[Setting]]]:
    ordered = list(settings)
    groups = list(dict.fromkeys(setting.group for setting in ordered))
    ordered.sort(key=lambda setting: groups.index(setting.group))
    return [(name, list(part)) for name, part in groupby(ordered, key=lambda setting: setting.group)]
