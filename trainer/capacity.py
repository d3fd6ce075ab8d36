"""What fits on the GPUs that are there, for every strategy; and how long an epoch takes at a stated utilisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import msgspec

from ..schema.errors import UsageError
from .backends import choose_backend
from .config import Strategy, TrainConfig
from .estimate import DataEstimate
from .memory import MemoryEstimate, MicroBatch, estimate_memory
from .telemetry.device_peaks import PEAKS_TFLOPS

if TYPE_CHECKING:
    from .phi3v import Phi3VConfig

_MOST_TOKENS = 32_768
_WORLDS = (1, 2, 4, 8, 16, 32, 64)
# A share of the memory is lost to the allocator's fragments.
_USABLE = 0.95


class Gpus(msgspec.Struct, frozen=True):
    """The GPUs of a run.

    Args:
        count: how many.
        memory: of each, in bytes.
    """

    count: int
    memory: float


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a strategy fits.

    Args:
        memory: what a GPU holds with the micro-batch below, or with the longest record where that does not fit.
        micro_batch_tokens: the largest micro-batch that fits, a power of two or the longest record; null if none does.
        advice: what to change where it does not fit; empty where it does.
    """

    memory: MemoryEstimate
    micro_batch_tokens: int | None
    advice: str = ""


class Duration(msgspec.Struct, frozen=True, kw_only=True):
    """How long an epoch takes.

    Args:
        gpu: whose peak is taken, in TFLOP/s of dense products in half precision.
        peak_tflops: that peak.
        utilisation: the share of it that is reached, as stated by the user.
        hours: of an epoch.
    """

    gpu: str
    peak_tflops: float
    utilisation: float
    hours: float


def strategy_capacities(config: TrainConfig, model: Phi3VConfig, data: DataEstimate, gpus: Gpus) -> list[Capacity]:
    """Work out for each strategy what fits.

    Args:
        config: of the run; its strategy is replaced by each in turn.
        model: the model's shapes.
        data: what is read, for the longest record and the share of crops and supervised tokens.
        gpus: those that are there.
    """
    return [
        _capacity(msgspec.structs.replace(config, strategy=strategy), model, data, gpus)
        for strategy in get_args(Strategy)
    ]


def _capacity(config: TrainConfig, model: Phi3VConfig, data: DataEstimate, gpus: Gpus) -> Capacity:
    backend = choose_backend(config, gpus.count)
    longest = MicroBatch(data.tokens.most, data.crops.most, data.supervised.most)

    def memory(micro_batch: MicroBatch, backend: str = backend, count: int = gpus.count) -> MemoryEstimate:
        return estimate_memory(config, model, backend, count, micro_batch)

    limit = gpus.memory * _USABLE
    least = memory(longest)
    if least.total > limit:
        worlds = [world for world in _WORLDS if world > gpus.count]
        enough = next((world for world in worlds if memory(longest, "fsdp2", world).total <= limit), None)
        return Capacity(memory=least, micro_batch_tokens=None, advice=_advice(config, least, limit, enough))
    sizes = (1 << power for power in range(_MOST_TOKENS.bit_length() - 1, 0, -1))
    fitting = (size for size in sizes if size >= longest.tokens and memory(_filled(size, data)).total <= limit)
    tokens = next(fitting, None)
    if tokens is None:
        return Capacity(memory=least, micro_batch_tokens=longest.tokens)
    return Capacity(memory=memory(_filled(tokens, data)), micro_batch_tokens=tokens)


def _filled(tokens: int, data: DataEstimate) -> MicroBatch:
    """Return a micro-batch of so many tokens, with crops and supervised tokens as in the mean record."""
    a_token = tokens / data.tokens.mean
    return MicroBatch(tokens, round(data.crops.mean * a_token), round(data.supervised.mean * a_token))


def _advice(config: TrainConfig, memory: MemoryEstimate, limit: float, enough: int | None) -> str:
    over = (memory.total - limit) / 1e9
    ways = []
    if memory.activations > memory.total - limit and not config.model.gradient_checkpointing:
        ways.append("--set model.gradient_checkpointing=1")
    if enough is not None:
        ways.append(f"{enough} such GPUs with --backend fsdp2")
    if config.strategy in ("full", "frozen-vision"):
        ways.append("lora or qlora")
    ways.append("fewer crops (--num-crops)" if config.strategy in ("lora", "qlora") else "a GPU with more memory")
    return f"{over:,.0f} GB too much: {', '.join(ways[:3])}"


def epoch_duration(data: DataEstimate, gpus: Gpus, gpu: str, utilisation: float) -> Duration:
    """Work out how long an epoch takes.

    Args:
        data: what is read; its operations leave out what is recomputed, as utilisation (MFU) does.
        gpus: those that are there.
        gpu: a name out of the table of peaks, such as `A100`.
        utilisation: from 0 to 1.

    Raises:
        UsageError: nothing is known of such a GPU.
    """
    peak = next((tflops for part, tflops in PEAKS_TFLOPS if part.lower() in gpu.lower()), None)
    if peak is None:
        known = ", ".join(name for name, _ in PEAKS_TFLOPS)
        raise UsageError(f"--gpu {gpu}: its peak is not known here; known are: {known}")
    seconds = data.teraflop * data.records / (peak * utilisation * gpus.count)
    return Duration(gpu=gpu, peak_tflops=peak, utilisation=utilisation, hours=seconds / 3600)
