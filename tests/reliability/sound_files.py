"""Sound files of every kind, small, for the tests that damage them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import holdfast as hf
from holdfast.attacks.base import GradientAscent
from holdfast.audit.measure import Pictured
from holdfast.audit.result import AuditResult
from holdfast.audit.store import Store
from holdfast.data.cache import write_cache
from holdfast.data.digits import load_digits
from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate import Protocol, evaluate
from holdfast.evaluate.subject import subject_of
from holdfast.parts import changed_parts
from holdfast.recipes import recipe
from holdfast.sweep.drive import claim
from holdfast.sweep.plan import load_plan
from holdfast.train import train

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "paper" / "schema1"


def write(root: Path) -> None:
    """Every kind of file that the package reads, as the package or its users write them, below ``root``."""
    config = changed_parts(recipe("digits-at"), GradientAscent, lambda attack: replace(attack, steps=1))
    config = replace(
        config,
        data=replace(config.data, train_size=32),
        optim=replace(config.optim, epochs=1, batch_size=16),
        val_size=10,
    )
    train(config, root / "run")
    train(config, root / "half", stop=lambda: True)
    digits = load_digits("test").first(12)
    net = hf.find_model(str(root / "run")).model
    with torch.no_grad():  # a network that is always right has attributions to measure
        digits = replace(digits, labels=net(to_unit_interval(digits.images)).argmax(1))
    attack, metrics = hf.IFIA(eps=0.1, alpha=0.05, steps=1, k=8), (hf.KendallTau(), hf.TopK(8))
    saliency = hf.Saliency()
    protocol = Protocol("digits", "test", 12, 4, {"fgsm": hf.FGSM(eps=0.1)}, (saliency,), {"ifia": attack}, metrics)
    evaluate(net, digits, protocol, root / "run" / "eval")
    write_audit(root / "audit", net, digits)
    for name in ("weights", "exported", "old", "plan"):
        (root / name).mkdir()
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, root / "weights" / "weights.pt")
    for place, folder in (("exported", ROOT / "results" / "laptop"), ("old", OLD)):
        for file in folder.glob("mnist-at-0.*"):
            shutil.copy(file, root / place)
    (root / "plan" / "plan.json").write_text('{"methods": ["at", "at-igr"], "datasets": ["digits"], "seeds": [0, 1]}')
    claim(load_plan("core", profile="smoke"), root / "sweep")
    write_cache(root / "cached" / "digits.safetensors", digits, "a fingerprint")
    write_pictures(root)


def write_audit(folder: Path, net: nn.Module, digits: ImageData) -> None:
    """What an audit leaves, without the time of its attack."""
    settings = hf.AuditSettings((hf.Saliency(),), eps=(0.02,), k=6)
    row = {"index": 0, "prediction": 0, "attribution": "Saliency", "what": "attack", "eps": 0.02, "top_6": 0.5}
    rows = [{**row, "kendall": 0.25, "cosine": 0.75}, {**row, "index": 1, "top_6": 0.75, "kendall": 0.5, "cosine": 1.0}]
    drawn = Pictured(*(torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(4)), topk=0.5)
    store = Store(folder, settings, subject_of(net, digits))
    with store.held():
        store.begin()
        store.keep(0, rows, {"Saliency|0": drawn})
        result = AuditResult(
            "net", "digits", settings, store.records(), 64, accuracy=0.5, environment={"images": "abc"}
        )
        object.__setattr__(result, "to_html", lambda path: path)
        store.finish(result)


def write_pictures(root: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(8, 9, 7, 3), dtype=np.uint8)
    for kind in ("png", "jpeg"):
        for i, image in enumerate(pixels):
            folder = root / kind / "ab"[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i}.{kind}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = [{"bytes": file.read_bytes(), "path": None} for file in sorted((root / "png").rglob("*.png"))]
    table = pa.table({"image": cells, "label": [0] * 4 + [1] * 4})
    (root / "tables").mkdir()
    pq.write_table(table, root / "tables" / "all.parquet", write_page_checksum=True)
    header = np.array([2051, 8, 9, 7], ">i4").tobytes()
    for name, content in {
        "t10k-images-idx3-ubyte": header + pixels[..., 0].tobytes(),
        "data_batch_1": b"\x80\x04.",
    }.items():
        (root / name).mkdir()
        (root / name / name).write_bytes(content)
