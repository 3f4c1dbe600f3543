"""``python -m bench.zoo RUN RESULT.json``: a finished run with its result as a network of the zoo, in float16."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import load_file, save

from holdfast.files import make_folder, write_atomically
from holdfast.models.find import FOLDER
from holdfast.part_json import to_plain
from holdfast.results import RunResult
from holdfast.results.store import results_at
from holdfast.train import RunFolder

SHOWN = ("natural", "fgsm", "pgd20", "pgd40", "cw_inf", "topk", "kendall", "worst_topk", "worst_kendall")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.zoo", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("result", type=Path, help="its exported result")
    parser.add_argument("--zoo", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    (result,) = results_at(given.result)
    print(enter(RunFolder(given.run), result, given.zoo))


def enter(run: RunFolder, result: RunResult, zoo: Path) -> Path:
    """Write ``DATASET/METHOD.safetensors`` and its card under ``zoo``; the path of the weights."""
    name, folder = result.method, zoo / result.dataset
    make_folder(folder)
    weights = {key: t.half() if t.is_floating_point() else t for key, t in load_file(run.last).items()}
    write_atomically(folder / f"{name}.safetensors", save(weights))
    write_atomically(folder / f"{name}.json", json.dumps(card(result), indent=1) + "\n")
    return folder / f"{name}.safetensors"


def card(result: RunResult) -> dict[str, object]:
    """What the network is, how it was trained, and what it scored."""
    settings = result.settings
    assert settings is not None
    return {
        "name": result.method,
        "title": result.title,
        "dataset": result.dataset,
        "model": settings.model,
        "profile": settings.profile,
        "intended_use": "tests, examples and comparisons; trained on a reduced schedule unless profile is paper",
        "input": "float images in [0, 1], no normalisation outside the network",
        "weights": "float16, of the last epoch",
        "seconds": result.training["seconds"],
        "torch": result.training["torch"],
        "scores_of": "float32 weights, test split, see evaluation",
        "scores": {name: result.summary["metrics"][name] for name in SHOWN if name in result.summary["metrics"]},
        "train": to_plain(settings),
        "evaluation": to_plain(result.evaluation),
    }


if __name__ == "__main__":
    main()
