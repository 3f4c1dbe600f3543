"""``holdfast audit MODEL IMAGES [options]``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from holdfast.cli.parse import parse, seconds_of, take_name
from holdfast.errors import HoldfastError
from holdfast.files import make_folder, write_atomically

if TYPE_CHECKING:
    from holdfast.attribution.base import Attribution
    from holdfast.audit import AuditResult


@dataclass(frozen=True)
class AuditOptions:
    eps: Annotated[tuple[float, ...], tyro.conf.UseAppendAction] = ()
    """Radius of the attack, Linf, a part of the pixel range such as 2/255; several give a curve (0.5 to 8 of 255;
    1 to 4 on large images)."""
    attribution: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Explanation by name, e.g. saliency, GradCAM(layer="layer4"), file.py:Mine, captum.attr:DeepLift; several compare
    them. By default those that fit the network."""
    images: int = 20
    """Images audited: the first ones of the set."""
    k: int | None = None
    """Features that count as the most important ones; a tenth of them by default."""
    budget: Literal["light", "quick", "standard", "thorough"] = "quick"
    """How hard the attack tries; on large images quick is light."""
    weights: str | None = None
    """State dict for the model; "random" leaves a network of timm or Hugging Face untrained."""
    checkpoint: Literal["last", "best"] = "last"
    """Of a run: the weights after its last epoch, or those best on validation."""
    mean: tuple[float, ...] | None = None
    """Of the normalisation that the model expects outside, one number per channel."""
    std: tuple[float, ...] | None = None
    """Likewise."""
    image_size: int | tuple[int, int] | None = None
    """Height and width, or one number for both, that images are resized and cropped to; what the model asks for by
    default."""
    draws: int = 5
    """Perturbations of random signs, of which the worst counts as noise; one with the light budget."""
    certify: bool | None = None
    """Certify voted maps; by default on small images only."""
    samples: int = 1000
    """Noisy copies per image of the certificate."""
    multi_label: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The logits are independent labels: every label that an image is given (logit above 0) is explained."""
    time_limit: str | None = None
    """Begin no further image after so long, e.g. 90s, 10m, 2h; takes a weaker budget if all images fit only so."""
    fail_under: float | None = None
    """Exit with code 1 if the share of top features left under attack at the reference radius is below this."""
    out: str | None = None
    """Folder of report.html, audit.json and the records; runs/audit-MODEL by default. The same command goes on."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print audit.json to standard output and nothing else."""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the verdict alone."""
    strict: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Refuse a folder with files that cannot be read."""
    seed: int = 0
    """Seed of every random number."""
    yes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start an audit of more than an hour without asking."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU when there is one."""
    data_dir: str | None = None
    """Where data sets lie (before HOLDFAST_DATA and the Hub)."""


DESCRIPTION = (
    "holdfast audit MODEL IMAGES [options]: how far can the explanations of a model be moved by a change that keeps "
    "its predictions? MODEL: file.py:factory, module:factory, a run, a network of the zoo (mnist/trades-igr), "
    "timm:NAME, hf:ID, a .pt2 or TorchScript file. IMAGES: a folder with or without class folders, parquet "
    "files, a data set by name, a Hub id. Writes a page, report.html. holdfast audit --compare A B puts two finished "
    "audits side by side (folders), or two models with IMAGES after them."
)


