"""Tables, figures and the page made from finished numbers; nothing here runs a network."""

from holdfast.palette import run_colours
from holdfast.report.curves import curves_figure
from holdfast.report.figures import attribution_figure
from holdfast.report.files import write_report
from holdfast.report.formats import to_csv, to_latex, to_markdown
from holdfast.report.images import data_uri, to_png_bytes, to_svg
from holdfast.report.model import (
    AttackedView,
    Chance,
    Comparison,
    Curve,
    Estimate,
    ExampleView,
    Row,
    Setting,
)
from holdfast.report.page import render_page, write_page
from holdfast.report.tables import Table, build_table
from holdfast.report.terminal import print_table, to_rich
from holdfast.report.verdict import Verdict, judge

__all__ = [
    "AttackedView",
    "Chance",
    "Comparison",
    "Curve",
    "Estimate",
    "ExampleView",
    "Row",
    "Setting",
    "Table",
    "Verdict",
    "attribution_figure",
    "build_table",
    "curves_figure",
    "data_uri",
    "judge",
    "print_table",
    "render_page",
    "run_colours",
    "to_csv",
    "to_latex",
    "to_markdown",
    "to_png_bytes",
    "to_rich",
    "to_svg",
    "write_page",
    "write_report",
]
