"""Configurations on disk: written, read back strictly, named and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from holdfast import HoldfastError
from holdfast.config import (
    AttackConfig,
    EvalConfig,
    IGRConfig,
    OptimConfig,
    TrainConfig,
    config_hash,
    differences,
    from_json,
    load_config,
    to_json,
)
from holdfast.recipes import SETUPS, evaluation, recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_the_round_trip(name: str) -> None:
    config = recipe(name)
    read = from_json(TrainConfig, to_json(config), "here")
    assert read == config
    assert isinstance(read.optim.milestones, tuple)
    assert to_json(read) == to_json(config)
    assert config_hash(read) == config_hash(config)


@pytest.mark.parametrize("dataset", SETUPS)
def test_evaluations_survive_the_round_trip(dataset: str) -> None:
    assert from_json(EvalConfig, to_json(evaluation(dataset)), "here") == evaluation(dataset)


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    plain = json.loads(to_json(TrainConfig()))
    change(plain)
    return json.dumps(plain)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (edited(lambda c: c.update(colour="red")), "colour"),
        (edited(lambda c: c["optim"].update(lrr=1)), "optim.lrr"),
        (edited(lambda c: c["optim"].update(lr="fast")), "optim.lr"),
        (edited(lambda c: c["optim"].update(epochs=1.5)), "optim.epochs"),
        (edited(lambda c: c["optim"].update(name="adagrad")), "optim.name"),
        (edited(lambda c: c["optim"].update(milestones=["x"])), "optim.milestones.0"),
        (edited(lambda c: c.update(attack=None)), "attack"),
        (edited(lambda c: c["igr"].update(method="simpson")), "igr.method"),
        ("[1, 2]", "the file"),
        ("{", "the file"),
        ("", "the file"),
    ],
)
def test_misfits_are_named(text: str, place: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        from_json(TrainConfig, text, "runs/a/config.json")
    message = str(caught.value)
    assert message.startswith(f"runs/a/config.json is not a TrainConfig: {place}: ")
    assert "restore it, or start a new run" in message
    assert "\n" not in message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="does not exist; give a folder that holdfast train wrote"):
        load_config(TrainConfig, tmp_path / "config.json")


def test_not_even_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(HoldfastError, match="is not a TrainConfig"):
        load_config(TrainConfig, tmp_path / "config.json")


def test_the_hash_is_the_same_tomorrow() -> None:
    """Folder names and stored weights carry it, so it must never depend on the process or the version."""
    config = OptimConfig("sgd", 0.1, 0.9, 5e-4, 120, 128, "multistep", (75, 90), 0.1)
    assert config_hash(config) == "f8bfd5ea91b2"
    assert config_hash({"b": [1, 2.5, None], "a": "x"}) == "ce74053d7a99"
    assert config_hash({"a": "x", "b": [1, 2.5, None]}) == "ce74053d7a99"


def test_the_hash_tells_settings_apart() -> None:
    base = TrainConfig()
    others = [
        replace(base, seed=1),
        replace(base, igr=IGRConfig(lam=1.0)),
        replace(base, attack=AttackConfig(eps=0.1 + 1e-12)),
        replace(base, optim=OptimConfig(milestones=(1,))),
    ]
    assert len({config_hash(config) for config in (base, *others)}) == 5
    assert config_hash(base) == config_hash(asdict(base))


def test_differences_name_nested_fields() -> None:
    base = TrainConfig()
    other = replace(base, seed=3, attack=AttackConfig(steps=4), optim=OptimConfig(milestones=(2,)))
    assert differences(base, base) == []
    assert differences(base, other) == ["attack.steps: 10 -> 4", "optim.milestones: () -> (2,)", "seed: 0 -> 3"]
