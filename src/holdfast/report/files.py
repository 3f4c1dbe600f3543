"""Everything a comparison leaves on disk."""

from __future__ import annotations

from pathlib import Path

from holdfast.palette import run_colours
from holdfast.report.figures import attribution_figure
from holdfast.report.formats import to_markdown
from holdfast.report.images import to_png_bytes
from holdfast.report.model import Comparison
from holdfast.report.page import write_page
from holdfast.report.tables import build_table


def write_report(comparison: Comparison, out: Path) -> Path:
    """Write ``report.html``, ``table.md`` and, when images are pictured, ``attributions.png``; the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(to_markdown(build_table(comparison)))
    if comparison.examples:
        by_run = run_colours([row.run for row in comparison.rows])
        colours = {row.name: by_run[row.run] for row in comparison.rows}
        figure = attribution_figure(comparison.examples, list(colours), comparison.k, colours)
        (out / "attributions.png").write_bytes(to_png_bytes(figure, dpi=110))
    return write_page(comparison, out / "report.html")
