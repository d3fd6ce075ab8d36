"""The configuration of a run: one tree of structs, checked when it is made.

Every field carries its bounds and its help in its annotation; `--set optimizer.lr=1e-4` on the command line reaches
each of them by its path in the tree. Numbers not explained here are the recipe's (Microsoft's Phi cookbook, vision
fine-tuning).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ..schema.errors import UsageError
from ..schema.wording import expected_choice

Strategy: TypeAlias = Literal["full", "frozen-vision", "lora", "qlora"]
Precision: TypeAlias = Literal["bf16", "fp16", "fp32", "bf16-pure"]
BackendName: TypeAlias = Literal["auto", "single", "ddp", "fsdp2", "zero2", "zero3"]
Tracker: TypeAlias = Literal["tensorboard", "wandb", "mlflow", "none"]
TooLong: TypeAlias = Literal["error", "drop"]
Attention: TypeAlias = Literal["auto", "varlen", "sdpa", "flash_attention_2", "eager"]

# Full and frozen vision: the recipe's NLVR2 runs on Phi-3.5-vision. LoRA and QLoRA: all of its runs.
_LEARNING_RATES: dict[Strategy, float] = {"full": 1e-5, "frozen-vision": 2e-5, "lora": 2e-4, "qlora": 2e-4}


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model is trained, and in which arithmetic."""

    name: Annotated[str, Meta(description="hub id, local folder, or 'tiny'")] = "microsoft/Phi-3.5-vision-instruct"
    precision: Annotated[
        Precision, Meta(description="arithmetic; trained weights stay in fp32, with bf16-pure in two bfloat16 numbers")
    ] = "bf16"
    attention: Annotated[Attention, Meta(description="attention kernel; auto is varlen")] = "auto"
    gradient_checkpointing: Annotated[
        int, Meta(ge=0, description="recompute the activations of every n-th layer to save memory; 1: all, 0: none")
    ] = 1
    fused_loss: Annotated[bool, Meta(description="head and loss in Liger's kernel, on a GPU; without adapters")] = False
    init_adapter: Annotated[
        str | None, Meta(description="adapter folder or run to continue from, for lora and qlora")
    ] = None


class DataConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which records are trained on, and how their images are cut."""

    train_split: Annotated[str | None, Meta(description="split that is trained on; default: train")] = None
    eval_split: Annotated[str | None, Meta(description="split that is evaluated on; default: val, dev or test")] = None
    num_crops: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="most crops an image; default: the model's")
    ] = None
    max_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="longest record; default: as long as the model takes")
    ] = None
    too_long: Annotated[TooLong, Meta(description="what is done about longer ones, which are never cut")] = "error"
    exact_pixels: Annotated[bool, Meta(description="Pillow's resize, bit for bit the published one; slower")] = False
    workers: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="processes a GPU that load images; default: one a core, at most 8; none without a GPU"),
    ] = None
    bad_samples_in_a_row: Annotated[
        int, Meta(ge=1, description="so many images that cannot be read, one after the other, end the run")
    ] = 10
    shards_per_block: Annotated[int, Meta(ge=1, description="shards that are mixed with one another")] = 8
    cache_folder: Annotated[
        str | None, Meta(description="where shards are copied to; default: the user's cache, for data on a store only")
    ] = None
    cache_gb: Annotated[float, Meta(gt=0, description="most that copies of shards take of a node's disk")] = 64.0
    trace: Annotated[bool, Meta(description="write down which records each step was trained on")] = False


class OptimizerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AdamW with a linear schedule."""

    lr: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="peak learning rate; default: 1e-5 full, 2e-5 frozen-vision, 2e-4 lora and qlora"),
    ] = None
    tower_lr: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="peak learning rate of the vision tower; default: lr")
    ] = None
    projector_lr: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="peak learning rate of projector and separators; default: lr"),
    ] = None
    weight_decay: Annotated[float, Meta(ge=0, description="decoupled weight decay")] = 0.01
    beta1: Annotated[float, Meta(ge=0, lt=1, description="first moment's decay")] = 0.9
    beta2: Annotated[float, Meta(ge=0, lt=1, description="second moment's decay")] = 0.95
    eps: Annotated[float, Meta(gt=0, description="Adam's epsilon")] = 1e-7
    warmup_steps: Annotated[int, Meta(ge=0, description="linear warm-up; at most a tenth of the run")] = 50
    max_grad_norm: Annotated[float, Meta(gt=0, description="gradients are clipped to this norm")] = 1.0


class LoraSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters, for --strategy lora and qlora."""

    rank: Annotated[int, Meta(ge=1, description="rank of the adapters")] = 64
    alpha: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="scale numerator; default: twice the rank")
    ] = None
    dropout: Annotated[float, Meta(ge=0, lt=1, description="dropout on the adapters' input")] = 0.0
    vision: Annotated[bool, Meta(description="adapters on the vision tower and projector, too")] = True
    dora: Annotated[bool, Meta(description="weight-decomposed adapters (DoRA)")] = False
    rslora: Annotated[bool, Meta(description="scale by the root of the rank (rsLoRA)")] = False
    double_quantisation: Annotated[bool, Meta(description="qlora: quantise the scales of the weights, too")] = False


class EvaluationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evaluation, before, during and after training."""

    enabled: Annotated[bool, Meta(description="generate answers before and after training")] = True
    batch_size: Annotated[int, Meta(ge=1, description="questions answered at a time")] = 8
    max_new_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 64
    limit: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="at most so many records; default: all")] = (
        None
    )
    metrics: Annotated[
        str, Meta(description="names with commas between, such as accuracy,roc_auc; auto: all that the data allows")
    ] = "auto"
    primary: Annotated[
        str | None, Meta(description="the metric that checkpoints are chosen by; default: anls, else accuracy")
    ] = None
    positive_label: Annotated[
        str | None, Meta(description="of two labels, the one whose probability ROC AUC ranks by; default: yes, true, 1")
    ] = None
    every: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="steps between two evaluations of a run; default: none")
    ] = None
    early_stopping: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="so many evaluations without a better primary metric end the run; default: none do"),
    ] = None
    resamples: Annotated[int, Meta(ge=0, description="bootstrap resamples for 95 % intervals; 0 for none")] = 1000

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics asked for by name; none where all are wanted that the data allows."""
        return () if self.metrics == "auto" else tuple(name.strip() for name in self.metrics.split(","))


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a run depends on, beside the data itself."""

    recipe: Annotated[str | None, Meta(description="the named run that these settings started from")] = None
    strategy: Annotated[Strategy, Meta(description="which parameters are trained")] = "lora"
    train_projector: Annotated[bool, Meta(description="frozen-vision: train projector and separators")] = False
    batch_size: Annotated[int, Meta(ge=1, description="records in one optimizer step")] = 16
    micro_batch_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | Literal["auto"],
        Meta(description="tokens in a micro-batch, at most; auto: by the model and the free memory"),
    ] = "auto"
    micro_batch_crops: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="image crops in a micro-batch, at most; default: as many as the tokens allow"),
    ] = None
    accumulate: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="micro-batches a GPU takes for an optimizer step; default: by micro_batch_tokens"),
    ] = None
    backend: Annotated[
        BackendName, Meta(description="what several GPUs share; auto: ddp for adapters, fsdp2 for the rest")
    ] = "auto"
    epochs: Annotated[float, Meta(gt=0, description="passes over the training split")] = 1.0
    seed: Annotated[int, Meta(ge=0, description="of the order of records, adapters and dropout")] = 0
    log_every: Annotated[int, Meta(ge=1, description="steps between two lines of the log")] = 10
    track: Annotated[Tracker, Meta(description="where losses and throughput go beside the run's own files")] = (
        "tensorboard"
    )
    profile: Annotated[
        Annotated[str, Meta(pattern="^[0-9]{1,9}:[0-9]{1,9}$")] | None,
        Meta(description="steps A:B of which a torch trace is written, counted from 0"),
    ] = None
    save_every: Annotated[int, Meta(ge=1, description="steps between two checkpoints")] = 500
    save_minutes: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="minutes between two checkpoints, too")
    ] = None
    keep_checkpoints: Annotated[int, Meta(ge=1, description="older checkpoints than so many are removed")] = 2
    model: ModelConfig = msgspec.field(default_factory=ModelConfig)
    data: DataConfig = msgspec.field(default_factory=DataConfig)
    optimizer: OptimizerConfig = msgspec.field(default_factory=OptimizerConfig)
    lora: LoraSettings = msgspec.field(default_factory=LoraSettings)
    evaluation: EvaluationConfig = msgspec.field(default_factory=EvaluationConfig)

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, the strategy's own where none was given."""
        return _LEARNING_RATES[self.strategy] if self.optimizer.lr is None else self.optimizer.lr


