"""``holdfast data prepare|list|info``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.cli.parse import parse, take_name
from holdfast.data.manage import available, describe, prepare
from holdfast.errors import unknown_name

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
    image_size: int | None = None
    """Scale the images and crop their centre to a square of this many pixels."""
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
        console.print(_listing(available(*where)))
    elif action == "prepare":
        _print_splits(console, prepare(name, *where, **form))
    else:
        rows = describe(name, *where, **form)
        _print_splits(console, rows)
        for row in rows:
            console.print(
                f"{row['split']}: mean {_numbers(row['mean'])}, std {_numbers(row['std'])}, "
                f"sha256 {row['sha256'][:16]}…, "
                f"images a class: {', '.join(f'{c} {n}' for c, n in row['counts'].items())}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{v:.4f}" for v in values)


def _listing(rows: list[dict]) -> Table:
    table = Table(title="Data sets", title_justify="left")
    for heading in ("name", "title", "images (train/val/test)", "shape", "from", "cached"):
        table.add_column(heading)
    for row in rows:
        origin = "in the package" if row["shipped"] else row["found"] or f"Hub: {row['hub_id']}"
        sizes = "/".join(str(n) for n in row["images"].values())
        table.add_row(
            row["name"], row["title"], sizes, "×".join(map(str, row["shape"])), origin, " ".join(row["cached"])
        )
    return table


def _print_splits(console: Console, rows: list[dict]) -> None:
    console.print(_splits(rows))
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _splits(rows: list[dict]) -> Table:
    table = Table(
        title=escape(rows[0]["name"]), title_justify="left", caption=escape(rows[0]["source"]), caption_justify="left"
    )
    for heading in ("split", "images", "shape", "classes", "seconds", "cache"):
        table.add_column(heading)
    for row in rows:
        shape = "×".join(map(str, row["shape"]))
        table.add_row(
            row["split"],
            str(row["images"]),
            shape,
            str(row["classes"]),
            f"{row['seconds']:.1f}",
            str(row["cache"] or "—"),
        )
    return table
