"""How the tests start two processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
NOT_FINITE = r"the loss is not finite|the gradient at image \d+ of the batch is NaN"
"""Which of the two is met first depends on the machine's arithmetic."""
PATIENCE = 300
"""Seconds for two processes on a machine that has other work."""
