"""Quadrature rules on [0, 1] for the path integral of integrated gradients. No torch here: configurations import it."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from holdfast.errors import HoldfastError, unknown_name
from holdfast.validate import check_count

Method = Literal["riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid", "gausslegendre"]


def path_rule(method: Method, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes ``alpha`` and weights ``w`` with ``sum(w) = 1``, both float64 of shape (n_steps,).

    The paper's Eq. 4 is ``riemann_right``. The trapezoid weights sum to one; Captum's (up to 0.9) sum to
    ``1 - 1 / n_steps`` and so miss completeness by that share.

    >>> path_rule("riemann_right", 4)[0].tolist()
    [0.25, 0.5, 0.75, 1.0]
    >>> path_rule("riemann_trapezoid", 3)[1].tolist()
    [0.25, 0.5, 0.25]
    """
    if method not in get_args(Method):
        raise unknown_name("quadrature method", str(method), get_args(Method))
    check_count("n_steps", n_steps)
    even = np.full(n_steps, 1 / n_steps)
    k = np.arange(n_steps)
    match method:
        case "riemann_left":
            return k / n_steps, even
        case "riemann_right":
            return (k + 1) / n_steps, even
        case "riemann_middle":
            return (k + 0.5) / n_steps, even
        case "riemann_trapezoid":
            if n_steps < 2:
                raise HoldfastError("riemann_trapezoid needs n_steps of at least 2; got 1.")
            weights = np.full(n_steps, 1 / (n_steps - 1))
            weights[[0, -1]] /= 2
            return k / (n_steps - 1), weights
        case "gausslegendre":
            nodes, weights = np.polynomial.legendre.leggauss(n_steps)
            return (nodes + 1) / 2, weights / 2
