"""Records: complete, the same for every sharding and after every stop, and never of another network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from holdfast import HoldfastError
from holdfast.config import EvalConfig
from holdfast.data.image_data import ImageData, to_unit_interval
from holdfast.evaluate import evaluate
from holdfast.evaluate.accuracy import prediction_attacks
from holdfast.evaluate.attribution import ifia_attacks


def records(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "records").iterdir())}


def rows(folder: Path, kind: str) -> list[dict[str, float]]:
    files = sorted((folder / "records").glob(f"{kind}-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def copy(finished_evaluation: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_evaluation, tmp_path / "eval")
    return tmp_path / "eval"


def test_each_image_has_its_record(
    finished_evaluation: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData
) -> None:
    accuracy = rows(finished_evaluation, "accuracy")
    assert [row["index"] for row in accuracy] == list(range(40))
    assert [row["label"] for row in accuracy] == test_images.labels[:40].tolist()
    with torch.no_grad():
        predictions = toy(to_unit_interval(test_images.images[:40])).argmax(1).tolist()
    assert [row["prediction"] for row in accuracy] == predictions
    assert set(accuracy[0]) == {"index", "label", "prediction", "fgsm", "pgd20", "pgd40", "cw_inf"}
    right = [row["index"] for row in accuracy if row["label"] == row["prediction"]]
    assert len(right) > 25, "the little network knows the digits"
    attribution = rows(finished_evaluation, "attribution")
    assert [row["index"] for row in attribution] == right[: tiny_eval.n_attribution]
    assert all(row["label"] == accuracy[int(row["index"])]["label"] for row in attribution)


@pytest.mark.parametrize("world_size", [2, 3])
def test_shards_write_the_same_records(
    world_size: int,
    tmp_path: Path,
    toy: nn.Module,
    tiny_eval: EvalConfig,
    test_images: ImageData,
    finished_evaluation: Path,
) -> None:
    wanted = records(finished_evaluation)
    summaries = []
    for rank in reversed(range(world_size)):
        done: list[tuple[str, int]] = []
        before = set(records(tmp_path)) if (tmp_path / "records").is_dir() else set()
        summaries.append(
            evaluate(
                toy,
                test_images,
                tiny_eval,
                tmp_path,
                rank=rank,
                world_size=world_size,
                on_batch=lambda kind, b, total, done=done: done.append((kind, b)) if b < total else None,  # type: ignore[misc]
            )
        )
        own = {
            f"{kind}-{b:05d}.jsonl"
            for kind, total in (("accuracy", 8), ("attribution", 2))
            for b in range(total)
            if b % world_size == rank
        }
        assert {f"{kind}-{b:05d}.jsonl" for kind, b in done} == own
        assert set(records(tmp_path)) - before == own
    assert records(tmp_path) == wanted
    assert summaries[:-1] == [None] * (world_size - 1)
    assert summaries[-1] is not None
    assert (tmp_path / "summary.json").read_bytes() == (finished_evaluation / "summary.json").read_bytes()


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
def test_no_such_shard(
    rank: int, world_size: int, tmp_path: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData
) -> None:
    with pytest.raises(HoldfastError, match=f"rank {rank} of {world_size} does not exist"):
        evaluate(toy, test_images, tiny_eval, tmp_path / "eval", rank=rank, world_size=world_size)
    assert not (tmp_path / "eval").exists()


def again(copy: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData) -> Iterable[tuple[str, int]]:
    done: list[tuple[str, int]] = []
    evaluate(
        toy,
        test_images,
        tiny_eval,
        copy,
        on_batch=lambda kind, b, total: done.append((kind, b)) if b < total else None,
    )
    return done


def test_only_what_is_missing_is_done_again(
    copy: Path, finished_evaluation: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData
) -> None:
    for name in ("accuracy-00002.jsonl", "accuracy-00007.jsonl", "attribution-00001.jsonl"):
        (copy / "records" / name).unlink()
    (copy / "records" / "accuracy-00002.jsonl.part").write_text('{"index": 10, "lab')
    (copy / "records" / ".attribution-00001.jsonl.0123abcd.part").write_text('{"ind')
    (copy / "summary.json").unlink()
    done = again(copy, toy, tiny_eval, test_images)
    assert done == [("accuracy", 2), ("accuracy", 7), ("attribution", 1)]
    found = {name: content for name, content in records(copy).items() if not name.endswith(".part")}
    assert found == records(finished_evaluation)
    assert (copy / "summary.json").read_bytes() == (finished_evaluation / "summary.json").read_bytes()


def test_every_random_start_has_a_seed_of_its_own(toy: nn.Module, tiny_eval: EvalConfig) -> None:
    """By attack, batch and the seed of the evaluation, and by nothing else."""

    def seeds(seed: int) -> list[int]:
        config, cpu = replace(tiny_eval, seed=seed), torch.device("cpu")
        attacks = [
            attack
            for batch in (0, 1)
            for attack in (
                *ifia_attacks(toy, config, batch, cpu).values(),
                *prediction_attacks(toy, config, batch, cpu),
            )
        ]
        return [attack.generator.initial_seed() for attack in attacks if attack.generator is not None]

    found = [*seeds(0), *seeds(1)]
    assert len(found) == len(set(found)) == 2 * 2 * 6
    assert seeds(0) == found[:12]


def test_nothing_is_done_twice(copy: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData) -> None:
    assert again(copy, toy, tiny_eval, test_images) == []


@pytest.mark.parametrize(
    "content",
    ['{"index": 5, "la', "", "[1, 2]\n", "nothing\n", b"\xff\xfe", '{"label": 3}\n'],
    ids=["cut", "empty", "list", "text", "binary", "column"],
)
@pytest.mark.parametrize("name", ["accuracy-00001.jsonl", "attribution-00000.jsonl"])
def test_a_damaged_record_file_is_named(
    name: str, content: str | bytes, copy: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData
) -> None:
    file = copy / "records" / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HoldfastError, match="is damaged; delete it and run the same command again") as caught:
        again(copy, toy, tiny_eval, test_images)
    assert str(file) in str(caught.value)
    file.unlink()
    again(copy, toy, tiny_eval, test_images)


def test_a_record_file_that_lost_lines(
    copy: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData
) -> None:
    """Every line is sound, but one is gone: the mean would be over fewer images than it says."""
    file = copy / "records" / "accuracy-00001.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(HoldfastError, match="is damaged"):
        again(copy, toy, tiny_eval, test_images)


def test_other_settings_are_refused(copy: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData) -> None:
    other = replace(tiny_eval, eps=0.2, ifia=replace(tiny_eval.ifia, steps=4))
    before = records(copy)
    with pytest.raises(HoldfastError, match="records made with other settings") as caught:
        evaluate(toy, test_images, other, copy)
    assert "eps: 0.1 -> 0.2; ifia.steps: 3 -> 4" in str(caught.value)
    assert records(copy) == before


def test_another_network_is_refused(copy: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData) -> None:
    with torch.no_grad():
        toy[0].bias[0] += 1e-3  # type: ignore[index]
    with pytest.raises(HoldfastError, match="records made with another network"):
        evaluate(toy, test_images, tiny_eval, copy)


def test_other_images_are_refused(copy: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData) -> None:
    images = test_images.images.clone()
    images[0, 0, 0, 0] += 1
    with pytest.raises(HoldfastError, match="other images"):
        evaluate(toy, replace(test_images, images=images), tiny_eval, copy)


def test_a_plain_function_can_be_evaluated(
    tmp_path: Path, toy: nn.Module, tiny_eval: EvalConfig, test_images: ImageData, finished_evaluation: Path
) -> None:
    assert evaluate(lambda x: toy(x), test_images, tiny_eval, tmp_path) is not None
    assert records(tmp_path) == records(finished_evaluation)


@pytest.mark.parametrize(
    ("part", "field", "value", "words"),
    [
        ("", "eps", -0.1, "eps is -0.1; it must be a finite number of at least 0"),
        ("", "eps", float("nan"), "eps is nan"),
        ("", "pgd_alpha", 0.0, "pgd_alpha is 0.0; it must be more than 0"),
        ("", "n_examples", 0, "n_examples is 0; the test split of digits has 400 images"),
        ("", "n_examples", 401, "n_examples is 401"),
        ("", "n_attribution", 0, "n_attribution is 0"),
        ("", "batch_size", 0, "batch_size is 0"),
        ("", "random_draws", 0, "random_draws is 0"),
        ("ifia", "k", 65, "ifia.k is 65; images of digits have 64 features: choose 1 to 64"),
        ("ifia", "k", 0, "ifia.k is 0"),
        ("ifia", "eps", -1.0, "ifia.eps is -1.0"),
        ("ifia", "steps", 0, "ifia.steps is 0"),
        ("ifia", "alpha", -1.0, "ifia.alpha is -1.0"),
        ("ifia", "restarts", 0, "ifia.restarts is 0"),
        ("ifia", "surrogate_beta", -1.0, "ifia.surrogate_beta is -1.0"),
    ],
)
def test_unusable_values_are_named_before_any_work(
    part: str,
    field: str,
    value: float,
    words: str,
    tmp_path: Path,
    toy: nn.Module,
    tiny_eval: EvalConfig,
    test_images: ImageData,
) -> None:
    changed: dict[str, object] = {field: value}
    if part:
        changed = {part: replace(tiny_eval.ifia, **changed)}  # type: ignore[arg-type]
    with pytest.raises(HoldfastError) as caught:
        evaluate(toy, test_images, replace(tiny_eval, **changed), tmp_path / "eval")  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert not (tmp_path / "eval").exists()
