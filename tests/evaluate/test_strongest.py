"""AutoIFIA stands beside the paper's protocol, and what it finds enters the worst case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import holdfast as hf
from holdfast.evaluate import protocol_of
from holdfast.evaluate.standard import config_of, default_protocol
from holdfast.recipes import SETUPS, evaluation


def test_every_setup_runs_it_unless_told_not_to() -> None:
    for name in SETUPS:
        protocol = protocol_of(evaluation(name, "laptop"))
        assert [*protocol.attacks] == ["ifia", "rank", "random", "auto", "auto_rank"]
        for attack, metric in (("auto", "topk"), ("auto_rank", "kendall")):
            found = protocol.attacks[attack]
            assert isinstance(found, hf.AutoIFIA)
            assert (found.metrics, found.budget) == ((metric,), "quick")
            assert (found.eps, found.k) == (evaluation(name).ifia.eps, evaluation(name).ifia.k)
        assert config_of(protocol) == evaluation(name, "laptop")
        without = replace(evaluation(name), auto=None)
        assert [*protocol_of(without).attacks] == ["ifia", "rank", "random"]
        assert config_of(protocol_of(without)) == without
    assert evaluation("mnist").auto == "standard"


def test_it_is_in_the_table_and_in_the_worst_case() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3))
    images = torch.rand(6, 1, 4, 4)
    protocol = default_protocol((1, 4, 4), 0.2, 4, predictions={})
    result = hf.evaluate(net, (images, net(images).argmax(1)), protocol)
    assert result is not None
    assert {"auto", "auto_rank"} <= set(result.table().columns)
    rows = result.records[result.records["kind"] == "attribution"]
    for metric, attack, short in (("top_4", "auto", "topk"), ("kendall", "auto_rank", "kendall")):
        by_attack = rows.pivot_table(index="index", columns="attack", values=metric)
        worst = by_attack.min(axis=1)
        assert result.summary.metrics[f"worst_{short}"].mean == worst.mean()
        assert by_attack[attack].mean() <= by_attack["random"].mean()


def test_a_page_names_it(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images = torch.rand(3, 1, 4, 4)
    result = hf.evaluate(net, (images, net(images).argmax(1)), default_protocol((1, 4, 4), 0.2, 4, predictions={}))
    assert result is not None
    assert "AutoIFIA" in result.to_html(tmp_path / "page.html").read_text()
