"""Training runs in folders."""

from holdfast.train.config import DataConfig, OptimConfig, TrainConfig
from holdfast.train.folder import Report, RunFolder, read_metrics
from holdfast.train.loop import train

__all__ = ["DataConfig", "OptimConfig", "Report", "RunFolder", "TrainConfig", "read_metrics", "train"]