def setting_names(cls: type[Any] = TrainConfig, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting's dotted name and its help, in the order of the tree."""
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from setting_names(hint, f"{prefix}{name}.")
        else:
            texts = [m.description for m in getattr(hint, "__metadata__", ()) if isinstance(m, Meta) and m.description]
            yield f"{prefix}{name}", " ".join(texts)


def make_config(settings: Mapping[str, Any], flags: Mapping[str, str] = MappingProxyType({})) -> TrainConfig:
    """Build the configuration from dotted names and plain values; what is not named keeps its default.

    Args:
        settings: such as `{"optimizer.lr": "1e-4", "epochs": 2}`; strings are read as the field's type.
        flags: what settings are called where the user gave them, for messages; default: their own names.

    Raises:
        UsageError: there is no such setting, or a value is not what it takes.
    """
    names = [name for name, _ in setting_names()]
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
            raise UsageError(f"no setting {name!r}; {hint}")
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[leaf] = value
    try:
        return msgspec.convert(tree, TrainConfig, strict=False)
    except msgspec.ValidationError as error:
        expected, _, place = str(error).partition(" - at `$.")
        name = place.rstrip("`")
        if name not in settings:
            raise UsageError(f"the configuration: {error}") from error
        choices = _choices(name)
        what = expected_choice(str(settings[name]), choices) if choices else _plain(expected)
        value = f"{settings[name]:g}" if isinstance(settings[name], float) else settings[name]
        given = f"{flags[name]} {value}" if name in flags else f"{name}={value}"
        raise UsageError(f"{given}: {what}") from error


def _choices(name: str) -> list[str]:
    """Return the values of a setting that takes one of a few; none of any other."""
    hint: Any = TrainConfig
    for part in name.split("."):
        hint = get_type_hints(hint)[part]
    return [str(choice) for each in (hint, *get_args(hint)) if get_origin(each) is Literal for choice in get_args(each)]


def _plain(expected: str) -> str:
    """Put msgspec's words for what a value should be in plain ones."""
    for pattern, words in _EXPECTED:
        if match := re.fullmatch(pattern, expected):
            return match.expand(words)
    return expected.replace("`", "")


_EXPECTED = (
    (r"Expected `(?:int|float)[^`]*` >= ([\d.]+?)(?:\.0)?", r"at least \1"),
    (r"Expected `(?:int|float)[^`]*` > ([\d.]+?)(?:\.0)?", r"more than \1"),
    (r"Expected `(?:int|float)[^`]*` < ([\d.]+?)(?:\.0)?", r"less than \1"),
    (r"Expected `int[^`]*`, got .*", "expected a whole number"),
    (r"Expected `float[^`]*`, got .*", "expected a number"),
    (r"Expected `bool[^`]*`, got .*", "expected true or false"),
    (r"Expected `str[^`]*` matching regex .*", "expected A:B, two numbers such as 10:12"),
)
