"""Campaigns that run as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def campaign(module: str, *options: str) -> dict[str, Any]:
    """What ``python -m tests.reliability.MODULE`` printed, which must end well."""
    command = [sys.executable, "-m", f"tests.reliability.{module}", *options]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
