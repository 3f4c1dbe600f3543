"""Measure what holds: accuracies and attributions under attack, from per-image records."""

from holdfast.evaluate.run import evaluate
from holdfast.evaluate.summary import Interval, Summary

__all__ = ["Interval", "Summary", "evaluate"]
