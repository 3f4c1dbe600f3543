"""Records: complete, the same for every sharding and after every stop, and never of another network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from holdfast import HoldfastError
from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate import Protocol, evaluate, protocol_of
from holdfast.evaluate.records import packed, unpacked
from holdfast.evaluate.standard import EvalConfig
from holdfast.metrics import Cosine
from holdfast.seeding import ImageGenerator


def records(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "records").iterdir())}


def rows(folder: Path, kind: str) -> pd.DataFrame:
    found = pd.read_parquet(folder / "records")
    return found[found["kind"] == kind]


@pytest.fixture
def copy(finished_evaluation: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_evaluation, tmp_path / "eval")
    return tmp_path / "eval"


def test_each_image_has_its_record(
    finished_evaluation: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    accuracy = rows(finished_evaluation, "accuracy")
    assert list(dict.fromkeys(accuracy["attack"])) == ["natural", "fgsm", "pgd20", "pgd40", "cw_inf"]
    for _, own in accuracy.groupby("attack"):
        assert own["index"].tolist() == list(range(40))
        assert own["label"].tolist() == test_images.labels[:40].tolist()
        assert own["correct"].tolist() == (own["prediction"] == own["label"]).tolist()
    natural = accuracy[accuracy["attack"] == "natural"]
    with torch.no_grad():
        predictions = toy(to_unit_interval(test_images.images[:40])).argmax(1).tolist()
    assert natural["prediction"].tolist() == predictions
    right = natural["index"][natural["label"] == natural["prediction"]].tolist()
    assert len(right) > 25, "the little network knows the digits"
    attribution = rows(finished_evaluation, "attribution")
    assert set(attribution["attribution"]) == {"IntegratedGradients(n_steps=5)"}
    assert list(dict.fromkeys(attribution["attack"])) == ["ifia", "rank", "random"]
    for _, own in attribution.groupby("attack"):
        assert own["index"].tolist() == right[: tiny_protocol.n_attribution]
        assert own["label"].tolist() == test_images.labels[own["index"].tolist()].tolist()
    assert set(attribution["status"]) == {"ok"}
    values = attribution[[m.key for m in tiny_protocol.metrics]]
    assert not values.isna().any().any()
    assert bool((values.drop(columns="kendall_nonzero") <= 1 + 1e-6).all().all())


@pytest.mark.parametrize("world_size", [2, 3])
def test_shards_write_the_same_records(
    world_size: int,
    tmp_path: Path,
    toy: nn.Module,
    tiny_protocol: Protocol,
    test_images: ImageData,
    finished_evaluation: Path,
) -> None:
    wanted = records(finished_evaluation)
    results = []
    for rank in reversed(range(world_size)):
        done: list[tuple[str, int]] = []
        before = set(records(tmp_path)) if (tmp_path / "records").is_dir() else set()
        results.append(
            evaluate(
                toy,
                test_images,
                tiny_protocol,
                tmp_path,
                rank=rank,
                world_size=world_size,
                on_images=begun_in(done),
            )
        )
        own = {
            f"{kind}-{b:05d}.parquet"
            for kind, total in (("accuracy", 8), ("attribution", 2), ("control", 2))
            for b in range(total)
            if b % world_size == rank
        }
        assert {f"{kind}-{b:05d}.parquet" for kind, b in done} == own
        assert set(records(tmp_path)) - before == own
    assert records(tmp_path) == wanted
    assert results[:-1] == [None] * (world_size - 1)
    assert results[-1] is not None
    assert (tmp_path / "summary.json").read_bytes() == (finished_evaluation / "summary.json").read_bytes()


def begun_in(batches: list[tuple[str, int]]) -> Callable[[str, float, int], None]:
    """Notes each batch of 5 images as it begins."""

    def told(kind: str, done: float, total: int) -> None:
        if done < total and done % 5 == 0:
            batches.append((kind, int(done) // 5))

    return told


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
def test_no_such_shard(
    rank: int, world_size: int, tmp_path: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    with pytest.raises(HoldfastError, match=f"rank {rank} of {world_size} does not exist"):
        evaluate(toy, test_images, tiny_protocol, tmp_path / "eval", rank=rank, world_size=world_size)
    assert not (tmp_path / "eval").exists()


def again(copy: Path, toy: nn.Module, protocol: Protocol, test_images: ImageData) -> Iterable[tuple[str, int]]:
    done: list[tuple[str, int]] = []
    evaluate(
        toy,
        test_images,
        protocol,
        copy,
        on_images=begun_in(done),
    )
    return done


def test_only_what_is_missing_is_done_again(
    copy: Path, finished_evaluation: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    for name in ("accuracy-00002.parquet", "accuracy-00007.parquet", "attribution-00001.parquet"):
        (copy / "records" / name).unlink()
    (copy / "records" / ".attribution-00001.parquet.0123abcd.part").write_text("PAR1")
    (copy / "summary.json").unlink()
    done = again(copy, toy, tiny_protocol, test_images)
    assert done == [("accuracy", 2), ("accuracy", 7), ("attribution", 1)]
    found = {name: content for name, content in records(copy).items() if not name.endswith(".part")}
    assert found == records(finished_evaluation)
    assert (copy / "summary.json").read_bytes() == (finished_evaluation / "summary.json").read_bytes()


def test_every_random_start_has_a_seed_of_its_own(
    monkeypatch: pytest.MonkeyPatch, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    """By attack and the seed of the evaluation, and by nothing else: what is beside an image changes nothing."""
    keys: list[tuple[Any, ...]] = []

    made = ImageGenerator.of

    def noting(*key: Any, device: Any = "cpu") -> ImageGenerator:
        keys.append(key)
        return made(*key, device=device)

    monkeypatch.setattr(ImageGenerator, "of", noting)
    protocol = replace(tiny_protocol, n_examples=10, n_attribution=6)
    evaluate(toy, test_images, protocol)
    first, keys = keys, []
    evaluate(toy, test_images, replace(protocol, seed=1))
    attacks = {key for key in [*first, *keys] if key[1] != "map"}
    assert len(attacks) == 2 * 7
    evaluate(toy, test_images, protocol)
    assert keys[-len(first) :] == first


def test_nothing_is_done_twice(copy: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData) -> None:
    assert again(copy, toy, tiny_protocol, test_images) == []


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "rows", "column", "other"])
@pytest.mark.parametrize("name", ["accuracy-00001.parquet", "attribution-00000.parquet"])
def test_a_damaged_record_file_is_named(
    name: str, damage: str, copy: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    """rows: every row is sound, but one attack's last is gone, and the mean would be over fewer images than it says."""
    file = copy / "records" / name
    content = file.read_bytes()
    if damage == "rows":
        file.write_bytes(packed(unpacked(content)[:-1]))
    elif damage == "column":
        file.write_bytes(packed(unpacked(content).drop_columns(["cosine"])))
    elif damage == "other":
        shutil.copy(copy / "records" / "accuracy-00003.parquet", file)
    else:
        file.write_bytes({"cut": content[:-9], "empty": b"", "text": b"nothing\n"}[damage])
    with pytest.raises(HoldfastError, match="is damaged; delete it and run the same command again") as caught:
        again(copy, toy, tiny_protocol, test_images)
    assert str(file) in str(caught.value)
    file.unlink()
    again(copy, toy, tiny_protocol, test_images)
    assert file.read_bytes() == content


