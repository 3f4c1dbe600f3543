"""The settings of a run on disk: written, read back strictly, named and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast import AT, IGR, PGD, HoldfastError
from holdfast.evaluate.standard import EvalConfig
from holdfast.part_json import config_hash, from_json, to_json
from holdfast.parts import differences
from holdfast.recipes import PROFILES, SETUPS, evaluation, recipe, recipe_names
from holdfast.train import OptimConfig, TrainConfig
from holdfast.train.folder import load_config


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_the_round_trip(name: str, profile: str) -> None:
    config = recipe(name, profile)
    read = from_json(TrainConfig, to_json(config), "here")
    assert read == config
    assert isinstance(read.optim.milestones, tuple)
    assert to_json(read) == to_json(config)
    assert config_hash(read) == config_hash(config)


@pytest.mark.parametrize("dataset", SETUPS)
def test_evaluations_survive_the_round_trip(dataset: str) -> None:
    assert from_json(EvalConfig, to_json(evaluation(dataset)), "here") == evaluation(dataset)


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    plain = json.loads(to_json(TrainConfig(objective=IGR(AT(PGD())))))
    change(plain)
    return json.dumps(plain)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (edited(lambda c: c.update(colour="red")), "colour: TrainConfig has no such field"),
        (edited(lambda c: c["optim"].update(lrr=1)), "optim.lrr: "),
        (edited(lambda c: c["optim"].update(lr="fast")), "optim.lr: "),
        (edited(lambda c: c["optim"].update(epochs=1.5)), "optim.epochs: "),
        (edited(lambda c: c["optim"].update(name="adagrad")), "optim.name: "),
        (edited(lambda c: c["optim"].update(milestones=["x"])), "optim.milestones.0: "),
        (edited(lambda c: c["objective"].update(base=None)), "objective.base: an objective is written as an object"),
        (edited(lambda c: c["objective"]["attribution"].update(method="simpson")), "objective.attribution.method: "),
        (edited(lambda c: c["objective"]["base"]["attack"].update(step=3)), "objective.base.attack.step: PGD has no"),
        ("[1, 2]", "holds no settings"),
        ("{", "is no JSON"),
        ("", "is no JSON"),
    ],
)
def test_misfits_are_named(text: str, words: str) -> None:
    with pytest.raises(HoldfastError) as caught:
        from_json(TrainConfig, text, "runs/a/config.json")
    message = str(caught.value)
    assert message.startswith("runs/a/config.json")
    assert words in message
    assert "restore it, or start anew" in message
    assert "\n" not in message


def test_a_part_that_nobody_has() -> None:
    text = edited(lambda c: c["objective"]["base"]["attack"].update(part="PDG"))
    with pytest.raises(HoldfastError, match="unknown attack 'PDG'; did you mean PGD"):
        from_json(TrainConfig, text, "runs/a/config.json")


def test_a_schema_of_another_version() -> None:
    for schema, words in ((99, "a newer holdfast reads it"), (None, "holdfast 0.1 reads it")):
        text = edited(lambda c: c.update(schema=schema) if schema else c.pop("schema"))  # noqa: B023
        with pytest.raises(HoldfastError, match=words):
            from_json(TrainConfig, text, "runs/a/config.json")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="does not exist; give a folder that holdfast train wrote"):
        load_config(tmp_path / "config.json")


def test_not_even_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(HoldfastError, match=r"config\.json is no JSON"):
        load_config(tmp_path / "config.json")


def test_the_hash_tells_settings_apart() -> None:
    base = TrainConfig(objective=AT())
    others = [
        replace(base, seed=1),
        replace(base, objective=IGR(AT())),
        replace(base, objective=AT(PGD(eps=0.1 + 1e-12))),
        replace(base, optim=OptimConfig(milestones=(1,))),
    ]
    assert len({config_hash(config) for config in (base, *others)}) == 5


def test_differences_name_nested_fields() -> None:
    base = TrainConfig(objective=AT())
    other = replace(base, seed=3, objective=AT(PGD(steps=4)), optim=OptimConfig(milestones=(2,)))
    assert differences(base, base) == []
    assert differences(base, other) == [
        "objective.attack.steps: 10 -> 4",
        "optim.milestones: () -> (2,)",
        "seed: 0 -> 3",
    ]
    assert differences(base, replace(base, objective=IGR(AT()))) == ["objective: AT -> IGR"]
