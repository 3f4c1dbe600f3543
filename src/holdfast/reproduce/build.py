"""The parts of a reproduction, made from a study."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import torch

import holdfast
from holdfast.errors import HoldfastError
from holdfast.reproduce.files import write_figure
from holdfast.reproduce.losses import table1
from holdfast.reproduce.model import LeftOut, Reproduction
from holdfast.reproduce.statements import DRAWINGS, STATEMENTS, drawings, statement
from holdfast.reproduce.study import Study
from holdfast.reproduce.study_figures import TITLES_OF, draw
from holdfast.reproduce.tables import activation_table, table2, table3


def build(study: Study, parts: Sequence[str], commands: Sequence[str] = ()) -> Reproduction:
    """Make every part; figures are written under ``study.out``, what cannot be made is named with its reason.

    Raises:
        HoldfastError: a file that cannot be written.
    """
    tables = [*(table2(study) if "table2" in parts else []), *(table3(study) if "table3" in parts else [])]
    activation = activation_table(study) if "figure4" in parts else None
    if activation:
        tables.append(activation)
    statements = [statement(study, key) for key in STATEMENTS if key in parts]
    figures = drawings(study, [key for key in DRAWINGS if key in parts])
    left_out = []
    for key in (key for key in TITLES_OF if key in parts):
        try:
            drawn = draw(study, key, activation)
        except HoldfastError as reason:
            left_out.append(LeftOut(key, TITLES_OF[key], str(reason)))
        else:
            figures.append(write_figure(drawn.figure, study.out, key, TITLES_OF[key], drawn.caption, drawn.claims))
    return Reproduction(
        profile=study.profile,
        datasets=study.datasets,
        seeds=study.seeds,
        tables=tuple(tables),
        figures=(*sorted(figures, key=lambda figure: figure.key), *(figure for _, figure in statements)),
        statements=tuple(made for made, _ in statements),
        results=study.results,
        environment=_environment(study),
        commands=tuple(commands),
        texts=(table1(study.profile, study.datasets),) if "table1" in parts else (),
        left_out=tuple(left_out),
    )


def _environment(study: Study) -> dict[str, str]:
    """The versions that rendered, and the devices and versions that the runs were trained with."""
    found = {"holdfast": holdfast.__version__, "torch": torch.__version__, "python": platform.python_version()}
    trained = dict.fromkeys(f"{r.training['device']}, torch {r.training['torch']}" for r in study.results)
    return found | ({"trained on": "; ".join(trained)} if trained else {})
