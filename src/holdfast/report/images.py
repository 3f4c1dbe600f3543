"""Figures as bytes and as data URIs that a page can hold."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_png_bytes(figure: Figure, dpi: int = 200) -> bytes:
    """The figure as PNG at ``dpi`` dots an inch; equal figures give equal bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return out.getvalue()


def to_svg(figure: Figure) -> str:
    """The figure as SVG, text as outlines; equal figures give equal text."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "holdfast", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", facecolor="white", metadata={"Date": None})
    return out.getvalue()


def data_uri(content: bytes | str) -> str:
    """PNG bytes or SVG text as a ``data:`` URI.

    >>> data_uri("<svg/>")
    'data:image/svg+xml;base64,PHN2Zy8+'
    """
    kind = "svg+xml" if isinstance(content, str) else "png"
    raw = content.encode() if isinstance(content, str) else content
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode('ascii')}"
