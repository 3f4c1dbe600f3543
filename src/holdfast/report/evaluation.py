"""The page of one evaluation: its table, every number behind it, the settings and the warnings."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from holdfast.evaluate.protocol import leaves
from holdfast.evaluate.result import EvaluationResult
from holdfast.files import make_folder, write_atomically
from holdfast.parts import to_plain

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}"
    "div{overflow-x:auto}table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:right;"
    "border-bottom:1px solid #ccc}th{text-align:left}aside{border-left:4px solid #c60;padding:.1rem 1rem;margin:1rem 0}"
)


def write_evaluation(result: EvaluationResult, path: Path) -> Path:
    """Write the page of an evaluation to ``path``; returns it."""
    make_folder(path.parent)
    write_atomically(path, evaluation_page(result))
    return path


def evaluation_page(result: EvaluationResult) -> str:
    """One HTML text that needs nothing else. Names from data and models are escaped."""
    title = f"{result.name} on {result.subject['data']}"
    warnings = "".join(f"<aside>{escape(text)}</aside>" for text in result.warnings)
    facts = {**result.subject, **result.environment}
    settings = leaves(to_plain(result.protocol))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{warnings}"
        f"<div>{result.table().to_html(escape=True, border=0)}</div>"
        f"<p>{escape(result.counts)}.</p>"
        "<p>Means over images; a failed attack counts as 1.0. worst: the strongest attack for each image.</p>"
        f"<details><summary>Every number with its 95 % interval</summary><div>{_numbers(result)}</div></details>"
        f"<details><summary>Settings</summary><div>{_listed(settings)}</div></details>"
        f"<details><summary>Model, images and environment</summary><div>{_listed(facts)}</div></details>"
        "</body></html>\n"
    )


def _numbers(result: EvaluationResult) -> str:
    frame = result.to_frame().drop(columns=["metric"])
    return str(frame.to_html(escape=True, border=0, index=False, float_format="{:.4f}".format, na_rep=""))


def _listed(pairs: dict[str, Any]) -> str:
    rows = "".join(f"<tr><th>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in pairs.items())
    return f"<table>{rows}</table>"
