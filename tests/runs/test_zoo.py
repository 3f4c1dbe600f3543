"""A finished run becomes a network of the zoo with a card of what it scored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import zoo
from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate import Protocol, evaluate
from holdfast.models import find
from holdfast.results.store import export_run, read_run
from holdfast.train import RunFolder


def test_a_run_enters_the_zoo(
    finished_run: RunFolder,
    test_images: ImageData,
    tiny_protocol: Protocol,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = find.find_model(str(finished_run.path)).model
    assert evaluate(network, test_images, tiny_protocol, tmp_path / "eval") is not None
    result = export_run(read_run(finished_run.path, tmp_path / "eval"), tmp_path / "results")
    zoo.main([str(finished_run.path), str(result), "--zoo", str(tmp_path / "zoo")])
    monkeypatch.setattr(find, "FOLDER", tmp_path / "zoo")
    assert find.pretrained_names() == ["digits/trades-igr"]
    images = to_unit_interval(test_images.images[:8])
    with torch.no_grad():
        torch.testing.assert_close(
            find.find_model("digits/trades-igr").model(images), network(images), rtol=0.01, atol=0.01
        )
    card = find.model_card("trades-igr", dataset="digits")
    assert card["scores"]["natural"]["n"] == tiny_protocol.n_examples
