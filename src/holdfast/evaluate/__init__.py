"""Measure what holds: accuracies and attributions under attack, from per-image records.

The room is called like its function, and so it can be: ``hf.evaluate(model, data)``.
"""

from holdfast.evaluate.cost import protocol_cost
from holdfast.evaluate.protocol import Protocol, name_of, part_named
from holdfast.evaluate.result import EvaluationResult
from holdfast.evaluate.run import evaluate
from holdfast.evaluate.standard import default_protocol, protocol_of
from holdfast.evaluate.summary import Summary
from holdfast.imports import callable_room
from holdfast.metrics.stats import Interval

__all__ = [
    "EvaluationResult",
    "Interval",
    "Protocol",
    "Summary",
    "default_protocol",
    "evaluate",
    "name_of",
    "part_named",
    "protocol_cost",
    "protocol_of",
]

callable_room(__name__, evaluate)
