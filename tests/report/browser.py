"""A page as headless Chromium lays it out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
WIDTHS = (390, 768, 1280)


def sideways(page: str, width: int, folder: Path, *, opened: bool = False) -> int:
    """By how many pixels a page is wider than a window of ``width``, with all that is folded ``opened`` or not."""
    assert CHROMIUM is not None
    (folder / "page.html").write_text(page.replace("<details", "<details open") if opened else page)
    (folder / "frame.html").write_text(
        f"<iframe id=f src=page.html width={width} height=900></iframe><script>onload = () => {{ const d = document."
        "getElementById('f').contentDocument.documentElement; document.title = d.scrollWidth - d.clientWidth }</script>"
    )
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    command += ["--window-size=1400,900", f"--user-data-dir={folder / 'profile'}", f"file://{folder}/frame.html"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    return int(found.split("<title>")[1].split("</title>")[0])
