"""The tables in docs/results and in the README are what the committed records give."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.paper.make import Request, reproduce

ROOT = Path(__file__).parents[2]
RESULTS, DOCS = ROOT / "results" / "laptop", ROOT / "docs" / "results"
TARGETS = ("table1", "table2", "table3")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered")
    for target in TARGETS:
        reproduce(Request(target, out, results=RESULTS), say=lambda text: None)
    return out


def test_the_documents(rendered: Path) -> None:
    made = {path.name: path.read_text() for path in rendered.glob("table*.md")}
    assert {f"{target}.md" for target in TARGETS} <= made.keys()
    for name, text in made.items():
        assert (DOCS / name).read_text() == text, f"holdfast reproduce all --results results/laptop rewrites {name}"


def test_the_readme(rendered: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    block = readme.split("<!-- headline: begin -->\n")[1].split("<!-- headline: end -->")[0]
    lines = (rendered / "headline.md").read_text().splitlines()
    assert block.splitlines() == [line for line in lines if line.startswith("|")]
