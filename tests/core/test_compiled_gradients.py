"""`compiled_gradients`: the same numbers from one graph of operators, live weights, and a way out when wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast import FGSM, IFIA, PGD, TPGD, AdvAAT, CWInf, igr_penalty, integrated_gradients
from holdfast.attribution import compiled as module
from holdfast.attribution.compiled import compiled_gradients
from holdfast.errors import HoldfastWarning
from holdfast.models import SmallCNN
from holdfast.objectives import AdvAATAttack, ARTAttack, IGNorm, IGNormAttack, IGRAttack, IGSumNormAttack

N, TWO = 3, 13
"""Steps, and the path points that hold two pairs."""
Triple = tuple[Tensor, Tensor, Tensor]
budget: dict[str, Any] = {"eps": 0.1, "alpha": 0.03, "steps": 2}
fixed: dict[str, Any] = {"random_start": False, **budget}
CALLS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "pgd": lambda net, x, y: PGD(net, **fixed)(x, y),
    "pgd l2": lambda net, x, y: PGD(net, norm="L2", **fixed)(x, y),
    "fgsm": lambda net, x, y: FGSM(net, eps=0.1)(x, y),
    "cw": lambda net, x, y: CWInf(net, **fixed)(x, y),
    "tpgd": lambda net, x, y: TPGD(net, generator=torch.Generator().manual_seed(0), **budget)(x, y),
    "ifia": lambda net, x, y: IFIA(net, k=8, n_steps=N, internal_batch_size=2 * N, **budget)(x, y),
    "ifia kendall": lambda net, x, y: IFIA(net, k=8, n_steps=N, objective="kendall", select="kendall", **budget)(x, y),
    "ifia in chunks": lambda net, x, y: IFIA(net, k=8, n_steps=N, internal_batch_size=2, **budget)(x, y),
    "art": lambda net, x, y: ARTAttack(net, k=8, **fixed)(x, y),
    "igr": lambda net, x, y: IGRAttack(net, n_steps=N, **fixed)(x, y),
    "advaat": lambda net, x, y: AdvAATAttack(net, n_steps=N, **fixed)(x, y),
    "ig-norm": lambda net, x, y: IGNormAttack(net, generator=torch.Generator().manual_seed(0), **budget)(x, y),
    "ig-sum-norm": lambda net, x, y: IGSumNormAttack(net, n_steps=N, **fixed)(x, y),
    "attribution": lambda net, x, y: integrated_gradients(net, x, y, n_steps=N, internal_batch_size=4),
}


@pytest.fixture
def graphs() -> Iterator[dict[Any, Any]]:
    """What is compiled, by a backend that runs the graph as traced."""
    with compiled_gradients(backend="eager"):
        yield kept()


def kept() -> dict[Any, Any]:
    """What the context that is on has compiled."""
    active = module._active.get()
    assert active is not None
    return active.compiled


def ordinary(call: Callable[[], Any]) -> Any:
    with compiled_gradients(False):
        return call()


def gradients(net: nn.Module, pair: Triple, size: int | None = TWO, weights: Tensor | None = None) -> list[Tensor]:
    net.zero_grad(set_to_none=True)
    x, x_adv, y = pair
    x_adv = x_adv.detach().requires_grad_()
    penalty = igr_penalty(net, x, x_adv, y, n_steps=N, internal_batch_size=size)
    (penalty.mean() if weights is None else penalty @ weights).backward()
    return [torch.zeros(()).double() if g is None else g for g in (t.grad for t in (x_adv, *net.parameters()))]


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=1e-9, atol=1e-12)


def test_every_network(any_network: nn.Module, pair: Triple, graphs: dict[Any, Any]) -> None:
    net = any_network.double()
    expected = ordinary(lambda: gradients(net, pair))
    for _ in range(2):
        close(gradients(net, pair), expected)
    assert len(graphs) == 2  # two pairs and one
    assert None not in graphs.values()


@pytest.mark.parametrize("name", CALLS)
def test_attacks_and_attributions(name: str, make_network: Any, pair: Triple, graphs: dict[Any, Any]) -> None:
    net = make_network("residual").double().eval()
    x, _, y = pair
    expected = ordinary(lambda: CALLS[name](net, x, y))
    for _ in range(2):
        torch.testing.assert_close(CALLS[name](net, x, y), expected)
    assert graphs
    assert None not in graphs.values()


@pytest.mark.parametrize("objective", [AdvAAT, IGNorm])
def test_penalties_of_the_rivals(objective: Any, make_network: Any, pair: Triple, graphs: dict[Any, Any]) -> None:
    net = make_network("gelu").double()
    x, x_adv, y = pair

    def descend() -> list[Tensor]:
        net.zero_grad(set_to_none=True)
        objective(lambda model: lambda images, labels: x_adv, n_steps=N)(net, x, y).loss.backward()
        return [p.grad for p in net.parameters() if p.grad is not None]

    expected = ordinary(descend)
    for _ in range(2):
        close(descend(), expected)
    assert len(graphs) == 1


def test_weights_and_statistics_are_live(make_network: Any, pair: Triple, graphs: dict[Any, Any]) -> None:
    net = make_network("residual").double()
    gradients(net, pair)
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.mul_(1.3).add_(0.01)
    net.bn1.running_var = net.bn1.running_var * 2  # another tensor: another graph
    count = len(graphs)
    found = gradients(net, pair)
    assert len(graphs) == 2 * count
    close(found, ordinary(lambda: gradients(net, pair)))
    with torch.no_grad():
        net.bn1.running_var.mul_(2)
    close(gradients(net, pair), ordinary(lambda: gradients(net, pair)))
    assert len(graphs) == 2 * count


def test_one_graph_for_every_number_of_steps(make_network: Any, pair: Triple, graphs: dict[Any, Any]) -> None:
    net, (x, _, y) = make_network("residual").double().eval(), pair
    for steps in (1, 2):
        for eps in (0.1, 0.2):
            PGD(net, eps=eps, alpha=0.03, steps=steps)(x, y)
    assert len(graphs) == 1


def test_unequal_weights_are_inputs(make_network: Any, pair: Triple, graphs: dict[Any, Any]) -> None:
    net = make_network("gelu").double()
    for weights in (torch.tensor([1.0, 3.0, -1.0]), torch.tensor([0.5, -2.0, 4.0])):
        weights = weights.double()
        close(gradients(net, pair, weights=weights), ordinary(lambda w=weights: gradients(net, pair, weights=w)))
    assert len(graphs) == 4


@pytest.mark.parametrize("size", [None, 2, TWO])
def test_any_block(size: int | None, make_network: Any, pair: Triple, graphs: dict[Any, Any]) -> None:
    net = make_network("residual").double()
    expected = ordinary(lambda: gradients(net, pair, size))
    for _ in range(2):
        close(gradients(net, pair, size), expected)


def test_autocast(pair: Triple, graphs: dict[Any, Any], make_network: Any) -> None:
    net = make_network("residual")
    triple = pair[0].float(), pair[1].float(), pair[2]

    def descend() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            return gradients(net, triple)

    gradients(net, triple)
    count = len(graphs)
    expected = ordinary(descend)
    for _ in range(2):
        torch.testing.assert_close(descend(), expected, rtol=1e-2, atol=1e-4)
    assert len(graphs) == 2 * count


class Waiting(SmallCNN):
    """Reads a number on the way, which no graph can hold."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 if float(x.sum().detach()) > 0 else 2)


