"""What can be reproduced, and the runs that each needs. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import unknown_name
from holdfast.recipes import TABLE2, TABLE3, data_of
from holdfast.sweep.plan import DATASETS, PAPER_DATASETS, Plan

PICTURED: dict[str, tuple[str, str]] = {
    "figure3": ("trades", "fashion_mnist"),
    "figure6": ("mart", "fashion_mnist"),
    "figure7": ("mart", "cifar10"),
}
"""Base method and data set of the figures that show images. Figure 3 names neither: TRADES is where the paper's
gain is largest, Fashion-MNIST is what Figure 6 adds to."""
SCATTERED = {"figure2b": ("fashion_mnist",), "figure5": ("mnist", "cifar10")}
"""Data sets of the figures of Kendall's tau against its substitutes."""
NEEDS: dict[str, tuple[str, ...]] = {
    "table1": (),
    "table2": tuple(TABLE2),
    "table3": TABLE3,
    "figure1": (),
    "figure2a": (),
    "figure2b": TABLE3,
    "figure2c": (),
    **{figure: (base, f"{base}-igr") for figure, (base, _) in PICTURED.items()},
    "figure4": TABLE3,
    "figure5": TABLE3,
    "theorem1": (),
    "proposition1": (),
    "proposition2": (),
}
"""The methods behind each part."""
GROUPS = {"figure2": ("figure2a", "figure2b", "figure2c"), "all": tuple(sorted(NEEDS))}
TARGETS = (*sorted({*NEEDS, "figure2"}), "all")


def parts_of(target: str) -> tuple[str, ...]:
    """The parts of a target, or of several with commas, in the order of the paper's kinds: tables, figures, statements.

    Raises:
        HoldfastError: for an unknown target, with the nearest ones.

    >>> parts_of("figure2"), parts_of("table3,table1")
    (('figure2a', 'figure2b', 'figure2c'), ('table1', 'table3'))
    """
    parts: set[str] = set()
    for name in target.split(","):
        if name not in TARGETS:
            raise unknown_name("target", name, TARGETS)
        parts |= {*GROUPS.get(name, (name,))}
    return tuple(part for part in NEEDS if part in parts)


def default_datasets(profile: str) -> tuple[str, ...]:
    """The data sets of a profile: the paper's, as far as it has recipes for them (smoke: the digits).

    >>> default_datasets("laptop")
    ('mnist', 'fashion_mnist', 'cifar10')
    """
    return DATASETS.get(profile, PAPER_DATASETS)


def shown(wanted: Sequence[str], datasets: Sequence[str]) -> tuple[str, ...]:
    """Those of the ``wanted`` data sets that were chosen, or else the first chosen one in their place.

    A setup of a wanted data set (``fashion_mnist_01``) stands for it where it was not chosen itself.

    >>> shown(("mnist", "cifar10"), ("mnist", "fashion_mnist")), shown(("cifar10",), ("digits",))
    (('mnist',), ('digits',))
    >>> shown(("fashion_mnist",), ("mnist", "fashion_mnist_01"))
    ('fashion_mnist_01',)
    """
    found = []
    for name in wanted:
        of_it = [name] if name in datasets else [setup for setup in datasets if data_of(setup) == name]
        found += of_it[:1]
    return tuple(found) or tuple(datasets[:1])


def plans_of(parts: Sequence[str], profile: str, datasets: Sequence[str], seeds: Sequence[int]) -> list[Plan]:
    """The sweeps behind some parts; the figures that show images need the first seed alone.

    >>> [(plan.methods, plan.datasets) for plan in plans_of(["figure7"], "smoke", ["digits"], [0])]
    [(('mart', 'mart-igr'), ('digits',))]
    """
    plans = []
    for part in parts:
        chosen, some_seeds = tuple(datasets), tuple(seeds)
        if part in PICTURED:
            chosen, some_seeds = shown(PICTURED[part][1:], datasets), tuple(seeds[:1])
        elif part in SCATTERED:
            chosen = shown(SCATTERED[part], datasets)
        if NEEDS[part]:
            plans.append(Plan(NEEDS[part], chosen, some_seeds, profile))
    return plans
