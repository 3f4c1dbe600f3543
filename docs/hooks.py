"""What the site adds to these files: pages of tutorials and of the API, typeset mathematics, plain links."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from notebooks import cells_of  # noqa: E402

NAMES = re.findall(
    r"\w+",
    "attacks attribution audit certify data errors evaluate metrics models objectives parts recipes report results "
    "sweep torchmetrics train",
)
ROOMS = {**{name: f"holdfast.{name}" for name in NAMES}, "theory": "holdfast.paper.theory"}
EDITIONS = (
    ("Three data sets, the strongest attack", "", "laptop"),
    ("First edition, tables alone: all rivals, three seeds, a shorter schedule", "laptop-1/", "laptop-1"),
)
"""Headings of the editions of the results, their folders below docs/results, and those of their records."""
FENCE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: Any) -> Files:
    """Pages that are made: one a tutorial, one a room of the package, and the list of the paper's results."""
    pages = {f"api/{page}.md": f"# {module}\n\n::: {module}\n" for page, module in ROOMS.items()}
    for script in sorted((HERE / "tutorials").glob("*.py")):
        pages[f"tutorials/{script.stem}.md"] = page_of(script)
    pages["results/index.md"] = results_page()
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def page_of(script: Path) -> str:
    """A percent script as Markdown."""
    cells = cells_of(script.read_text())
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells]
    heading, *rest = parts
    name = script.stem
    return (
        "\n\n".join([heading, f"Run it: `docs/tutorials/{name}.py`, or [as a notebook]({name}.ipynb).", *rest]) + "\n"
    )


def results_page() -> str:
    """Links to the committed tables, figures and theorems, by their own headings; the latest edition first."""
    parts = ["# Results\n\nEach edition is made from committed records."]
    for title, folder, records in EDITIONS:
        found = sorted((HERE / "results" / folder).glob("*.md"))
        links = [f"- [{p.read_text().splitlines()[0].lstrip('# ')}]({folder}{p.name})" for p in found]
        command = f"`holdfast reproduce all --results results/{records}`"
        parts.append("\n".join([f"## {title}\n\nMade by {command}.\n", *links]))
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fences without the mark that tests read, links out of this folder as paths, mathematics as MathML."""
    markdown = re.sub(r"^( *```\w+) skip: .*$", r"\1", markdown, flags=re.MULTILINE)
    pieces = FENCE.split(markdown)
    return "".join(piece if i % 2 else _typeset(_plain_links(piece)) for i, piece in enumerate(pieces))


def _plain_links(text: str) -> str:
    return re.sub(r"\[([^]]+)\]\(\.\./((?!tutorials|api|results/index)[^)]+)\)", r"\1 (`\2`)", text)


def _typeset(text: str) -> str:
    text = re.sub(r"\$\$(.+?)\$\$", lambda m: convert(m[1].strip(), display="block"), text, flags=re.DOTALL)
    return re.sub(r"\$([^$\n]+)\$", lambda m: convert(m[1]), text)
