"""How much `evaluate` takes beside the model's own generation.

    python benchmarks/evaluate.py [--batches N] [--rounds N]

The tiny model answers the same generated questions by `evaluate`, from files to a scored result with its intervals and
its journal, and by the bare `generate`, over the same batches, whose tensors are ready beforehand. Both run in turns,
now one first and now the other, and the table gives the median round of each and the median, over the rounds, of the
ratio of two neighbours: a machine whose speed changes from minute to minute changes both. The images, frames of
320 x 240, are decoded while the model answers the batch before: one that took longer to decode than its answer takes
could not be hidden behind it.

Wall time holds only on a machine with a core to spare. What the model's own thread takes of a processor holds on a busy
one, too; decoding is not in it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import torch
from PIL import Image

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.index import Counting, RecordIndex, record_costs
from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder
from phi3v_data.trainer.config import EvaluationConfig
from phi3v_data.trainer.data.samples import SampleSource
from phi3v_data.trainer.evaluation import evaluate
from phi3v_data.trainer.evaluation.answering import batch_inputs, evaluating
from phi3v_data.trainer.evaluation.journal import AnswerJournal
from phi3v_data.trainer.evaluation.questions import batches_of_rank, questions_of
from phi3v_data.trainer.phi3v import Phi3VForCausalLM, Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor

_SIZE = 320, 240
_BATCH_SIZES = (1, 8)
_LONGEST = 32  # tokens of an answer


class Seconds(NamedTuple):
    """Wall time, and processor time of the calling thread."""

    wall: float
    thread: float


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=24, help="batches of questions")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each way")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, processor = tiny_model(), tiny_processor()
    print("| questions at a time | time | bare generate, s | evaluate, s | ratio | middle half of the ratios |")
    print("| ---: | --- | ---: | ---: | ---: | --- |")
    with tempfile.TemporaryDirectory() as folder:
        data = _dataset(Path(folder) / "data", options.batches * max(_BATCH_SIZES))
        for batch_size in _BATCH_SIZES:
            settings = EvaluationConfig(
                batch_size=batch_size, max_new_tokens=_LONGEST, limit=options.batches * batch_size
            )
            rounds = _measure(model, processor, data, settings, options.rounds, Path(folder))
            for clock, name in enumerate(("wall", "of the model's thread")):
                _row(batch_size, name, [(bare[clock], whole[clock]) for bare, whole in rounds])


def _row(batch_size: int, name: str, rounds: list[tuple[float, float]]) -> None:
    bare, whole = (median(each) for each in zip(*rounds, strict=True))
    first, middle, third = quantiles([other / one for one, other in rounds], n=4)
    print(
        f"| {batch_size} | {name} | {bare:.2f} | {whole:.2f} | {middle:.2f} | {first:.2f} to {third:.2f} |", flush=True
    )


def _dataset(root: Path, count: int) -> Dataset:
    records = []
    for number in range(count):
        path = root / "images" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = torch.randint(
            0, 256, (_SIZE[1] // 16, _SIZE[0] // 16, 3), generator=torch.Generator().manual_seed(number)
        )
        Image.fromarray(noise.to(torch.uint8).numpy()).resize(_SIZE).save(path)
        turn = Turn(images=[path.name], user="Is it red?", assistant="yes" if number % 3 else "no")
        records.append(Record(id=f"q-{number}", conversations=[turn]))
    write_records(LocalFolder(root), "made_val.jsonl", records)
    return open_dataset(str(root))


def _measure(
    model: Phi3VForCausalLM,
    processor: Phi3VProcessor,
    data: Dataset,
    settings: EvaluationConfig,
    rounds: int,
    folder: Path,
) -> list[tuple[Seconds, Seconds]]:
    """Return what the bare generation and `evaluate` took in each round."""
    index = RecordIndex(data, "val")
    tokens = record_costs(index, Counting.of(processor)).tokens.tolist()
    samples = SampleSource(index, processor)
    questions = questions_of(index, settings.limit)
    batches = batches_of_rank(questions, tokens, (), settings.batch_size, 0, 1)
    ready = [batch_inputs(processor, [(question, samples[question.record]) for question in batch]) for batch in batches]
    # The type of transformers' generate knows only models of its own.
    answering: Any = model

    def bare() -> None:
        with evaluating(model):
            for inputs in ready:
                answering.generate(**inputs, max_new_tokens=_LONGEST, do_sample=False)

    def whole() -> None:
        journal = AnswerJournal(folder / "answers", "benchmark")
        evaluate(model, processor, data, "val", settings, journal=journal)
        journal.remove()

    _seconds(bare), _seconds(whole)  # the first time anything runs, it is slower
    return [_round(bare, whole, number) for number in range(rounds)]


def _round(bare: Callable[[], None], whole: Callable[[], None], number: int) -> tuple[Seconds, Seconds]:
    if number % 2:
        second = _seconds(whole)
        return _seconds(bare), second
    return _seconds(bare), _seconds(whole)


def _seconds(run: Callable[[], None]) -> Seconds:
    begun = Seconds(time.perf_counter(), time.thread_time())
    run()
    return Seconds(time.perf_counter() - begun.wall, time.thread_time() - begun.thread)


if __name__ == "__main__":
    main()
