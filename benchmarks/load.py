"""How fast samples reach the model, how large they are, and how soon a loader is in the middle of an epoch again.

    python benchmarks/load.py [--rounds N]

Every contender loads the same generated images in this process, in turns, and its best turn counts, in seconds of
processor time over all its threads: samples/s are those of one core, and what else the machine does disturbs little. A
sample is ready when its tensors are: the recipe's way makes them with the published processor (Pillow, float32, padded
crops, one sample at a time), ours with uint8 crops. Each peer is measured twice: as one would use it, with the
published processor, and with our cutting of images put into it, so that only its store and its loader differ.

Peers that are not installed are left out, and named. `webdataset` and `datasets` come with this project; the others'
own requirements do not suit it, so give them a folder of their own:

    pip install --no-deps --target PEERS litdata mosaicml-streaming lightning-utilities tifffile obstore Brotli \\
        python-snappy cramjam zstd xxhash catalogue
    PYTHONPATH=PEERS python benchmarks/load.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_DATASETS_OFFLINE="1")

import torch
from loading.ours import (
    Tensors,
    our_batches,
    our_tensors,
    recipe_samples,
    recipes_tensors,
    write_dataset,
)
from loading.peers import PEERS, missing
from loading.samples import CASES, Case, RawSample, raw_sample, small_image

from phi3v_data.trainer.phi3v import Phi3VImageProcessor, Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_tokenizer

_OURS, _EXACT, _RECIPE = "phi3v-data", "phi3v-data, exact pixels", "the recipe's way"
_WITH_OURS = ", our crops in it"
_WHY = (
    "With our crops in it a peer does the same decoding and scaling by the same code, and that is nearly all the work: "
    "what is left to differ is the loader's own share, so no loader can be much ahead of another there."
)
_RESUMED = 20_000  # records of the resumed epoch
_COMPARED = 20  # ids that must follow as in the run that was not interrupted


class Measured(NamedTuple):
    """What one contender came to: seconds and bytes a sample."""

    seconds: float
    size: float


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--resume", nargs=2, metavar=("LOADER", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.resume:
        print(json.dumps(_resume_here(options.resume[0], Path(options.resume[1]))))
        return
    left_out = {name: why for name, (module, _) in PEERS.items() if (why := missing(module))}
    peers = [name for name in PEERS if name not in left_out]
    print("| data | loader | samples/s a core | against the recipe | MB a sample | of the recipe's |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    summaries = []
    for case in CASES:
        measured = _measure(case, peers, options.rounds)
        recipe = measured[_RECIPE]
        for name, own in measured.items():
            print(
                f"| {case.name} | {name} | {1 / own.seconds:.1f} | {recipe.seconds / own.seconds:.1f} x "
                f"| {own.size / 1e6:.1f} | {own.size / recipe.size:.2f} |"
            )
        summaries.append(_summary(case, measured, peers))
    print()
    _print_resumption(peers)
    print("", *summaries, _WHY, sep="\n")
    for name, why in left_out.items():
        print(f"left out: {name} ({why})")


def _processor(num_crops: int) -> Phi3VProcessor:
    return Phi3VProcessor(Phi3VImageProcessor(num_crops), tiny_tokenizer())


def _measure(case: Case, peers: list[str], rounds: int) -> dict[str, Measured]:
    processor, raw = _processor(case.num_crops), case.raw()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(raw, root / "ours")
        for name in peers:
            (root / name).mkdir()
            PEERS[name][1].write(raw, root / name)
        runs: dict[str, Callable[[], Iterator[Tensors]]] = {
            _RECIPE: lambda: (recipes_tensors(own, processor) for own in recipe_samples(root / "ours", processor)),
            _OURS: lambda: (batch.inputs for batch in our_batches(root / "ours", processor)),
            _EXACT: lambda: (batch.inputs for batch in our_batches(root / "ours", processor, exact=True)),
        }
        for name in peers:
            runs[name] = _peers_run(name, root / name, lambda own: recipes_tensors(own, processor))
            runs[name + _WITH_OURS] = _peers_run(name, root / name, lambda own: our_tensors(own, processor))
        turns = [{name: _time(run, case.samples) for name, run in runs.items()} for _ in range(rounds)]
    return {name: min(turn[name] for turn in turns) for name in runs}


def _peers_run(name: str, folder: Path, prepare: Callable[[RawSample], Tensors]) -> Callable[[], Iterator[Tensors]]:
    return lambda: map(prepare, PEERS[name][1](folder))


def _time(run: Callable[[], Iterator[Tensors]], samples: int) -> Measured:
    batches = run()
    # Opening is not loading: the clock starts with the first sample there.
    next(batches)
    size, count, began = 0, 0, time.process_time()
    for batch in batches:
        size += sum(value.numel() * value.element_size() for value in batch.values())
        count += 1
    seconds = time.process_time() - began
    if count != samples - 1:
        raise RuntimeError(f"{count + 1} of {samples} samples came")
    return Measured(seconds / count, size / count)


def _summary(case: Case, measured: dict[str, Measured], peers: list[str]) -> str:
    ours = measured[_OURS].seconds
    said = [f"{case.name}: {measured[_RECIPE].seconds / ours:.1f} times the recipe's speed"]
    for suffix, how in (("", "as one would use it"), (_WITH_OURS, "with our crops in it")):
        best = min((name for name in peers), key=lambda name: measured[name + suffix].seconds, default=None)
        if best is not None:
            said.append(f"{measured[best + suffix].seconds / ours:.2f} times the best peer's {how} ({best})")
    return "; ".join(said) + "."


def _print_resumption(peers: list[str]) -> None:
    print(f"| loader | seconds to the first sample after {_RESUMED // 2:,} of {_RESUMED:,} | order kept |")
    print("| --- | ---: | --- |")
    raw = [raw_sample(number, *small_image(number)) for number in range(_RESUMED)]
    with tempfile.TemporaryDirectory() as folder:
        for name in [_OURS, *peers]:
            root = Path(folder) / name
            root.mkdir()
            (write_dataset if name == _OURS else PEERS[name][1].write)(raw, root)
            expected = _interrupt(name, root)
            command = [sys.executable, __file__, "--resume", name, str(root)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, ids = json.loads(done.stdout.splitlines()[-1])
            print(f"| {name} | {seconds:.2f} | {'yes' if ids == expected else 'no'} |")


def _interrupt(name: str, folder: Path) -> list[str]:
    """Run to the middle of the epoch, keep the state there, and return the ids that follow."""
    half = _RESUMED // 2
    if name == _OURS:
        (folder / "state").write_bytes(pickle.dumps(half))
        return list(itertools.islice(_our_ids(folder, half), _COMPARED))
    peer = PEERS[name][1](folder)
    samples = iter(peer)
    for _ in range(half):
        next(samples)
    (folder / "state").write_bytes(pickle.dumps(peer.state()))
    following = [raw.record.id for raw in itertools.islice(samples, _COMPARED)]
    # Some leave threads behind that would still fetch the rest.
    for _ in samples:
        pass
    return following


def _resume_here(name: str, folder: Path) -> tuple[float, list[str]]:
    """In a process of its own, as a resumed run is: seconds to the first sample, and the first ids."""
    state = pickle.loads((folder / "state").read_bytes())
    if name != _OURS:
        missing(PEERS[name][0])  # imported before the clock starts, as everything of ours is
    began = time.perf_counter()
    ids = _our_ids(folder, state) if name == _OURS else (raw.record.id for raw in PEERS[name][1](folder, state))
    first = next(ids)
    seconds = time.perf_counter() - began
    return seconds, [first, *itertools.islice(ids, _COMPARED - 1)]


def _our_ids(folder: Path, step: int) -> Iterator[str]:
    return (identity for batch in our_batches(folder, _processor(1), step) for _, identity in batch.ids)


if __name__ == "__main__":
    main()
