"""TensorBoard's event files from a run's metrics.jsonl: ``python examples/to_tensorboard.py RUN``.

For Weights & Biases put ``wandb.log({name: value}, step=step)`` in the place of ``add_scalar``.
"""

import json
import sys
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


def main(run: str | Path) -> int:
    """Write ``RUN/tensorboard``; returns how many numbers it holds."""
    written = 0
    with SummaryWriter(str(Path(run) / "tensorboard")) as writer:
        for step, line in enumerate((Path(run) / "metrics.jsonl").read_text().splitlines()):
            for name, value in json.loads(line).items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    writer.add_scalar(name, value, step)
                    written += 1
    return written


if __name__ == "__main__":
    print(main(sys.argv[1]), "numbers written")
