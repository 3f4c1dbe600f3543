"""`cuda_graphs` on a stand-in that records and replays as CUDA does: fixed memory, no Python, no waiting."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from holdfast import FGSM, IFIA, PGD, TPGD, CWInf, HoldfastWarning
from holdfast.attacks import cuda_graphs, graphs, ifia
from holdfast.attacks.base import Attack
from holdfast.metrics import rank
from holdfast.objectives import AdvAATAttack, ARTAttack, IGNormAttack, IGRAttack

aten = torch.ops.aten
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default}
RANDOM = {aten.normal_.default, aten.uniform_.default, aten.bernoulli_.float}
Batch = tuple[Tensor, Tensor]


class Recording(TorchDispatchMode):
    """Every operator below autograd with the very memory that it used; replaying fills that memory again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in WAITS:
            raise RuntimeError(f"{func} waits for the device.\nDuring a capture that is not permitted.")
        assert func not in RANDOM, f"{func} would draw the same numbers at each replay"
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tensors(out), tensors(again), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def tensors(out: Any) -> list[Tensor]:
    return [t for t in (out if isinstance(out, tuple | list) else (out,)) if isinstance(t, Tensor)]


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Recording]:
    """Record on the CPU; Kendall's tau in the form that runs on a GPU."""
    made: list[Recording] = []

    def capture(call: Callable[[], tuple[Tensor, ...]], device: torch.device) -> Any:
        call()
        with Recording() as recording:
            outputs = call()
        made.append(recording)
        return recording.replay, outputs

    monkeypatch.setattr(graphs, "RECORDABLE", {"cpu"})
    monkeypatch.setattr(ifia, "READABLE", set())
    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(rank, "_scipy_tau_b", lambda a, b: rank.tau(rank.pair_counts(a, b), "b"))
    return made


@pytest.fixture
def batch(trained: nn.Module, digits: Batch) -> Batch:
    images = digits[0][:12]
    with torch.no_grad():
        return images, trained(images).argmax(1)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


budget = {"eps": 0.15, "alpha": 0.03, "steps": 6}
ATTACKS: dict[str, Callable[[nn.Module], Attack]] = {
    "pgd": lambda net: PGD(net, **budget, generator=generator()),
    "pgd-l2-restarts": lambda net: PGD(net, **budget, norm="L2", restarts=2, generator=generator()),
    "tpgd": lambda net: TPGD(net, **budget, generator=generator()),
    "cw": lambda net: CWInf(net, **budget, generator=generator()),
    "ifia": lambda net: IFIA(net, **budget, k=10, n_steps=4, generator=generator()),
    "ifia-kendall": lambda net: IFIA(net, **budget, k=10, n_steps=4, objective="kendall", restarts=2,
                                     random_start=True, generator=generator()),
    "ifia-mass": lambda net: IFIA(net, **budget, k=10, n_steps=4, objective="mass_center", select="topk"),
    "ifia-random": lambda net: IFIA(net, **budget, k=10, n_steps=4, objective="random", generator=generator()),
    "ifia-chunks": lambda net: IFIA(net, **budget, k=10, n_steps=4, internal_batch_size=7),
    "ig-norm": lambda net: IGNormAttack(net, **budget, n_steps=3, generator=generator()),
    "advaat": lambda net: AdvAATAttack(net, **budget, n_steps=3, surrogate_beta=20.0, generator=generator()),
    "igr": lambda net: IGRAttack(net, **budget, n_steps=3, surrogate_beta=20.0, generator=generator()),
    "art": lambda net: ARTAttack(net, **budget, k=20, masked_steps=True, generator=generator()),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ATTACKS])
def test_replaying_changes_nothing(trained: nn.Module, batch: Batch, recordings: list[Recording], name: str) -> None:
    ordinary = ATTACKS[name](trained)(*batch)
    with cuda_graphs():
        replayed = [ATTACKS[name](trained)(*batch) for _ in range(2)]
    assert len(recordings) == 1
    steps = 6 * (2 if name in ("pgd-l2-restarts", "ifia-kendall") else 1)
    assert recordings[0].replays == 2 * steps
    for adv in replayed:
        torch.testing.assert_close(adv, ordinary, rtol=0, atol=1e-6)
    assert float((ordinary - batch[0]).abs().max()) > 0.02


def test_new_images_and_trained_weights_are_seen(trained: nn.Module, batch: Batch, recordings: list[Recording]) -> None:
    attack = partial(PGD, random_start=False, **budget)
    with cuda_graphs():
        first = attack(trained)(*batch)
        with torch.no_grad():
            for p in trained.parameters():
                p.mul_(torch.linspace(0.5, 1.5, p.numel()).view_as(p))
        turned = batch[0].flip(2).contiguous(), batch[1]
        second = attack(trained)(*turned)
        turned[0].mul_(0.5)
        third = attack(trained)(*turned)
        held = second.clone()
    assert len(recordings) == 1
    torch.testing.assert_close(third, attack(trained)(*turned))
    turned[0].mul_(2)
    torch.testing.assert_close(held, attack(trained)(*turned))
    assert torch.equal(second, held)
    assert not torch.equal(first, attack(trained)(*batch))


