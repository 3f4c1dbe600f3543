"""The pages of an audit and of a comparison are no wider than their window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import holdfast as hf
from holdfast.audit.compare_page import comparison_document
from holdfast.audit.page import document_of
from holdfast.audit.result import AuditResult
from tests.report.browser import WIDTHS, needs_chromium, sideways

pytestmark = [pytest.mark.slow, needs_chromium]
LONG = "resnet" * 20


@pytest.mark.parametrize("width", WIDTHS)
def test_no_sideways_scrolling(result: AuditResult, tmp_path: Path, width: int) -> None:
    named = replace(result, model=LONG, data=LONG, classes=(LONG, f"b{LONG}", f"c{LONG}"))
    for document in (document_of(named), comparison_document(hf.compare_audits(result, named))):
        assert sideways(document.to_html(), width, tmp_path, opened=True) == 0
