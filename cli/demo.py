"""`phi3v-data demo`."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import click

from ..storage import LocalFolder, check_writable
from .demo_clips import CLASSES, write_clips
from .local_path import LocalPath
from .settings import prepare_training_packages

_MARK = "phi3v-data-demo"  # a file that says: all in here was made by the demo


@click.command("demo", short_help="Go the whole way on generated clips: convert, validate, train, evaluate.")
@click.option(
    "--out",
    type=LocalPath(),
    default="demo",
    show_default=True,
    help="Folder for everything; what an earlier demo left there is made anew.",
)
def command(out: Path) -> None:
    """Go the whole way on generated clips: convert, validate, train, evaluate.

    Needs no network and no GPU, and takes a few minutes on two cores. Each step is a command you can give yourself; it
    is shown before it runs.
    """
    prepare_training_packages()
    clips, data, run = out / "clips", out / "data", out / "run"
    data_report, run_report = out / "report-data", out / "report-run"
    _make_room(out, [clips, data, run, data_report, run_report])

    click.secho(f"Clips: a disc that moves in one of {len(CLASSES)} ways ({', '.join(CLASSES)})", bold=True)
    click.echo(f"{write_clips(clips)} clips in {clips}")

    _run(f"convert --source ucf101 --frames 4 --input {_quoted(clips)} --out {_quoted(data)}")
    _run(f"validate {_quoted(data)}")
    _run(
        f"train {_quoted(data)} --model tiny --strategy full --precision fp32 --epochs 12 --lr 1e-3 --batch-size 12 "
        f"--accumulate 1 --out {_quoted(run)} --set model.gradient_checkpointing=0 --set evaluation.batch_size=30 "
        "--set evaluation.max_new_tokens=12 --set log_every=30"
    )
    _run(f"evaluate {_quoted(data)} --checkpoint {_quoted(run)} --split test --precision fp32 --max-new-tokens 12")
    _run(f"report {_quoted(data)} --model {_quoted(run / 'model')} --model-pixels 24 --out {_quoted(data_report)}")
    _run(f"report {_quoted(run)} --out {_quoted(run_report)}")
    before, after = (
        json.loads((run / f"eval_{when}.json").read_text())["metrics"]["accuracy"]["value"]
        for when in ("before", "after")
    )
    chance = 1 / len(CLASSES)
    click.echo()
    click.secho(f"validation accuracy: {after:.3f} (before training {before:.3f}, by chance {chance:.3f})", bold=True)
    click.echo()
    click.secho("What is where", bold=True)
    click.echo(_places(data, run))
    click.secho("What to try next", bold=True)
    click.echo(_next_steps(data, run))
    click.secho("Look at it in a browser", bold=True)
    click.echo(f"  the dataset  {_page(data_report)}")
    click.echo(f"  the run      {_page(run_report)}")


def _make_room(out: Path, folders: list[Path]) -> None:
    mark = out / _MARK
    if out.is_dir() and any(out.iterdir()) and not mark.exists():
        raise click.UsageError(f"--out {out}: holds files that the demo did not make; choose another folder")
    check_writable(LocalFolder(out))
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
    out.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _run(line: str) -> None:
    """Run one of our own commands as if it had been typed, and show it."""
    from .main import run_command

    click.echo()
    click.secho(f"$ phi3v-data {line}", bold=True)
    code = run_command(shlex.split(line))
    if code:
        raise click.ClickException(f"the step above ended with exit code {code}")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _page(report: Path) -> str:
    return (report / "index.html").resolve().as_uri()


def _places(data: Path, run: Path) -> str:
    rows = {
        data / "ucf101_train.jsonl": "records, one a line",
        data / "images": "their images",
        data / "dataset.json": "what made them, and how many",
        run / "model": "the trained model and its processor",
        run / "eval_after.json": "every answer after training",
        run / "run.json": "configuration, versions, results",
        run / "logs": f"losses, for: tensorboard --logdir {_quoted(run / 'logs')}",
    }
    width = max(len(str(path)) for path in rows)
    return "".join(f"  {path!s:<{width}}  {what}\n" for path, what in rows.items())


def _next_steps(data: Path, run: Path) -> str:
    adapters = Path(f"{run}-lora")
    return (
        "  # adapters on the model just trained\n"
        f"  phi3v-data train {_quoted(data)} --model {_quoted(run / 'model')} --strategy lora --precision fp32 "
        f"--out {_quoted(adapters)}\n"
        f"  phi3v-data predict --checkpoint {_quoted(adapters)} --precision fp32 --data {_quoted(data)} --limit 3\n"
        "  # the public subset of UCF-101, and Phi-3.5-vision on it, with a GPU\n"
        "  phi3v-data convert --source ucf101 --frames 8\n"
        "  phi3v-data validate data/ucf101\n"
        "  phi3v-data train data/ucf101\n"
    )
