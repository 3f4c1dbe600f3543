"""Everything that keeps a GPU busy, switched on at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.attacks.graphs import cuda_graphs
from holdfast.attribution.compiled import compiled_gradients
from holdfast.config import Acceleration


@contextmanager
def accelerated(how: Acceleration) -> Iterator[None]:
    """Inside, what ``how`` asks for is on."""
    with cuda_graphs(how.cuda_graphs), compiled_gradients(how.compile):
        yield
