"""From a finished run to a network that comes with the package."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.models.pretrained import FOLDER, write_pretrained
from holdfast.results.store import RunResult

SCORES = ("natural", "fgsm", "pgd20", "pgd40", "cw_inf", "topk", "kendall", "worst_topk", "worst_kendall")


def publish(result: RunResult, weights: Path, out: Path = FOLDER) -> Path:
    """Write ``out/DATASET/METHOD.safetensors`` (float16) and its card; returns the path of the weights."""
    return write_pretrained(weights, card_of(result), out / result.dataset / f"{result.method}.safetensors")


def card_of(result: RunResult) -> dict[str, Any]:
    """The model card: what was trained, how, and the scores of the float32 weights with their intervals."""
    metrics = result.summary["metrics"]
    return {
        "name": result.method,
        "title": result.title,
        "dataset": result.dataset,
        "model": result.train.model,
        "profile": result.train.profile,
        "intended_use": "tests, examples and comparisons; trained on a reduced schedule unless profile is paper",
        "input": "float images in [0, 1], no normalisation outside the network",
        "weights": "float16, of the last epoch",
        "seconds": result.training["seconds"],
        "torch": result.training["torch"],
        "scores_of": f"float32 weights, {result.evaluation.split} split, see evaluation",
        "scores": {name: metrics[name] for name in SCORES if name in metrics},
        "train": asdict(result.train),
        "evaluation": asdict(result.evaluation),
    }