def run(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        parse(AuditOptions(), ["--help"], "audit MODEL IMAGES", DESCRIPTION)
    if argv and argv[0] == "--compare":
        return _compare(argv[1:])
    model, rest = take_name(argv, "the model", "audit", "mnist/trades-igr mnist")
    images, rest = take_name(rest, "the folder of images", f"audit {model}", "path/to/images")
    options = parse(AuditOptions(), rest, f"audit {model} {images}", DESCRIPTION)
    out = Path(options.out or f"runs/audit-{_short(model)}").expanduser()
    result = _audited(model, images, options, out)
    if options.json:
        print(json.dumps(result.to_dict(), indent=1))
    elif options.quiet:
        print(result.verdict())
    else:
        print(f"{result}\n")
        for flag in result.flags:
            print(f"! {flag}")
        print(f"Page: {out / 'report.html'}; numbers: {out / 'audit.json'}")
    if options.fail_under is not None and not result.score >= options.fail_under:
        share = f"{100 * result.score:.1f} %" if result.measured else "an unknown share (every map is blank)"
        print(
            f"holdfast: {share} of the top features left under attack, fewer than --fail-under "
            f"{options.fail_under:g} asks for.",
            file=sys.stderr,
        )
        return 1
    return 0


def _compare(argv: Sequence[str]) -> int:
    """``holdfast audit --compare A B [IMAGES] [options]``: two audits, or two models that are audited first."""
    first, rest = take_name(argv, "the first audit", "audit --compare", "runs/audit-a runs/audit-b")
    second, rest = take_name(rest, "the second audit", f"audit --compare {first}", "runs/audit-b")
    both = (first, second)
    kept = [(Path(name) / "audit.json").is_file() for name in both]
    command = f"audit --compare {first} {second}"
    images = ""
    if not all(kept):
        images, rest = take_name(rest, "the folder of images", command, "path/to/images")
    options = parse(AuditOptions(), rest, f"{command} {images}".strip(), DESCRIPTION)
    if options.fail_under is not None or options.weights is not None:
        raise HoldfastError(
            "--fail-under and --weights belong to one model; audit each by itself, then compare the folders."
        )

    from holdfast.audit import compare_audits, load_audit

    out = Path(options.out or f"runs/compare-{_short(first)}-{_short(second)}").expanduser()
    audits = [
        load_audit(name) if there else _audited(name, images, options, out / f"{place}-{_short(name)}")
        for place, (name, there) in enumerate(zip(both, kept, strict=True), 1)
    ]
    found = compare_audits(*audits)
    make_folder(out)
    page = found.to_html(out / "report.html")
    write_atomically(out / "comparison.json", json.dumps(found.to_dict(), indent=1) + "\n")
    if options.json:
        print(json.dumps(found.to_dict(), indent=1))
    else:
        print(found.verdict() if options.quiet else f"{found}\n\nPage: {page}")
    return 0


def _short(name: str) -> str:
    return name.strip("/").replace("/", "-").replace(":", "-").replace(".py", "").lstrip(".-")


def _audited(model: str, images: str, options: AuditOptions, out: Path) -> AuditResult:
    """The audit that the options ask for, with an estimate before it and progress on the way."""
    limit = seconds_of(options.time_limit)

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from holdfast.audit import AuditSettings, audit
    from holdfast.cli.estimate import announce
    from holdfast.validate import pick_device

    settings = AuditSettings(
        attributions=explanations(options.attribution),
        eps=options.eps,
        k=options.k,
        images=options.images,
        budget=options.budget,
        draws=options.draws,
        certify=options.certify,
        samples=options.samples,
        multi_label=options.multi_label,
        seed=options.seed,
    )
    device = pick_device(options.device)
    console = Console(stderr=True, quiet=options.json or options.quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("images, left"),
    )
    progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    task = progress.add_task(_short(model), total=options.images)
    with ExitStack() as shown:

        def begin(seconds: float) -> None:
            announce(f"the audit of {model}", seconds, device, yes=options.yes)
            shown.enter_context(progress)

        return audit(
            model,
            images,
            settings,
            out=out,
            time_limit=limit,
            device=device,
            weights=options.weights,
            checkpoint=options.checkpoint,
            mean=options.mean,
            std=options.std,
            image_size=options.image_size,
            strict=options.strict,
            data_dir=options.data_dir,
            on_image=lambda done, total: progress.update(task, completed=done, total=total),
            on_start=begin,
        )


def explanations(specs: Sequence[str]) -> tuple[Attribution, ...]:
    """Explanations by name, ``Name(field=value)``, or ``file.py:Class``; a callable is wrapped in `External`."""
    from holdfast.attribution import External
    from holdfast.attribution.base import Attribution
    from holdfast.evaluate import part_named
    from holdfast.imports import imported
    from holdfast.parts import Part

    found = []
    for spec in specs:
        named = ":" in spec and "(" not in spec
        target = imported(spec, "attribution") if named else None
        wrapped = named and not (isinstance(target, type) and issubclass(target, Part))
        found.append(External(spec) if wrapped else part_named(Attribution, spec))
    return tuple(found)
