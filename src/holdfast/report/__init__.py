"""Tables, claims, figures and pages made from finished numbers; `examples` alone runs a network."""

from holdfast.report.claim import Claim, Effect, Verdict, judge
from holdfast.report.comparison import compare_results
from holdfast.report.document import Claims, Code, Document, Facts, Figure, Section, Words
from holdfast.report.explained import results_table
from holdfast.report.figures import Curve, curves_figure, figure_of, forest_figure
from holdfast.report.pictures import AttackedView, ExampleView, attribution_figure
from holdfast.report.table import Column, Row, Table
from holdfast.report.terminal import print_document
from holdfast.report.write import write_files

__all__ = [
    "AttackedView",
    "Claim",
    "Claims",
    "Code",
    "Column",
    "Curve",
    "Document",
    "Effect",
    "ExampleView",
    "Facts",
    "Figure",
    "Row",
    "Section",
    "Table",
    "Verdict",
    "Words",
    "attribution_figure",
    "compare_results",
    "curves_figure",
    "figure_of",
    "forest_figure",
    "judge",
    "print_document",
    "results_table",
    "write_files",
]