def test_labels_changed_in_place_are_seen(trained: nn.Module, batch: Batch, recordings: list[Recording]) -> None:
    images, labels = batch[0], batch[1].clone()
    attack = PGD(trained, **budget, random_start=False)
    with cuda_graphs():
        attack(images, labels)
        labels.copy_((labels + 1) % 10)
        found = attack(images, labels)
    assert len(recordings) == 1
    torch.testing.assert_close(found, attack(images, labels))


def test_the_accounting_of_ifia_is_the_ordinary_one(
    trained: nn.Module, batch: Batch, recordings: list[Recording]
) -> None:
    attack = partial(IFIA, trained, **budget, k=10, n_steps=4, restarts=2, random_start=True)
    ordinary = attack(generator=generator()).run(*batch)
    with cuda_graphs():
        found = attack(generator=generator()).run(*batch)
    assert len(recordings) == 1
    assert len(set(ordinary.best_step.tolist())) > 2
    for name, value in vars(ordinary).items():
        torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=1e-6)


def test_what_differs_is_recorded_anew(trained: nn.Module, batch: Batch, recordings: list[Recording]) -> None:
    calls: list[Callable[[], Tensor]] = [
        lambda: PGD(trained, **budget, random_start=False)(*batch),
        lambda: PGD(trained, **{**budget, "alpha": 0.02}, random_start=False)(*batch),
        lambda: CWInf(trained, **budget, random_start=False)(*batch),
        lambda: FGSM(trained, eps=0.15)(*batch),
        lambda: PGD(trained, **budget, random_start=False)(batch[0][:5], batch[1][:5]),
        lambda: IFIA(trained, **budget, k=10, n_steps=4, surrogate_beta=5.0)(*batch),
        lambda: IFIA(trained, **budget, k=10, n_steps=4, surrogate_beta=50.0)(*batch),
        lambda: ARTAttack(trained, **budget, k=20, surrogate_beta=5.0, generator=generator())(*batch),
        lambda: ARTAttack(trained, **budget, k=20, surrogate_beta=50.0, generator=generator())(*batch),
    ]
    ordinary = [call() for call in calls]
    with cuda_graphs():
        for call, expected in zip(calls, ordinary, strict=True):
            torch.testing.assert_close(call(), expected, rtol=0, atol=1e-6)
            torch.testing.assert_close(call(), expected, rtol=0, atol=1e-6)
    assert len(recordings) == len(calls)
    trained.double()  # other memory, other type
    with cuda_graphs():
        PGD(trained, **budget)(batch[0].double(), batch[1])
    assert len(recordings) == len(calls) + 1


def test_old_recordings_make_room(
    trained: nn.Module, batch: Batch, recordings: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, "MOST_GRAPHS", 2)
    with cuda_graphs():
        for size in (3, 4, 5, 5, 4, 3):
            PGD(trained, **budget)(batch[0][:size], batch[1][:size])
    assert len(recordings) == 4


class Waiting(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * (1.0 if x.sum().item() > 0 else 2.0)


def test_a_network_that_waits_is_warned_of_once_and_attacked(
    trained: nn.Module, batch: Batch, recordings: list[Recording]
) -> None:
    net = Waiting(trained)
    attack = partial(PGD, random_start=False, **budget)
    ordinary = attack(net)(*batch)
    with cuda_graphs():
        with pytest.warns(HoldfastWarning, match=r"cannot be recorded as a CUDA graph \(.*waits for the device\)"):
            assert torch.equal(attack(net)(*batch), ordinary)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(attack(net)(*batch), ordinary)
    assert not recordings


class Steered(PGD):
    """An attack with a setting of its own that no recording could know of."""

    def __init__(self, model: nn.Module, direction: Tensor) -> None:
        super().__init__(model, **budget, random_start=False)
        self.way = direction

    def direction(self, adv: Tensor, reference: Any) -> Tensor:
        return self.way.expand_as(adv)


@pytest.mark.parametrize("kind", ["function", "unknown setting", "switched off", "outside"])
def test_what_cannot_be_known_is_not_recorded(
    trained: nn.Module, batch: Batch, recordings: list[Recording], kind: str
) -> None:
    if kind == "unknown setting":
        attacks: Iterator[Attack] = (Steered(trained, torch.full((1, 8, 8), s)) for s in (1.0, -1.0))
    else:
        model = (lambda x: trained(x)) if kind == "function" else trained
        attacks = (PGD(model, **budget, random_start=False) for _ in range(2))
    context = nullcontext() if kind == "outside" else cuda_graphs(kind != "switched off")
    with context:
        found = [attack(*batch) for attack in attacks]
    assert not recordings
    assert torch.equal(*found) == (kind != "unknown setting")


def test_autocast_is_part_of_a_recording(trained: nn.Module, batch: Batch, recordings: list[Recording]) -> None:
    with cuda_graphs():
        for enabled in (False, True, False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                PGD(trained, **budget)(*batch)
    assert len(recordings) == 2
