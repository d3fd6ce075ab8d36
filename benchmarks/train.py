"""How fast training steps are, for every strategy, beside the recipe's way in the same run.

    python benchmarks/train.py [--only docvqa|ucf] [--rounds N] [--precision bf16|fp32] [--fraction N] [--recompute N]

Random weights: of the real size where there is a GPU; on a CPU an eighth of it in every dimension, widths and numbers
of layers alike, with the published crops and tokens. The vocabulary is a 64th, so that the head has its published share
of the work beside layers that shrink in both dimensions; attention has a larger one, for the tokens are as many as
ever. Two kinds of samples: a page of DocVQA at 16 crops, and 8 frames of a UCF-101 clip at one crop each. A step takes
all samples of a kind, forward, backward and optimizer. Loading is not part of it (see benchmarks/load.py).

The recipe's way is full fine-tuning as the published scripts do it: micro-batches of one sample, every crop slot
encoded, padded ids, logits at every position, the language model's layers recomputed in the backward pass, and eager
attention, the only one that the published code has without the flash-attn package. The modules are this project's. A
row more gives it scaled dot-product attention, which it does not have: what is left of the ratio then is what packing,
real crops, the last layer and the head where something is predicted, and activations that are kept bring. Ours keeps
them unless told otherwise, because its micro-batch fits; a row shows what recomputing them all costs, as runs do that
say nothing.

Each contender runs in a process of its own, forked from this one, takes a few steps, and shows the best; memory is what
it took at most beyond what was there before its model. The utilisation is of the device's peak where that is known; on
a CPU, of what a product of two large float32 matrices reaches in this run.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import torch
from loading.ours import our_tensors, recipes_tensors
from loading.samples import RawSample, frames, raw_sample, scanned_page
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from phi3v_data.schema.prompt import encode_record
from phi3v_data.trainer.backends.single import SingleProcess
from phi3v_data.trainer.config import Strategy, TrainConfig, make_config
from phi3v_data.trainer.data.collate import PackedCollator
from phi3v_data.trainer.data.cost_model import SampleSize, StepSize, strategy_passes
from phi3v_data.trainer.data.crops import scaled_image
from phi3v_data.trainer.data.device_batches import moved
from phi3v_data.trainer.data.samples import Sample
from phi3v_data.trainer.model_folder import load_trainable
from phi3v_data.trainer.phi3v import Phi3VConfig, Phi3VForCausalLM, Phi3VImageProcessor, Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_tokenizer
from phi3v_data.trainer.precision import autocast
from phi3v_data.trainer.processes import Processes
from phi3v_data.trainer.quiet import quiet_libraries
from phi3v_data.trainer.strategies import parameter_groups
from phi3v_data.trainer.telemetry.device_peaks import peak_flops

Tensors = dict[str, Any]
RECIPE = "the recipe's way (full)"


class Kind(NamedTuple):
    """One kind of samples.

    Args:
        name: for the table.
        num_crops: most crops an image.
        samples: how many a step has.
        make: returns the encoded images of sample k.
    """

    name: str
    num_crops: int
    samples: int
    make: Callable[[int], tuple[list[bytes], str]]


KINDS = (Kind("a page of DocVQA, 16 crops", 16, 2, scanned_page), Kind("8 frames of UCF-101, 1 crop", 1, 2, frames))


class Result(NamedTuple):
    """What a contender reached: seconds of its best step, bytes at most, its loss."""

    seconds: float
    memory: float
    loss: float


class Contender:
    """A model that takes the same step again and again.

    Args:
        config: strategy and precision.
        batches: the step's micro-batches.
        supervised: the step's supervised tokens.
    """

    def __init__(self, config: TrainConfig, batches: list[Tensors], supervised: int) -> None:
        self.backend = SingleProcess(config, Processes())
        model = load_trainable(config, self.backend.device)
        if "labels" in batches[0]:
            # The published scripts recompute the language model's layers, and keep what the tower computed.
            for module in model.modules():
                if isinstance(module, CLIPEncoderLayer):
                    module.gradient_checkpointing = False
        self.backend.prepare(model, parameter_groups(model, config))
        self.batches = [moved(batch, self.backend.device) for batch in batches]
        self.supervised = supervised

    def step(self) -> float:
        total = 0.0
        for batch in self.batches:
            with autocast(self.backend.dtypes, self.backend.device):
                if "labels" in batch:
                    # A mean over the sample's own tokens, as the published loop has it.
                    loss = self.backend.model(**batch).loss / len(self.batches)
                else:
                    loss = self.backend.model(**batch).loss / self.supervised
            self.backend.backward(loss)
            total += float(loss.detach())
        self.backend.step(1.0)
        return total


def measure(make: Callable[[], Contender], rounds: int) -> Result:
    """Take steps in a forked process, or in this one on a GPU, which a forked one could not use."""
    if torch.cuda.is_available():
        return steps_of(make, rounds)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(steps_of(make, rounds)).encode())
        except Exception:  # noqa: BLE001 - whatever it is, this process ends here
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    os.waitpid(child, 0)
    return Result(*json.loads(content))


def steps_of(make: Callable[[], Contender], rounds: int) -> Result:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    before = peak_memory()
    contender = make()
    times, loss = [], 0.0
    for _ in range(rounds):
        # Of a CPU, the processor's time: what else the machine does then disturbs little.
        clock = time.perf_counter if on_gpu else time.process_time
        begun = clock()
        loss = contender.step()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(clock() - begun)
    return Result(min(times), peak_memory() - before, loss)


def peak_memory() -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def model_config(fraction: int) -> Phi3VConfig:
    """The published shapes, divided by `fraction`; head sizes, crops and patches are the published ones."""
    tokenizer = tiny_tokenizer()
    return Phi3VConfig(
        vocab_size=max(len(tokenizer), 32064 // fraction**2),
        hidden_size=3072 // fraction,
        intermediate_size=8192 // fraction,
        num_hidden_layers=32 // fraction,
        num_attention_heads=32 // fraction,
        num_key_value_heads=32 // fraction,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        image_token_id=tokenizer.get_vocab()["<|image|>"],
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 48,
            "long_factor": [1.0] * 48,
        },
        vision_config={
            "hidden_size": 1024 // fraction,
            "image_size": 336,
            "intermediate_size": 4096 // fraction,
            "num_attention_heads": 16 // fraction,
            # The last one is not run.
            "num_hidden_layers": 23 // fraction + 1,
            "patch_size": 14,
            "projection_dim": 768 // fraction,
        },
    )


@functools.cache
def peak() -> float:
    """Operations a second that this device can do."""
    known = peak_flops(torch.device("cuda"), torch.bfloat16) if torch.cuda.is_available() else None
    if known:
        return known
    one = torch.randn(1024, 1024)
    times = []
    for _ in range(5):
        begun = time.process_time()
        torch.mm(one, one)
        times.append(time.process_time() - begun)
    return 2 * 1024**3 / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--only", default="", help="kinds of samples whose name holds this")
    parser.add_argument("--rounds", type=int, default=2, help="steps, of which the best is shown")
    parser.add_argument("--precision", default="bf16" if on_gpu else "fp32")
    parser.add_argument(
        "--fraction", type=int, default=1 if on_gpu else 8, help="what the published size is divided by"
    )
    parser.add_argument("--recompute", type=int, default=0, help="every so many layers, in our rows; 0: none")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quiet_libraries()
    shapes = model_config(arguments.fraction)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        torch.manual_seed(0)
        model = torch.nn.Module.to(Phi3VForCausalLM(shapes), torch.bfloat16)
        model.save_pretrained(folder)
        print(f"{model.num_parameters():,} parameters, {arguments.precision}, {torch.get_num_threads()} thread")
        del model
        settings = {
            "model.name": str(folder),
            "model.precision": arguments.precision,
            "model.gradient_checkpointing": arguments.recompute,
            "lora.rank": max(1, 64 // arguments.fraction),
        }
        for kind in (kind for kind in KINDS if arguments.only.lower() in kind.name.lower()):
            compare(kind, shapes, folder, settings, arguments.rounds)


class Way(NamedTuple):
    """One row of the table.

    Args:
        name: for the table.
        settings: what it has beside the strategy's defaults.
        of_recipe: whether it takes the samples one by one, as the recipe does.
    """

    name: str
    settings: dict[str, Any]
    of_recipe: bool = False


WAYS = (
    Way(RECIPE, {"strategy": "full", "model.gradient_checkpointing": 1, "model.attention": "eager"}, of_recipe=True),
    Way("the same, fused attention", {"strategy": "full", "model.gradient_checkpointing": 1}, of_recipe=True),
    Way("full, all recomputed", {"strategy": "full", "model.gradient_checkpointing": 1}),
    *(Way(strategy, {"strategy": strategy}) for strategy in get_args(Strategy)),
)


def compare(kind: Kind, shapes: Phi3VConfig, folder: Path, settings: dict[str, Any], rounds: int) -> None:
    processor = Phi3VProcessor(Phi3VImageProcessor(kind.num_crops), tiny_tokenizer())
    processor.save_pretrained(folder)
    samples = [raw_sample(number, *kind.make(number)) for number in range(kind.samples)]
    each = [our_tensors(sample, processor) for sample in samples]
    size = SampleSize(*(torch.tensor(column).numpy() for column in zip(*map(sizes, each), strict=True)))
    supervised = int(size.supervised.sum())
    packed, one_by_one = [pack(samples, processor)], [dict(recipes_tensors(sample, processor)) for sample in samples]
    print(f"\n{kind.name}: {kind.samples} samples a step, {size.tokens[0]:,} tokens and {size.crops[0]} crops each")
    print(f"{'':<26}{'images/s':>10}{'tokens/s':>10}{'MFU':>7}{'memory':>9}   against the recipe's way")
    found: dict[str, Result] = {}
    for way in WAYS:
        config = make_config({**settings, **way.settings})
        batches = one_by_one if way.of_recipe else packed
        result = measure(functools.partial(Contender, config, batches, supervised), rounds)
        found[way.name] = result
        step = StepSize.of(size, shapes, strategy_passes(config))
        flops = step.flops / result.seconds / peak()
        print(
            f"{way.name:<26}{step.images / result.seconds:>10.2f}{step.tokens / result.seconds:>10,.0f}{flops:>7.0%}"
            f"{result.memory / 1e9:>7.2f} GB   {found[RECIPE].seconds / result.seconds:.2f}",
            flush=True,
        )


def pack(samples: list[RawSample], processor: Phi3VProcessor) -> Tensors:
    """All samples of the step in one micro-batch."""
    made = []
    for raw in samples:
        images = [scaled_image(data, processor.image_processor) for data in raw.images]
        tokens = [image.grid.tokens for image in images]
        text = encode_record(raw.record, processor.tokenizer, tokens, processor.image_token_id)
        made.append(Sample(raw.record, text, images))
    return PackedCollator(0, processor.image_token_id)(made)


def sizes(batch: Tensors) -> tuple[int, int, int, int]:
    """Tokens, supervised tokens, crops and images of a sample."""
    grids = batch["image_grids"]
    crops = sum(grid.encoded_crops for grid in grids)
    return batch["input_ids"].shape[1], len(batch["targets"]), crops, len(grids)


if __name__ == "__main__":
    main()
