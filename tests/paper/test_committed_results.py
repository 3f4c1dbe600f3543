"""The tables in docs/results and in the README are what the committed records give."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.paper.make import Request, reproduce

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "results"
FOLDERS = {"laptop": DOCS, "laptop-1": DOCS / "laptop-1"}
TARGETS = "table1,table2,table3"


@pytest.fixture(scope="module", params=["laptop", pytest.param("laptop-1", marks=pytest.mark.slow)])
def edition(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("rendered")
    reproduce(Request(TARGETS, out, results=ROOT / "results" / request.param), say=lambda text: None)
    return request.param, out


def test_the_documents(edition: tuple[str, Path]) -> None:
    name, rendered = edition
    made = {path.name: path.read_text() for path in rendered.glob("table*.md")}
    assert {f"{target}.md" for target in TARGETS.split(",")} <= made.keys()
    for file, text in made.items():
        wanted = f"holdfast reproduce all --results results/{name} rewrites {file}"
        assert (FOLDERS[name] / file).read_text() == text, wanted


def test_the_readme(edition: tuple[str, Path]) -> None:
    name, rendered = edition
    readme = (ROOT / "README.md").read_text()
    block = readme.split("<!-- headline: begin -->\n")[1].split("<!-- headline: end -->")[0]
    lines = (rendered / "headline.md").read_text().splitlines()
    assert (block.splitlines() == [line for line in lines if line.startswith("|")]) == (name == "laptop")