def test_a_network_that_cannot_be_traced(graphs: dict[Any, Any]) -> None:
    net = Waiting(image_size=8)
    nn.init.normal_(net.fc3.weight, std=0.1)
    x, x_adv = torch.rand(2, 3, 1, 8, 8)
    triple = x, x_adv, torch.tensor([0, 1, 2])
    with pytest.warns(HoldfastWarning, match=r"through Waiting cannot be compiled \(\w+: .*ordinary way"):
        gradients(net, triple, None)
    found, expected = gradients(net, triple, None), ordinary(lambda: gradients(net, triple, None))
    torch.testing.assert_close(found, expected)
    assert [*graphs.values()] == [None]


def test_wrong_code_is_found_out(make_network: Any, pair: Triple) -> None:
    def halved(graph: Any, inputs: Any) -> Callable[..., Any]:
        return lambda *inputs: [out * 0.5 if torch.is_tensor(out) else out for out in graph(*inputs)]

    net = make_network("residual").double()
    with compiled_gradients(backend=halved):  # type: ignore[arg-type]
        expected = ordinary(lambda: gradients(net, pair))
        for _ in range(module.PATIENCE - 1):
            close(gradients(net, pair), expected)
        with pytest.warns(HoldfastWarning, match=r"not computed right by compiled code \(off by 50%\)"):
            close(gradients(net, pair), expected)
        assert [*kept().values()] == [None, None]
        close(gradients(net, pair), expected)


