"""``holdfast data prepare|list|info``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from holdfast.cli.parse import parse, take_name
from holdfast.data.manage import available, describe, prepare
from holdfast.errors import unknown_name
from holdfast.report.terminal import print_listing

ACTIONS = {
    "list": "the known data sets and where each would come from",
    "prepare": "decode and cache a data set: holdfast data prepare NAME",
    "info": "sizes, classes, means and checksums: holdfast data info NAME",
}


@dataclass(frozen=True)
class DataOptions:
    data_dir: str | None = None
    """Where data sets lie (before HOLDFAST_DATA and the Hub)."""
    cache_dir: str | None = None
    """Where decoded data sets are kept; HOLDFAST_CACHE or ~/.cache/holdfast by default."""
    image_size: int | tuple[int, int] | None = None
    """Height and width, or one number for both, that images are scaled and cropped to."""
    strict: bool = False
    """Refuse a data set with files that cannot be read."""


def run(argv: Sequence[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: holdfast data ACTION [NAME] [--data-dir DIR] [--cache-dir DIR]\n")
        print("\n".join(f"  {name:8s} {text}" for name, text in ACTIONS.items()))
        return
    action, rest = argv[0], list(argv[1:])
    if action not in ACTIONS:
        raise unknown_name("action", action, ACTIONS)
    name = ""
    if action != "list":
        name, rest = take_name(rest, "the data set", f"data {action}", "mnist")
    options = parse(DataOptions(), rest, f"data {action}", ACTIONS[action])
    where = (options.data_dir, options.cache_dir)
    form: dict[str, Any] = {"image_size": options.image_size, "strict": options.strict}
    console = Console()
    if action == "list":
        _print_listing(console, available(*where))
    elif action == "prepare":
        _print_splits(console, prepare(name, *where, **form))
    else:
        rows = describe(name, *where, **form)
        _print_splits(console, rows)
        for row in rows:
            console.print(
                f"{row['split']}: mean {_numbers(row['mean'])}, std {_numbers(row['std'])}, "
                f"sha256 {row['sha256']}, "
                f"images a class: {', '.join(f'{c} {n}' for c, n in row['counts'].items())}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{v:.4f}" for v in values)


def _print_listing(console: Console, rows: list[dict[str, Any]]) -> None:
    listed = []
    for row in rows:
        origin = "in the package" if row["shipped"] else row["found"] or f"Hub: {row['hub_id']}"
        sizes, shape = "/".join(map(str, row["images"].values())), "×".join(map(str, row["shape"]))
        listed.append((row["name"], row["title"], sizes, shape, str(origin), " ".join(row["cached"])))
    print_listing("Data sets", ("name", "title", "images (train/val/test)", "shape", "from", "cached"), listed, console)


def _print_splits(console: Console, rows: list[dict[str, Any]]) -> None:
    listed = [
        (
            row["split"],
            str(row["images"]),
            "×".join(map(str, row["shape"])),
            str(row["classes"]),
            f"{row['seconds']:.1f}",
            str(row["cache"] or "—"),
        )
        for row in rows
    ]
    headings = ("split", "images", "shape", "classes", "seconds", "cache")
    print_listing(f"{rows[0]['name']} ({rows[0]['source']})", headings, listed, console)
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        console.print(note, markup=False, highlight=False, soft_wrap=True)
