"""What a plan is made of, what a run is called and costs, and what a folder of sweeps admits."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from holdfast import HoldfastError, HoldfastWarning
from holdfast.evaluate.standard import strongest
from holdfast.part_json import config_hash
from holdfast.recipes import METHODS, TABLE2, TABLE3, evaluation, method_recipe
from holdfast.sealed import unsealed
from holdfast.sweep import PLANS, Plan, load_plan
from holdfast.sweep.drive import check_settings, claim

SMALL = Plan(("at", "trades-igr"), ("digits",), (0, 1), "smoke")


@pytest.mark.parametrize(
    ("name", "runs"), [("core", 18), ("rivals", 21), ("table2", 36), ("table3", 18), ("variants", 12), ("all", 54)]
)
def test_named_plans(name: str, runs: int) -> None:
    plan = load_plan(name)
    assert len(plan.runs()) == len({run.name for run in plan.runs()}) == runs
    assert (plan.profile, plan.seeds) == ("paper", (0,))
    assert plan.datasets == ("mnist", "fashion_mnist", "cifar10")


def test_the_plans_divide_the_methods() -> None:
    assert PLANS["core"] == PLANS["table3"] == TABLE3
    assert PLANS["table2"] == tuple(TABLE2)
    parts = ["standard", *PLANS["core"], *PLANS["rivals"], *PLANS["variants"]]
    assert sorted(parts) == sorted(METHODS) == sorted(PLANS["all"])


@pytest.mark.parametrize(
    ("profile", "datasets"),
    [
        ("smoke", ("digits",)),
        ("laptop", ("mnist", "fashion_mnist", "cifar10")),
        ("fast", ("mnist", "fashion_mnist", "cifar10")),
        ("paper", ("mnist", "fashion_mnist", "cifar10")),
    ],
)
def test_every_profile_has_its_data_sets(profile: str, datasets: tuple[str, ...]) -> None:
    runs = load_plan("all", profile=profile).runs()
    assert tuple(dict.fromkeys(run.train.data.name for run in runs)) == datasets
    assert {run.train.profile for run in runs} == {profile}


def test_runs() -> None:
    runs = SMALL.runs()
    assert [run.title for run in runs] == [
        "digits-at seed 0",
        "digits-trades-igr seed 0",
        "digits-at seed 1",
        "digits-trades-igr seed 1",
    ]
    assert runs[3].train == method_recipe("digits", "trades-igr", "smoke", seed=1)
    assert {run.evaluation for run in runs} == {evaluation("digits", "smoke")}
    assert [run.name for run in runs] == [config_hash(run.train) for run in runs]
    assert runs[0].evaluation_name == f"eval-{config_hash(evaluation('digits', 'smoke'))}"


def test_equal_runs_are_done_once() -> None:
    twice = Plan(("at", "trades-igr", "at"), ("digits", "digits"), (0, 1, 0), "smoke")
    assert twice.runs() == SMALL.runs()


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(asdict(SMALL)))
    assert load_plan(str(path)) == SMALL
    assert load_plan(str(path), seeds=[7], datasets=["mnist"]) == replace(SMALL, seeds=(7,), datasets=("mnist",))
    path.write_text('{"methods": ["at"], "datasets": ["mnist"]}')
    assert load_plan(str(path)) == Plan(("at",), ("mnist",), (0,), "paper")


def test_what_is_given_beside_a_name_takes_its_place() -> None:
    plan = load_plan("core", profile="laptop", methods=["ssr"], datasets=["digits"], seeds=[3, 4])
    assert plan == Plan(("ssr",), ("digits",), (3, 4), "laptop")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"methods": ["att"], "datasets": ["mnist"]}', "unknown method 'att'; did you mean at"),
        ('{"methods": ["at"], "datasets": ["mnits"]}', "unknown data set 'mnits'; did you mean mnist"),
        ('{"methods": ["at"], "datasets": ["mnist"], "profile": "laptops"}', "did you mean laptop"),
        ('{"methods": ["at"], "datasets": ["mnist"], "seed": [1]}', "is not a plan: seed: "),
        ('{"methods": ["at"], "datasets": ["mnist"], "seeds": ["one"]}', "is not a plan: seeds.0: "),
        ('{"methods": ["at"]}', "is not a plan: datasets: Field required"),
        ('{"methods": [], "datasets": ["mnist"]}', "no methods"),
        ("{", "is not a plan"),
    ],
)
def test_files_that_are_no_plan(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(HoldfastError, match=words):
        load_plan(str(path))


def test_names_that_are_no_plan(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError, match="unknown plan 'cores'; did you mean core"):
        load_plan("cores")
    with pytest.raises(HoldfastError, match=r"gone\.json does not exist"):
        load_plan(str(tmp_path / "gone.json"))


def test_data_sets_of_ones_own(tmp_path: Path) -> None:
    plan = Plan(("at",), ("me/mine", str(tmp_path)), (0,), "fast")
    with pytest.warns(HoldfastWarning, match=r"no settings for data set .*CIFAR-10 are taken: resnet18, .* 8/255"):
        runs = plan.runs()
    assert [run.evaluation.dataset for run in runs] == ["me/mine", str(tmp_path)]
    assert [run.cost for run in runs] == [None, None]


def test_cost() -> None:
    """AT, smoke: 3 steps of 2 F and 3 more on 300 images in 4 epochs, after each of them PGD and two maps of 5 points
    on held-out images; each attack and the map of its end; two maps of 50 points beside another image's.
    """
    at = SMALL.runs()[0]
    prediction = 1 + (2 + 1) + (2 * 20 + 1) + (2 * 40 + 1) + (2 * 10 + 1)
    attribution = 3 * 2 * 50 + 2 * (6 * 5 * 8 + 101) + (4 * 11 + 101)
    attribution += sum(attack.cost + 101 for attack in strongest(0.1, 8, "quick").values())
    assert at.cost == ((3 * 2 + 3) * 300 + (6 + 22) * 50) * 4 + prediction * 100 + attribution * 30
    whole = load_plan("core", methods=["at"], datasets=["mnist"]).runs()[0]
    prediction = 1 + (2 + 1) + (2 * 20 + 1) + (2 * 40 + 1) + (2 * 30 + 1)
    attribution = 3 * 2 * 50 + 2 * (6 * 20 * 200 + 101) + (10 * 41 + 101)
    attribution += sum(attack.cost + 101 for attack in strongest(0.3, 100, "standard").values())
    assert whole.cost == (83 * 55_000 + (80 + 22) * 1000) * 90 + prediction * 10_000 + attribution * 1000


def test_a_folder_takes_more_data_sets_and_methods(tmp_path: Path) -> None:
    root = tmp_path / "sweep"
    claim(SMALL, root)
    claim(replace(SMALL, methods=("mart",), datasets=("mnist",), seeds=(5,)), root)
    stored = json.loads((root / "sweep.json").read_text())
    assert (stored["profile"], list(stored["evaluations"])) == ("smoke", ["digits", "mnist"])
    assert stored["evaluations"]["mnist"]["ifia"]["k"] == evaluation("mnist", "smoke").ifia.k


def test_one_data_set_at_two_radii(tmp_path: Path) -> None:
    plan = Plan(("at",), ("fashion_mnist", "fashion_mnist_01"), (0,), "smoke")
    assert [run.evaluation.eps for run in plan.runs()] == [0.3, 0.1]
    assert {run.train.data.name for run in plan.runs()} == {"fashion_mnist"}
    claim(plan, tmp_path)
    claim(plan, tmp_path)
    stored = json.loads((tmp_path / "sweep.json").read_text())["evaluations"]
    assert {name: one["eps"] for name, one in stored.items()} == {"fashion_mnist": 0.3, "fashion_mnist_01": 0.1}


def test_a_folder_does_not_mix_profiles(tmp_path: Path) -> None:
    claim(SMALL, tmp_path)
    before = (tmp_path / "sweep.json").read_bytes()
    with pytest.raises(HoldfastError, match=r"the profile smoke, .*\(smoke -> paper\); choose another --out"):
        claim(replace(SMALL, profile="paper"), tmp_path)
    assert (tmp_path / "sweep.json").read_bytes() == before


def test_a_folder_does_not_mix_evaluations(tmp_path: Path) -> None:
    claim(replace(SMALL, datasets=("digits", "mnist")), tmp_path)
    path = tmp_path / "sweep.json"
    stored = unsealed(path.read_text())
    stored["evaluations"]["digits"]["ifia"]["steps"] = 40
    path.write_text(json.dumps(stored))
    with pytest.raises(HoldfastError, match=r"on digits with other settings \(ifia.steps: 40 -> 8\)"):
        check_settings(SMALL, tmp_path)
    check_settings(replace(SMALL, datasets=("mnist",)), tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(HoldfastError, match=r"not empty \(thesis.tex\) and holds no sweep"):
        claim(SMALL, tmp_path)
    (tmp_path / "sweep.json").write_text('{"schema": 2, "profile": "smoke"}')
    with pytest.raises(HoldfastError, match=r"sweep.json: the whole: .*evaluations"):
        claim(SMALL, tmp_path)