def test_code_that_goes_wrong_later_is_found_out(make_network: Any, pair: Triple) -> None:
    """Compared again at the tenth use: a first result may happen to be right."""
    uses = []

    def drifting(graph: Any, inputs: Any) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            uses.append(0)
            return [out * (1 + len(uses) // 10) for out in graph(*inputs)]

        return run

    net, (x, _, y) = make_network("residual").double().eval(), pair
    expected = integrated_gradients(net, x, y, n_steps=2)
    with compiled_gradients(backend=drifting):  # type: ignore[arg-type]
        for _ in range(8 + module.PATIENCE):
            torch.testing.assert_close(integrated_gradients(net, x, y, n_steps=2), expected)
        with pytest.warns(HoldfastWarning, match=r"not computed right by compiled code \(off by 100%\)"):
            torch.testing.assert_close(integrated_gradients(net, x, y, n_steps=2), expected)
        torch.testing.assert_close(integrated_gradients(net, x, y, n_steps=2), expected)
    assert len(uses) == 9 + module.PATIENCE


def test_a_passing_difference_is_forgiven(make_network: Any, pair: Triple) -> None:
    """As where a gradient is nothing but rounding, in the first step of an attack from the image itself."""
    uses = []

    def once(graph: Any, inputs: Any) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            uses.append(0)
            return [out * 2 if len(uses) == 1 else out for out in graph(*inputs)]

        return run

    net, (x, _, y) = make_network("residual").double().eval(), pair
    expected = integrated_gradients(net, x, y, n_steps=2)
    with compiled_gradients(backend=once):  # type: ignore[arg-type]
        for _ in range(30):
            torch.testing.assert_close(integrated_gradients(net, x, y, n_steps=2), expected)
    assert len(uses) == 30


def test_zeros_prove_nothing(graphs: dict[Any, Any], pair: Triple) -> None:
    """Of a network whose last layer is zero every code is right: wait until it is not."""
    net, (x, _, y) = SmallCNN(4, in_channels=2, image_size=8).double().eval(), pair
    assert not integrated_gradients(net, x, y, n_steps=2).any()
    assert graphs == {}
    nn.init.normal_(net.fc3.weight)
    integrated_gradients(net, x, y, n_steps=2)
    assert len(graphs) == 1


def test_a_recording_compares_nothing(
    monkeypatch: pytest.MonkeyPatch, make_network: Any, pair: Triple, graphs: dict[Any, Any]
) -> None:
    """It replays code that has been right, and nothing else: neither new code nor code in doubt."""
    net, (x, _, y) = make_network("residual").double().eval(), pair
    expected = ordinary(lambda: integrated_gradients(net, x, y, n_steps=2))

    def recorded() -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(module, "being_recorded", lambda device: True)
            patch.setattr(module._Code, "compare", lambda *args: pytest.fail("waits"))
            return integrated_gradients(net, x, y, n_steps=2)

    torch.testing.assert_close(recorded(), expected)
    assert graphs == {}
    integrated_gradients(net, x, y, n_steps=2)
    (code,) = graphs.values()
    used = []
    original = code.code
    code.code = lambda *inputs: used.append(0) or original(*inputs)
    torch.testing.assert_close(recorded(), expected)
    assert used == [0]
    code.differences = 1
    torch.testing.assert_close(recorded(), expected)
    assert used == [0]


def test_old_graphs_make_room(
    monkeypatch: pytest.MonkeyPatch, make_network: Any, pair: Triple, graphs: dict[Any, Any]
) -> None:
    monkeypatch.setattr(module, "MOST_GRAPHS", 2)
    net, (x, _, y) = make_network("F.relu").double(), pair
    for size in (1, 2, 3):
        integrated_gradients(net, x[:size], y[:size], n_steps=2)
    assert len(graphs) == 2


def test_compiled_networks_are_traced_as_written(make_network: Any, pair: Triple, graphs: dict[Any, Any]) -> None:
    net, (x, _, y) = make_network("residual").double().eval(), pair
    torch._dynamo.reset()
    compiled = torch.compile(net, backend="eager")
    for _ in range(2):
        close(gradients(compiled, pair), ordinary(lambda: gradients(net, pair)))
        torch.testing.assert_close(PGD(compiled, **fixed)(x, y), ordinary(lambda: PGD(net, **fixed)(x, y)))
    assert len(graphs) == 3
    assert None not in graphs.values()


def test_plain_functions_stay_as_they_are(graphs: dict[Any, Any]) -> None:
    x = torch.rand(3, 4)
    found = integrated_gradients(lambda z: z.square() @ torch.ones(4, 2), x, 1, n_steps=2)
    assert found.shape == x.shape
    assert graphs == {}


def test_the_context_ends(make_network: Any, pair: Triple) -> None:
    assert not module.compiling()
    with compiled_gradients(backend="eager"):
        assert module.compiling()
        with compiled_gradients(False):
            assert not module.compiling()
    assert not module.compiling()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # inductor imports what torch deprecates
@pytest.mark.parametrize("name", ["residual", "attention"])
def test_inductor(name: str, make_network: Any, pair: Triple) -> None:
    net = make_network(name).double()
    torch._dynamo.reset()
    with compiled_gradients():
        gradients(net, pair)
        found = gradients(net, pair)
        assert None not in kept().values()
    close(found, gradients(net, pair))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("call", [partial(CALLS["ifia"]), partial(CALLS["pgd"]), partial(CALLS["attribution"])])
def test_on_cuda(call: Callable[..., Tensor], make_network: Any, pair: Triple) -> None:
    net = make_network("residual").double().cuda()
    x, x_adv, y = (t.cuda() for t in pair)
    torch._dynamo.reset()
    with compiled_gradients():
        gradients(net, (x, x_adv, y))
        call(net, x, y)
        found, image = gradients(net, (x, x_adv, y)), call(net, x, y)
        assert None not in kept().values()
    close(found, gradients(net, (x, x_adv, y)))
    torch.testing.assert_close(image, call(net, x, y))
