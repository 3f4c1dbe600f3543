"""One thread a test process, so that parallel workers do not fight over the cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
