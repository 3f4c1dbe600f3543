from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast import R2ET, HoldfastError
from holdfast.objectives.r2et import thickness

Make = Callable[[str], nn.Module]
Triple = tuple[Tensor, Tensor, Tensor]


@pytest.mark.parametrize("k", [1, 3, 10])
def test_thickness_adds_up_the_published_pairs(k: int) -> None:
    """Each of the first k against the k-th, and the k-th against each of the next k; their sum over k."""
    maps = torch.rand(4, 2, 5, 3, dtype=torch.float64)
    for row, found in zip(maps.flatten(1).numpy(), thickness(maps, k), strict=True):
        s = np.sort(row)[::-1]
        pairs = [(i, k - 1) for i in range(k - 1)] + [(k - 1, k + j) for j in range(k)]
        assert float(found) == pytest.approx(sum(s[i] - s[j] for i, j in pairs) / k)


def test_thickness_with_few_others() -> None:
    maps = torch.tensor([[4.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    assert thickness(maps, 3).tolist() == [2.0, 0.0]
    with pytest.raises(HoldfastError, match="k is 4; it must be less than the 4 features"):
        thickness(maps, 4)


def test_values_by_hand() -> None:
    """A ReLU network of three features and two classes: CE' = W^T (p - e_y), H = p (1 - p) (w_0 - w_1)(...)^T."""
    w1 = np.array([[1.0, 2.0, 0.5], [-1.0, 1.0, 1.0], [-2.0, -3.0, 0.0]])
    w2 = np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0]])
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False)).double()
    net[0].weight.data, net[2].weight.data = torch.from_numpy(w1.copy()), torch.from_numpy(w2.copy())
    xs, ys = np.array([[0.5, 0.2, 0.3], [0.9, 0.1, 0.4]]), [0, 1]
    ce, thick, curved = [], [], []
    for x, y in zip(xs, ys, strict=True):
        jacobian = w2 @ np.diag((w1 @ x > 0).astype(float)) @ w1
        logits = w2 @ np.maximum(w1 @ x, 0)
        p = np.exp(logits) / np.exp(logits).sum()
        s = np.sort(np.abs(jacobian.T @ (p - np.eye(2)[y])))
        ce.append(-np.log(p[y]))
        thick.append(s[2] - s[1])
        curved.append(p[0] * p[1] * ((jacobian[0] - jacobian[1]) ** 2).sum())
    out = R2ET(k=1, lam1=0.3, lam2=0.7)(net, torch.from_numpy(xs), torch.tensor(ys))
    expected = {"ce": np.mean(ce), "thickness": np.mean(thick), "curvature": np.mean(curved)}
    assert {name: float(v) for name, v in out.parts.items()} == pytest.approx(expected)
    assert min(expected.values()) > 0.01
    loss = expected["ce"] - 0.3 * expected["thickness"] + 0.7 * expected["curvature"]
    assert float(out.loss.detach()) == pytest.approx(loss)
    assert out.x_adv is None


def test_a_batch_is_ranked_image_by_image(make_network: Make, pair: Triple) -> None:
    net = make_network("F.relu").double()
    x, _, y = pair
    saliency = []
    for i in range(3):
        image = x[i : i + 1].clone().requires_grad_()
        saliency.append(torch.autograd.grad(F.cross_entropy(net(image), y[i : i + 1]), image)[0].abs())
    expected = thickness(torch.cat(saliency), 9).mean()
    torch.testing.assert_close(R2ET(k=9)(net, x, y).parts["thickness"], expected)


def test_descent_widens_the_gap_and_flattens_the_loss(make_network: Make) -> None:
    x, y = torch.rand(6, 2, 8, 8), torch.arange(6) % 4
    for lam1, lam2, part, sign in ((50.0, 0.0, "thickness", 1), (0.0, 10.0, "curvature", -1)):
        net = make_network("F.relu")
        objective, optimizer = R2ET(10, lam1, lam2), torch.optim.SGD(net.parameters(), lr=0.01)
        values = []
        for _ in range(10):
            out = objective(net, x, y)
            values.append(float(out.parts[part]))
            optimizer.zero_grad()
            out.loss.backward()
            optimizer.step()
        assert sign * (values[-1] - values[0]) > 0.02 * values[0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: R2ET(k=0), "k is 0"),
        (lambda: R2ET(k=3, lam1=-1), "lam1 is -1"),
        (lambda: R2ET(k=3, lam2=float("inf")), "lam2 is inf"),
    ],
)
def test_impossible_settings(build: Callable[[], object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        build()


def test_k_above_the_features(make_network: Make) -> None:
    with pytest.raises(HoldfastError, match="k is 128; it must be less than the 128 features"):
        R2ET(k=128)(make_network("F.relu"), torch.rand(2, 2, 8, 8), torch.tensor([0, 1]))
