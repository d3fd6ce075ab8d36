"""`phi3v-data estimate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..schema.wording import counted
from .json_result import json_option, print_json
from .mixture import mixture_option, open_sources
from .progress import quiet_option, show_progress
from .settings import parse_settings, prepare_training_packages, recipe_settings

if TYPE_CHECKING:
    from ..trainer.capacity import Capacity, Duration, Gpus
    from ..trainer.estimate import DataEstimate

_SETTINGS = {
    "model": "model.name",
    "num_crops": "data.num_crops",
    "batch_size": "batch_size",
    "accumulate": "accumulate",
    "epochs": "epochs",
    "max_tokens": "data.max_tokens",
    "split": "data.train_split",
}
_LISTED = 20
_USUAL_MEMORY = 80e9


@click.command("estimate", short_help="Estimate a run: tokens, steps, memory of a GPU for every strategy.")
@click.argument("data", required=False)
@mixture_option
@click.option(
    "--model", help="Hub id, local folder, or 'tiny'; no weights.  [default: microsoft/Phi-3.5-vision-instruct]"
)
@click.option("--num-crops", type=int, help="Largest number of crops of an image.  [default: the model's]")
@click.option("--batch-size", type=int, help="Records in one optimizer step.  [default: 16]")
@click.option("--accumulate", type=int, help="Micro-batches a GPU takes for a step.  [default: by tokens]")
@click.option(
    "--gpus", "--ranks", "ranks", type=click.IntRange(min=1), default=1, show_default=True, help="Number of GPUs."
)
@click.option(
    "--gpu-memory", type=click.FloatRange(1), help="Memory of a GPU, in GB.  [default: of the one here, else 80]"
)
@click.option("--gpu", help="Kind of GPU, such as A100, for the time an epoch takes.  [default: the one here, if any]")
@click.option(
    "--utilisation",
    type=click.FloatRange(0.01, 1),
    default=0.4,
    show_default=True,
    help="Share of the GPU's peak that training reaches (MFU).",
)
@click.option("--recipe", help="Settings of a named run; `phi3v-data recipes` lists them.")
@click.option("--epochs", type=float, help="Passes over the training split.  [default: 1]")
@click.option("--max-tokens", type=int, help="List the records that are longer, and leave them out.")
@click.option("--split", help="Split to train on.  [default: train]")
@quiet_option
@json_option
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting that train takes.")
def command(
    data: str | None,
    mixture: tuple[str, ...],
    ranks: int,
    gpu_memory: float | None,
    gpu: str | None,
    utilisation: float,
    recipe: str | None,
    quiet: bool,
    as_json: bool,
    settings: tuple[str, ...],
    **options: Any,
) -> None:
    """Estimate a run: tokens, steps, memory of a GPU for every strategy.

    Balance between GPUs, what packing saves, and the time of an epoch are estimated, too.
    The headers of the images are read, and of the model its tokenizer and configuration; no weights. What was counted
    is kept beside the data, and `train` takes it from there.
    """
    from ..trainer.config import make_config

    given = {_SETTINGS[name]: value for name, value in options.items() if value is not None}
    config = make_config({**recipe_settings(recipe), **given, **parse_settings(settings)})
    sources = open_sources(data, mixture)
    prepare_training_packages()
    from ..schema.index import Counting
    from ..trainer.capacity import Gpus, epoch_duration, strategy_capacities
    from ..trainer.estimate import estimate_data
    from ..trainer.model_folder import load_model_config, load_run_processor

    counting = Counting.of(load_run_processor(config))
    model = load_model_config(config)
    with show_progress(quiet) as progress:
        found = estimate_data(sources, config, counting, model, ranks, progress)
    here = _gpu_here()
    gpus = Gpus(ranks, gpu_memory * 1e9 if gpu_memory else here[1] if here else _USUAL_MEMORY)
    capacities = strategy_capacities(config, model, found, gpus)
    kind = gpu or (here[0] if here else None)
    duration = epoch_duration(found, gpus, kind, utilisation) if kind else None
    if as_json:
        print_json({"data": found, "gpu_memory": gpus.memory, "strategies": capacities, "epoch": duration})
    else:
        click.echo("\n".join([*_lines(found), "", *_memory_lines(capacities, gpus), *_time_lines(duration, ranks)]))


def _gpu_here() -> tuple[str, float] | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(), float(torch.cuda.get_device_properties(0).total_memory)


def _memory_lines(capacities: list[Capacity], gpus: Gpus) -> list[str]:
    columns = ("weights", "gradients", "optimizer", "communication", "activations", "overhead", "total")
    each = "the GPU" if gpus.count == 1 else f"each of {gpus.count} GPUs"
    lines = [
        f"memory of {each}, in GB ({gpus.memory / 1e9:,.0f} available)",
        f"{'strategy':<14}{'backend':<8}" + "".join(f"{name:>14}" for name in columns) + "  largest micro-batch",
    ]
    for capacity in capacities:
        memory = capacity.memory
        numbers = "".join(f"{getattr(memory, name) / 1e9:>14,.1f}" for name in columns)
        fits = capacity.advice or f"{capacity.micro_batch_tokens:,} tokens"
        lines.append(f"{memory.strategy:<14}{memory.backend:<8}{numbers}  {fits}")
    return lines


def _time_lines(duration: Duration | None, gpus: int) -> list[str]:
    if duration is None:
        return []
    each = f"{duration.utilisation:.0%} of {duration.peak_tflops:,.0f} TFLOP/s on {gpus} x {duration.gpu}"
    minutes = duration.hours * 60
    time = f"{duration.hours:,.1f} hours" if minutes > 90 else f"{minutes:,.2g} minutes"
    return ["", f"an epoch takes about {time} at {each}"]


def _lines(found: DataEstimate) -> list[str]:
    lines = [f"records: {found.records:,}; epochs: {found.epochs:g}; steps: {found.steps:,} of {found.batch_size}"]
    if found.faulty:
        lines.append(f"cannot be trained on: {counted(found.faulty, 'record')}; phi3v-data validate names them")
    if found.unanswered:
        lines.append(f"a turn without an answer: in {counted(found.unanswered, 'record')}")
    if found.too_long:
        lines.append(f"too long, and left out below: {counted(len(found.too_long), 'record')}")
        lines += [f"  {record.id}: {record.tokens:,} tokens" for record in found.too_long[:_LISTED]]
        if len(found.too_long) > _LISTED:
            lines.append(f"  and {len(found.too_long) - _LISTED:,} more; --json names all")
    lines += [
        "",
        f"{'a record':<12}" + "".join(f"{name:>10}" for name in ("mean", "least", "p50", "p90", "p99", "most")),
    ]
    for name, spread in (("tokens", found.tokens), ("images", found.images), ("crops", found.crops)):
        numbers = (spread.least, spread.p50, spread.p90, spread.p99, spread.most)
        lines.append(f"{name:<12}{spread.mean:>10,.1f}" + "".join(f"{number:>10,}" for number in numbers))
    balance = found.balance
    where = f"steps: the first {balance.steps}; GPUs: {found.ranks}; micro-batches a GPU: {balance.micro_batches:.3g}"
    return [
        *lines,
        "",
        f"{counted(found.tokens.total, 'token')}, {counted(found.images.total, 'image')} and "
        f"{counted(found.crops.total, 'crop')} in all",
        f"{found.teraflop:,.3g} TFLOP to train on a record, forward and backward",
        "",
        f"without padding  {balance.padding:.1%} of the tokens saved, against micro-batches padded to their longest",
        f"                 {found.crop_padding:.1%} of the crops saved, against images padded to the most crops",
        f"balanced by cost the costliest GPU has {balance.imbalance:.1%} more than the mean; "
        f"{balance.worst_imbalance:.1%} in the worst step; {balance.imbalance_in_order:.1%} if assigned in order",
        f"                 ({where})",
    ]
