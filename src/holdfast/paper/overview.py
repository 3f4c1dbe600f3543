"""The whole reproduction as one document: the answer, the forest plot, whose claims hold, and all that is behind."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import torch

import holdfast
from holdfast.errors import HoldfastError
from holdfast.palette import COLOURS
from holdfast.paper.claims import ATTACKED, BASES, FOUND, OURS, PROVED, ROBUSTNESS, WITH_IGR, effects_of, gains
from holdfast.paper.facts import outcome, reductions, rows_again
from holdfast.paper.losses import table1
from holdfast.paper.statements import DRAWINGS, STATEMENTS, statements
from holdfast.paper.study import Study
from holdfast.paper.study_figures import TITLES_OF, draw
from holdfast.paper.tables import TABLES, self_checks
from holdfast.recipes import PROFILES, TITLES
from holdfast.report.claim import VERDICTS, Claim, Effect
from holdfast.report.comparison import curves_of
from holdfast.report.document import Block, Claims, Code, Document, Facts, Figure, Section, Words
from holdfast.report.figures import curves_figure, figure_of, forest_figure
from holdfast.report.quantities import QUANTITIES, heading
from holdfast.report.settings import by_dataset, settings_tables
from holdfast.report.table import Table
from holdfast.report.words import counted, dataset_title, duration, listed

GAINS = "What IGR adds, ours and the paper's"
ACCURACY_GAINS = "What IGR adds to accuracy, ours and the paper's"


def overview(study: Study, parts: Sequence[str], commands: Sequence[str] = ()) -> Document:
    """Make every part; what cannot be made is named with its reason."""
    tables = [table for part in parts if part in TABLES for table in TABLES[part](study)]
    activation = next((table.claims for table in tables if table.key == "figure4-numbers"), ())
    figures = statements(study, [key for key in DRAWINGS if key in parts])
    left_out = []
    for key in (key for key in TITLES_OF if key in parts):
        try:
            figures.append(draw(study, key, activation))
        except HoldfastError as reason:
            left_out.append((TITLES_OF[key], str(reason)))
    figures = sorted(figures, key=lambda figure: figure.key)
    figures += statements(study, [key for key in STATEMENTS if key in parts])
    first = [table1(study.profile, study.datasets)] if "table1" in parts else []
    claims = list(dict.fromkeys([c for table in tables for c in table.claims] + [c for f in figures for c in f.claims]))
    effects = _effects(study, ROBUSTNESS, " under IFIA") if "table2" in parts else {}
    accuracies = _effects(study, ("natural", *ATTACKED), " accuracy") if "table3" in parts else {}
    sections = [
        *_forest(GAINS, "gains", effects),
        *_claims(claims),
        *_forest(ACCURACY_GAINS, "gains-accuracy", accuracies, folded=True),
        Section("Tables", (*first, *tables), True, _counted([*first, *tables], "table")),
        Section("Figures, theorem and propositions", tuple(figures), True, _counted(figures, "figure")),
        *_behind(study, commands),
    ]
    return Document(
        f"The paper, made again: {listed(map(dataset_title, study.datasets))}",
        _answer(study, claims, [effect for panel in effects.values() for effect in panel]),
        tuple(section for section in sections if section.blocks),
        _facts(study),
        _schedule(study),
        tuple(left_out),
    )


def _counted(blocks: Sequence[Table | Figure], word: str) -> str:
    claims = len({claim for block in blocks for claim in block.claims})
    return counted(len(blocks), word) + (f", {counted(claims, 'claim')}" if claims else "")


def _effects(study: Study, keys: Sequence[str], under: str) -> dict[str, list[Effect]]:
    """What IGR adds to each base, a panel a data set and quantity."""
    found = {}
    for dataset in study.datasets:
        for key in keys:
            unit = " (points)" if QUANTITIES[key].percent else ""
            title = f"{dataset_title(dataset)}: {heading(key, study.k(dataset))}{under}{unit}"
            found[title] = effects_of(study, gains(dataset, key))
    return found


def _forest(title: str, key: str, effects: dict[str, list[Effect]], folded: bool = False) -> list[Section]:
    if not any(effect.found for panel in effects.values() for effect in panel):
        return []
    said = "; ".join(f"{title}: {', '.join(f'{e.label} {e.value}' for e in panel)}" for title, panel in effects.items())
    caption = (
        "The difference that the regulariser makes to each base, image by image over the seeds that both have. Filled: "
        "the interval lies on one side of 0. Diamonds: the difference of the paper's two numbers, on its full schedule."
    )
    figure = figure_of(forest_figure(effects), key, title, caption, f"Forest plot. {said}")
    return [Section(title, (figure,), folded)]


def _claims(claims: Sequence[Claim]) -> list[Section]:
    """Whose they are, each with the clearest open."""
    found = []
    for whose in dict.fromkeys([FOUND, PROVED, OURS, *(claim.whose for claim in claims)]):
        own = tuple(claim for claim in claims if claim.whose == whose)
        if own:
            found.append(Section(whose, (Claims(own, shown=3 if whose == FOUND else 1),)))
    return found


def _answer(study: Study, claims: Sequence[Claim], effects: Sequence[Effect]) -> str:
    """In one sentence: how often IGR helped, and what became of the claims."""
    said = []
    measured = [effect for effect in effects if effect.found is not None]
    if measured:
        sure = [effect for effect in measured if effect.decisive]
        up = sum(effect.above(0.0) for effect in sure)
        down = sum(e.found is not None and e.found.side < 0 for e in sure)
        said.append(
            f"of {counted(len(measured), 'gain')} of IGR in top-k and Kendall's τ under IFIA, {up} lie clearly above "
            f"0, {down} below, and {len(measured) - up - down} cannot be told"
        )
    if claims:
        holds, fails, open_ = (sum(claim.verdict == verdict for claim in claims) for verdict in VERDICTS)
        said.append(
            f"of {counted(len(claims), 'claim')} tested, {holds} hold, {fails} do not, and {open_} cannot be told"
        )
    if not said and study.results:
        return "No claim rests on these parts."
    if not said:
        return "Nothing has been run yet, so there is nothing to say."
    schedule = "" if study.profile == "paper" else f", under the reduced schedule {study.profile}"
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}{schedule}."


def _facts(study: Study) -> tuple[str, ...]:
    runs = study.results
    facts = [f"profile {study.profile}"]
    if study.seeds:
        facts.append(f"seed{'' if len(study.seeds) == 1 else 's'} {listed(study.seeds)}")
    if runs:
        devices = sorted({str(run.training["device"]) for run in runs if "device" in run.training})
        seconds = sum(run.training.get("seconds", 0.0) for run in runs)
        facts.append(f"{counted(len(runs), 'run')} of {counted(len({r.method for r in runs}), 'method')}")
        facts.append(f"{duration(seconds)} of training{f' on {listed(devices)}' if devices else ''}")
    return tuple(facts)


def _schedule(study: Study) -> tuple[str, ...]:
    said = []
    if study.profile != "paper":
        about = (PROFILES[study.profile].__doc__ or "").strip() if study.profile in PROFILES else ""
        how = f": {about[0].lower()}{about[1:]}" if about else "."
        said.append(
            f"This is not the paper's schedule. The profile {study.profile} is a reduced one, the same for all "
            f"rows{how} Compare the rows with each other: a difference from the paper's number may come from the "
            "schedule alone."
        )
    if "digits" in study.datasets:
        said.append("The digits are no data set of the paper: every setting on them is ours.")
    return tuple(said)


def _behind(study: Study, commands: Sequence[str]) -> list[Section]:
    """Training, settings, self-checks, commands and versions."""
    runs = study.results
    reduced: dict[str, list[str]] = {}
    for dataset, own in by_dataset(runs).items():
        reduced.setdefault(reductions(own[0]), []).append(dataset_title(dataset))
    shortened = [(listed(names), text) for text, names in reduced.items() if text]
    checks: list[Block] = [Words(tuple(found), listed=True) for found in self_checks(runs)]
    again: list[Block] = [Code(tuple(commands))] if commands else []
    versions = {"holdfast": holdfast.__version__, "torch": torch.__version__, "python": platform.python_version()}
    trained = dict.fromkeys(f"{r.training['device']}, torch {r.training['torch']}" for r in runs)
    versions |= {"trained on": "; ".join(trained)} if trained else {}
    return [
        Section("Training", (*_curves(study), *([Facts(tuple(map(outcome, runs)))] if runs else [])), True),
        Section(
            "Settings",
            (*([Facts(tuple(shortened))] if shortened else []), *settings_tables(runs)),
            True,
            "each with where it comes from",
        ),
        Section("Self-checks", tuple(checks), True, f"what {counted(len(runs), 'evaluation')} say of themselves"),
        Section("Make it again", (*again, *rows_again(runs)), True),
        Section("Versions", (Facts(tuple(versions.items())),), True),
    ]


def _curves(study: Study) -> list[Figure]:
    """Loss, accuracies and cosine of the bases with and without IGR, a figure a data set."""
    found = []
    colours = {TITLES[m]: COLOURS[i % 3] for methods in (BASES, WITH_IGR) for i, m in enumerate(methods)}
    for dataset in study.datasets:
        runs = {
            TITLES[m]: run
            for m in (*BASES, *WITH_IGR)
            for run in study.of(dataset, m)
            if run.seed == study.seeds[0] and run.log
        }
        curves = curves_of({name: run.log for name, run in runs.items()})
        shown = {title: lines for title, lines in curves.items() if not title.startswith("loss: ")}
        if shown:
            title = f"{dataset_title(dataset)}, seed {study.seeds[0]}"
            drawing = curves_figure(shown, {name: colours[name] for name in runs})
            caption = f"{listed(shown)} over the training steps."
            found.append(
                figure_of(drawing, f"training-{dataset}", title, caption, f"Training curves of {listed(runs)}")
            )
    return found
