"""Training runs in folders."""

from holdfast.train.folder import RunFolder, read_metrics
from holdfast.train.loop import Report, train

__all__ = ["Report", "RunFolder", "read_metrics", "train"]
