"""Bad input on the command line: one line that names it and the remedy, exit code 2, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from holdfast.cli import main
from tests.runs.bad_lines import check_refused

SHORT = "--data.train-size 64 --optim.epochs 1 --val-size 20"
NO_GPU = (
    []
    if torch.cuda.is_available()
    else [
        ("train digits-at --device cuda", "device 'cuda'", "choose cpu or auto"),
    ]
)
BAD = [
    # which command
    ("trian digits-at", "unknown command 'trian'", "did you mean train?"),
    ("--fast", "unknown command '--fast'", "Known: demo, data"),
    # train
    ("train", "the recipe is missing", "holdfast train digits-trades-igr"),
    ("train --seed 3", "the recipe is missing", "for example"),
    ("train mnist-tardes", "unknown recipe 'mnist-tardes'", "did you mean mnist-trades"),
    ("train digits-at --optim.lrr 1", "unknown option '--optim.lrr'", "did you mean --optim.lr"),
    ("train digits-at more", "'more' is neither an option nor the value of one", "before the options"),
    ("train digits-at --optim.epochs many", "--optim.epochs", "'many'"),
    ("train digits-at --optim.lr fast", "--optim.lr", "'fast'"),
    ("train digits-at --optim.epochs 2.5", "--optim.epochs", "'2.5'"),
    ("train digits-at --optim.epochs", "--optim.epochs", "Missing value"),
    ("train digits-at --data.train-size few", "--data.train-size", "few"),
    ("train digits-at --profile lapto", "unknown profile 'lapto'", "did you mean laptop"),
    ("recipes --profile laptob", "unknown profile 'laptob'", "did you mean laptop"),
    ("recipes --dataset mnits", "unknown data set 'mnits'", "did you mean mnist"),
    ("train digits-at --objective.attack.eps -0.1", "eps is -0.1", "at least 0"),
    ("train digits-at-igr --objective.lam -1", "lam is -1.0", "at least 0"),
    ("train digits-sgd --objective.lam 1", "unknown recipe 'digits-sgd'", "holdfast recipes"),
    ("train digits-at --optim.weight-decay -1", "optim.weight_decay is -1.0", "at least 0"),
    ("train digits-at --data.train-size 9999", "9999", "choose 1 to 1197"),
    ("train digits-at --device warp", "device 'warp'", "choose cpu or auto"),
    ("train digits-at --device meta", "device 'meta'", "choose cpu or auto"),
    *NO_GPU,
    ("train digits-at --device cpu --precision tfloat32", "tfloat32", "choose float32, or bfloat16"),
    ("train digits-at --profile=", "--profile is empty", "choose smoke, laptop"),
    ("train digits-at --seed 1 --profile", "--profile is empty", "choose smoke, laptop"),
    ("evaluate nets.py:linear --dataset digits --profile=", "--profile is empty", "choose smoke, laptop"),
    ("reproduce all --profile=", "--profile is empty", "choose smoke, laptop"),
    # parts
    ("train digits-at --objective tradez", "unknown objective 'tradez'", "did you mean TRADES"),
    ("train digits-at-igr --objective.attribution inegrated", "unknown attribution 'inegrated'", "IntegratedGradients"),
    ("train digits-at-igr --objective.base tradez", "unknown objective 'tradez'", "did you mean TRADES"),
    ("train digits-at --objective.attack pdg", "unknown attack 'pdg'", "did you mean"),
    ("train digits-at --objective.base at", "unknown option '--objective.base'", "did you mean --objective"),
    ("train digits-at --objective", "--objective names nothing", "file.py:Class"),
    ("train digits-at --objective --seed 1", "--objective names nothing", "file.py:Class"),
    ("train digits-at --objective=", "--objective names nothing", "file.py:Class"),
    ("train digits-at --objective gone.py:Mine", "gone.py does not exist", "give file.py:name"),
    ("train digits-at --objective broken.py:Mine", "SyntaxError", "Mend the file"),
    ("train digits-at --objective parts.py:Mein", "'Mein'", "did you mean Mine"),
    ("train digits-at --objective parts.py:Loose", "is not a subclass of holdfast.Objective", "derive it"),
    ("train digits-at --objective parts.py:Mine", "does not define __call__", "an objective needs it"),
    ("train digits-at --objective parts.py:Thawed", "is no frozen dataclass", "@dataclass(frozen=True)"),
    ("train digits-at --objective parts.py:Needy", "cannot be made without arguments", "give each of its fields a def"),
    # radii
    ("train digits-at --objective.attack.eps 8", "--objective.attack.eps is 8", "8 levels of 255 are written 8/255"),
    ("train digits-at --objective.attack.eps 8/0", "a division by 0", "a fraction such as 8/255"),
    ("train digits-at --objective.attack.eps 8/x", "--objective.attack.eps", "8/x"),
    ("train digits-at --validation.eps=8", "--validation.eps is 8", "8/255"),
    ("evaluate nets.py:linear --dataset digits --eps 8", "--eps is 8", "8/255"),
    ("evaluate nets.py:linear --dataset digits --ifia.eps 2/1", "--ifia.eps is 2", "2/255"),
    ("train digits-at --precision float16", "'float16'", "'float32', 'tfloat32', 'bfloat16'"),
    ("train digits-at --out nets.py", "nets.py", "choose another --out"),
    (f"train digits-at --out data {SHORT}", "data is not empty (mnist)", "choose another --out"),
    # models
    ("train digits-at --model resnet", "unknown model 'resnet'", "did you mean resnet18"),
    ("train digits-at --model gone.py:net", "gone.py does not exist", "give file.py:name"),
    ("train digits-at --model nobody.has.this:net", "importing nobody.has.this failed", "Check the path"),
    ("train digits-at --model broken.py:net", "SyntaxError", "Mend the file"),
    ("train digits-at --model needs.py:net", "a_module_that_nobody_has", "its dependencies are installed"),
    ("train digits-at --model wordy.py:net", "first line second line", "Mend the file"),
    ("train digits-at --model nets.py:lineal", "'lineal'", "did you mean linear?"),
    ("train digits-at --model nets.py:number", "nets.py:number returned int", "must return a torch.nn.Module"),
    (
        "train digits-at --model nets.py:colour",
        "cannot take images of shape (1, 8, 8)",
        "Choose a model for this shape",
    ),
    ("train digits-at --model nets.py:big", "cannot take images of shape (1, 8, 8)", "Choose a model for this shape"),
    ("train digits-at --model nets.py:few", "7 logits, but the data has 10 classes", "enough outputs"),
    ("train digits-at --model nets.py:maps", "the model returned (4, 10, 6, 6)", "logits of shape"),
    # data
    ("train digits-at --data.name digitz", "unknown data set 'digitz'", "did you mean digits?"),
    ("train mnist-at", "data set 'mnist' was not found", "--data-dir or HOLDFAST_DATA"),
    ("train mnist-at --data-dir gone", "data folder 'gone' does not exist", "give an existing folder"),
    ("train mnist-at --data-dir data", "mnist/test-00000-of-00001.parquet'", "fetch it again"),
    ("train digits-at --data.name ./empty", "folder 'empty' holds no data set", "it needs"),
    ("data lst", "unknown action 'lst'", "did you mean list?"),
    ("data info", "the data set is missing", "holdfast data info mnist"),
    ("data info digitz", "unknown data set 'digitz'", "did you mean digits?"),
    ("data prepare mnist --data-dir data", "parquet", "fetch it again"),
    ("data list --dir x", "unknown option '--dir'", "--data-dir"),
    # recipes and demo
    ("recipes mnist-tardes", "unknown recipe 'mnist-tardes'", "did you mean mnist-trades"),
    ("recipes --all", "the recipe is missing", "holdfast recipes digits-trades-igr"),
    ("recipes digits-at digits-mart", "'digits-mart'", "one recipe at a time"),
    ("demo --outt x", "unknown option '--outt'", "did you mean --out"),
    ("demo --device warp", "device 'warp'", "choose cpu or auto"),
    # evaluate
    ("evaluate", "the run or model is missing", "holdfast evaluate runs/digits-trades-igr"),
    ("evaluate --dataset digits", "the run or model is missing", "for example"),
    ("evaluate nothing", "unknown model 'nothing'", "module:factory, file.py:factory"),
    ("evaluate mnist/tardes", "unknown model 'mnist/tardes'", "did you mean mnist/trades"),
    ("evaluate mnist/trades --weights junk.pt", "mnist/trades comes with its own weights", "drop --weights"),
    (
        "evaluate nets.py:linear --dataset digits --n 4",
        "unknown option '--n'",
        "did you mean --n-",
    ),
    ("train digits-at --lr 1", "unknown option '--lr'", "did you mean --optim.lr?"),
    ("train digits-at --epochs 1", "unknown option '--epochs'", "did you mean --optim.epochs?"),
    ("train digits-at --name mnist", "unknown option '--name'", "did you mean --data.name or --optim.name?"),
    ("train trades-igr", "unknown recipe 'trades-igr'", "did you mean mnist-trades-igr or digits-trades-igr"),
    ("evaluate empty", "empty/config.json does not exist", "give a folder that holdfast train wrote"),
    ("evaluate nets.py:linear", "a model without a data set", "--dataset mnist"),
    ("evaluate nets.py:linear --dataset", "--dataset", "Missing value"),
    ("evaluate nets.py:linear --dataset digitz", "unknown data set 'digitz'", "did you mean digits?"),
    ("evaluate nets.py:linear --dataset mnist --data-dir data", "parquet", "fetch it again"),
    ("evaluate nets.py:linear --dataset digits --split dev", "'dev'", "'train', 'val', 'test'"),
    ("evaluate nets.py:linear --dataset digits --ifia.k 65", "k is 65", "from 1 to the 64 features"),
    ("evaluate nets.py:linear --dataset digits --eps -0.1", "eps is -0.1", "at least 0"),
    ("evaluate nets.py:linear --dataset digits --ifia.stepz 4", "'--ifia.stepz'", "did you mean --ifia.steps"),
    ("evaluate nets.py:linear --dataset digits --ifia.steps 0", "steps is 0", "at least 1"),
    ("evaluate nets.py:linear --dataset digits --n-examples 401", "n_examples is 401", "has 400 images"),
    ("evaluate nets.py:linear --dataset digits --device warp", "device 'warp'", "choose cpu or auto"),
    ("evaluate nets.py:linear --dataset digits --weights gone.pt", "gone.pt do not exist", "give a run folder"),
    ("evaluate nets.py:linear --dataset digits --weights junk.pt", "junk.pt cannot be read", "restore it"),
    ("evaluate nets.py:linear --dataset digits --weights list.pt", "list.pt hold no state dict", "state_dict()"),
    ("evaluate nets.py:linear --dataset digits --weights junk.safetensors", "cannot be read", "restore it"),
    ("evaluate nets.py:linear --dataset digits --weights foreign.safetensors", "missing 1.bias", "trained with"),
    ("evaluate nets.py:linear --dataset digits --weights shape.safetensors", "(10, 63) instead of (10, 64)", "trained"),
    ("evaluate resnet18 --dataset digits --weights shape.safetensors", "do not fit ResNet18", "trained with"),
    ("evaluate nets.py:linear --dataset digits --out nets.py", "nets.py", "choose another --out"),
]


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(("line", "value", "remedy"), BAD, ids=lambda text: text[:70])
def test_one_line(line: str, value: str, remedy: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(line, value, remedy, place, capsys)


@pytest.mark.filterwarnings("always::holdfast.HoldfastWarning")
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_probabilities_are_warned_of(
    command: str, place: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    if command == "train":
        argv = f"train digits-standard --device cpu --model nets.py:probabilities --out p {SHORT}"
    else:
        argv = (
            "evaluate nets.py:probabilities --device cpu --dataset digits --n-examples 5 --n-attribution 1 "
            "--cw-steps 1 --ifia.steps 1"
        )
    assert main(argv.split()) == 0
    said = capsys.readouterr().err + "".join(str(warning.message) for warning in recwarn)
    assert "look like probabilities" in said
    assert "remove the final softmax" in said
