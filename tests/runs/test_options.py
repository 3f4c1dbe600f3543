"""What options take, as help says it and as a wrong value is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from holdfast.cli.parse import parse
from holdfast.errors import HoldfastError


@dataclass(frozen=True)
class Options:
    """Every kind of option that may be None, and two that may not."""

    k: int | None = None
    size: int | tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    out: str | None = None
    budget: Literal["quick", "standard"] | None = "quick"
    images: int = 20
    share: float = 0.5


def parsed(*words: str) -> Options:
    return parse(Options(), words, "audit", "")


def test_an_option_that_may_be_none_takes_its_other_types_and_none() -> None:
    given = parsed("--k", "3", "--size", "8", "9", "--mean", "0.5", "1", "--out", "here", "--budget", "None")
    assert given == Options(3, (8, 9), (0.5, 1.0), "here", None)
    assert parsed("--size", "8").size == 8
    assert parsed("--k", "None", "--size", "None", "--mean", "None", "--out", "None") == Options()


def test_help_shows_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--help")
    shown = capsys.readouterr().out
    for line in ("--k INT ", "--size INT|{INT INT} ", "--mean [FLOAT [FLOAT ...]] ", "--out STR "):
        assert line in shown
    assert "--budget {None,quick,standard}" in shown, "None is a choice of its own there"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--k", "few"), "--k: 'few' is not a whole number."),
        (("--images", "1.5"), "--images: '1.5' is not a whole number."),
        (("--share", "half"), "--share: 'half' is not a number."),
        (("--size", "8", "9", "10"), "--size: '8', '9', '10' does not fit INT|{INT INT}."),
        (("--mean", "0.5", "half"), "--mean: '0.5', 'half' does not fit."),
        (("--budget", "huge"), "invalid choice 'huge' for argument '--budget'."),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_plain_words(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        parsed(*words)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
