"""The main job in small: an undefended network, TRADES and TRADES+IGR on the digits, attacked and compared."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import torch

from holdfast.attacks import IFIA, PGD
from holdfast.attribution import IntegratedGradients
from holdfast.data import load_dataset
from holdfast.evaluate import Protocol, evaluate
from holdfast.evaluate.standard import strongest
from holdfast.files import locked
from holdfast.metrics import KendallTau, TopK
from holdfast.models.find import find_model
from holdfast.recipes import TITLES, recipe
from holdfast.report import Document, compare_results
from holdfast.report.examples import attacked_examples
from holdfast.report.words import dataset_title
from holdfast.report.write import write_report
from holdfast.results.result import RunResult, result_of
from holdfast.results.store import read_run
from holdfast.sweep.execute import Silent, Watch
from holdfast.train import Report, RunFolder, TrainConfig, train
from holdfast.train.folder import load_config

METHODS = ("standard", "trades", "trades-igr")
PICTURED = 4
STRONGEST = "auto"
"""The attack of the pictures."""


def demo_protocol(dataset: str, eps: float, k: int, images: int, points: int) -> Protocol:
    """The attack of the paper and the strongest one, the latter by itself for each of the two measures."""
    return Protocol(
        dataset=dataset,
        n_examples=400,
        n_attribution=images,
        predictions={"pgd20": PGD(eps, eps / 10, 20)},
        attributions=(IntegratedGradients(),),
        attacks={
            "ifia": IFIA(eps, eps / 5, 40, k, attribution=IntegratedGradients(points)),
            **strongest(eps, k, "quick"),
        },
        metrics=(KendallTau(), TopK(k)),
    )


DIGITS = demo_protocol("digits", 0.1, 8, 40, 5)
ZOO = {name: demo_protocol(name, 0.2, 100, 20, 5) for name in ("mnist", "fashion_mnist")}
"""For the networks that come with the package."""
SEEN = {
    "digits": "The perturbation of 0.1 can be seen, as texture around the digit.",
    "mnist": "The perturbation of 0.2 can be seen: grey texture around the digit, which is as legible as before.",
    "fashion_mnist": "The perturbation of 0.2 can be seen as texture on and around the garment.",
}
NOTES = (
    f"The pictured images are the first {PICTURED} of the test split that every model classifies correctly; none was "
    "chosen by hand.",
    "One network a method: verdicts are about these networks, not about the methods. For those compare several seeds "
    "on the data sets of the paper.",
    "Each network is trained and attacked on one thread of a CPU, so that the same seed gives the same numbers on one "
    "machine however many threads it has; another processor or version of PyTorch may round otherwise.",
)


def demo_recipes() -> dict[str, TrainConfig]:
    """The three networks by title: same data, same seed."""
    return {title_of(method): recipe(f"digits-{method}") for method in METHODS}


def title_of(method: str) -> str:
    """A method as the page calls it."""
    return "Undefended" if method == "standard" else TITLES[method]


def compare(
    recipes: Mapping[str, TrainConfig],
    protocol: Protocol,
    out: Path,
    *,
    watch: Watch = Silent,
    jobs: int = 1,
    device: str = "cpu",
    commands: Sequence[str] = (),
) -> tuple[Document, Path]:
    """Train each recipe (unless its folder holds it finished), evaluate all alike, and write the page.

    Args:
        recipes: configuration of each row by title; each is compared with the one before it.
        protocol: the evaluation, the same for every row.
        out: folder that receives a run folder a row and ``report.html``.
        watch: opens a progress display for a title, where ``jobs`` is 1.
        jobs: networks at once, each in a process of its own.
    """
    with locked(out):
        if jobs > 1:
            _at_once(recipes, protocol, out, device, jobs)
        results = {t: _finished(t, config, protocol, out, device, watch) for t, config in recipes.items()}
        models = {t: find_model(str(out / config.recipe)).model for t, config in recipes.items()}
        return _page(results, models, protocol, out, device, commands)


def compare_zoo(
    dataset: str, out: Path, *, watch: Watch = Silent, data_dir: str | None = None, commands: Sequence[str] = ()
) -> tuple[Document, Path]:
    """The same page from the networks for ``dataset`` that come with the package; nothing is trained."""
    protocol, results = ZOO[dataset], {}
    models = {title_of(method): find_model(f"{dataset}/{method}").model for method in METHODS}
    data = load_dataset(dataset, protocol.split, data_dir=data_dir)
    with locked(out):
        for method, (title, model) in zip(METHODS, models.items(), strict=True):
            with watch(title) as display, one_thread():
                found = evaluate(model, data, protocol, out / method, name=title, on_images=display.images)
            assert found is not None
            results[title] = result_of(found)
        return _page(results, models, protocol, out, "cpu", commands, data_dir)


def _at_once(recipes: Mapping[str, TrainConfig], protocol: Protocol, out: Path, device: str, jobs: int) -> None:
    """`_finished` for each in processes: trainings start longest first, evaluations as soon as there is a network."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        trained = {pool.submit(_trained, c, out, device): (t, c) for t, c in reversed([*recipes.items()])}
        evaluated = []
        for training in as_completed(trained):
            training.result()
            evaluated.append(pool.submit(_finished, *trained[training], protocol, out, device))
        for evaluation in evaluated:
            evaluation.result()


def _finished(
    title: str, config: TrainConfig, protocol: Protocol, out: Path, device: str, watch: Watch = Silent
) -> RunResult:
    """A network trained and evaluated, as far as its folder does not hold it already."""
    data = load_dataset(protocol.dataset, protocol.split)
    with watch(title) as display:
        folder = _trained(config, out, device, display.step)
        with one_thread():
            model = find_model(str(folder)).model.to(device)
            evaluate(model, data, protocol, folder / "eval", device=device, on_images=display.images)
    return read_run(folder, folder / "eval")


def _trained(config: TrainConfig, out: Path, device: str, on_step: Callable[[Report], None] | None = None) -> Path:
    """The folder of a network, trained unless it lies there finished."""
    folder = out / config.recipe
    done = RunFolder(folder)
    if not (done.finished and load_config(done.config) == config):
        with one_thread():
            train(config, folder, device=device, resume=True, on_step=on_step)
    return folder


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _page(
    results: Mapping[str, RunResult],
    models: Mapping[str, torch.nn.Module],
    protocol: Protocol,
    out: Path,
    device: str,
    commands: Sequence[str],
    data_dir: str | None = None,
) -> tuple[Document, Path]:
    data = load_dataset(protocol.dataset, protocol.split, data_dir=data_dir)
    placed = {title: model.to(device) for title, model in models.items()}
    with one_thread():
        examples = attacked_examples(placed, data, protocol, device, most=PICTURED, attack=STRONGEST)
    document = compare_results(
        results,
        dataset="UCI digits, 8×8" if protocol.dataset == "digits" else dataset_title(protocol.dataset),
        pairs=list(pairwise(results)),
        examples=examples,
        seen=f"Each row is attacked by AutoIFIA, which keeps the prediction. {SEEN[protocol.dataset]}",
        commands=commands,
        notes=NOTES,
        device=device,
    )
    return document, write_report(document, out)