def test_other_settings_are_refused(
    copy: Path, toy: nn.Module, tiny_eval: EvalConfig, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    other = protocol_of(replace(tiny_eval, eps=0.2, ifia=replace(tiny_eval.ifia, steps=4)))
    before = records(copy)
    with pytest.raises(HoldfastError, match="records made with other settings") as caught:
        evaluate(toy, test_images, other, copy)
    assert "predictions.fgsm.eps: 0.1 -> 0.2; " in str(caught.value)
    assert "; attacks.ifia.steps: 3 -> 4; " in str(caught.value)
    with pytest.raises(HoldfastError, match=r"metrics.cosine.part: Cosine -> None"):
        evaluate(toy, test_images, tiny_protocol, copy, metrics=[m for m in tiny_protocol.metrics if m != Cosine()])
    assert records(copy) == before


def test_another_network_is_refused(
    copy: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    other = nn.Sequential(*[nn.ELU() if isinstance(module, nn.ReLU) else module for module in toy])  # type: ignore[attr-defined]
    with pytest.raises(HoldfastError, match="records made with another network"):
        evaluate(other.eval(), test_images, tiny_protocol, copy)
    with torch.no_grad():
        toy[0].bias[0] += 1e-3  # type: ignore[index]
    with pytest.raises(HoldfastError, match="records made with another network"):
        evaluate(toy, test_images, tiny_protocol, copy)


def test_other_images_are_refused(copy: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData) -> None:
    images = test_images.images.clone()
    images[0, 0, 0, 0] += 1
    with pytest.raises(HoldfastError, match="other images"):
        evaluate(toy, replace(test_images, images=images), tiny_protocol, copy)


def test_no_mutant_of_a_record_file_changes_a_number(finished_evaluation: Path) -> None:
    """200 files with a few bits or bytes changed: each gives the same table, or is refused."""
    content = (finished_evaluation / "records" / "attribution-00000.parquet").read_bytes()
    whole, random, refused = unpacked(content), np.random.default_rng(0), 0
    for _ in range(200):
        mutant = bytearray(content)
        for at in random.integers(len(mutant), size=random.integers(1, 4)):
            mutant[at] ^= 1 << random.integers(8)
        del mutant[len(mutant) - random.integers(3) * (random.random() < 0.2) :]
        try:
            assert unpacked(bytes(mutant)).equals(whole)
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name", ["subject.json", "protocol.json"])
def test_a_damaged_note_is_named(
    name: str, copy: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData
) -> None:
    (copy / name).write_text('{"network": ')
    with pytest.raises(HoldfastError, match=name):
        evaluate(toy, test_images, tiny_protocol, copy)


def test_what_belongs_to_the_records_lies_beside_them(finished_evaluation: Path) -> None:
    subject = json.loads((finished_evaluation / "subject.json").read_text())
    assert (subject["model"], len(subject["network"]), len(subject["images"])) == ("ToyNet", 64, 64)
    environment = json.loads((finished_evaluation / "environment.json").read_text())
    assert environment["torch"] == torch.__version__


def test_a_plain_function_can_be_evaluated(
    tmp_path: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData, finished_evaluation: Path
) -> None:
    assert evaluate(lambda x: toy(x), test_images, tiny_protocol, tmp_path) is not None
    assert records(tmp_path) == records(finished_evaluation)


@pytest.mark.parametrize(
    ("part", "field", "value", "words"),
    [
        ("", "eps", -0.1, "eps is -0.1; it must be a finite number of at least 0"),
        ("", "eps", float("nan"), "eps is nan"),
        ("", "pgd_alpha", 0.0, "alpha is 0.0; it must be a finite number of more than 0"),
        ("", "n_examples", 0, "n_examples is 0; the test split of digits has 400 images"),
        ("", "n_examples", 401, "n_examples is 401"),
        ("", "n_attribution", 0, "n_attribution is 0"),
        ("", "batch_size", 0, "batch_size is 0"),
        ("", "random_draws", 0, "draws is 0"),
        ("ifia", "k", 65, "k is 65; it must be an integer from 1 to the 64 features"),
        ("ifia", "k", 0, "k is 0"),
        ("ifia", "eps", -1.0, "eps is -1.0"),
        ("ifia", "steps", 0, "steps is 0"),
        ("ifia", "alpha", -1.0, "alpha is -1.0"),
        ("ifia", "restarts", 0, "restarts is 0"),
        ("ifia", "surrogate_beta", -1.0, "surrogate_beta is -1.0"),
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
        evaluate(toy, test_images, protocol_of(replace(tiny_eval, **changed)), tmp_path / "eval")  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert not (tmp_path / "eval").exists()
