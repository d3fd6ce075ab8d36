"""Kill training runs at random moments, resume them, and compare every bit of the weights with a run left alone.

    python benchmarks/kills_training.py                 30 kills, of full and LoRA runs of the tiny model
    python benchmarks/kills_training.py --kills 4 --processes 2

A run is killed (SIGKILL to all its processes) at a random moment after a step drawn at random: within a step, between
two, or while a checkpoint is written. It is resumed by `--resume auto` until it has been killed a few times, and then
ends by itself. Of one process, weights and losses are those of the run left alone, bit for bit. With `--processes 2`,
what two torchrun processes began is resumed by one and the other way around, by turns; then the losses agree up to
rounding (without dropout, whose masks each process draws by itself). Exit code 1 where they do not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from phi3v_data.schema.jsonl import write_records
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import LocalFolder

STEPS, SAVE_EVERY = 24, 2
BATCH = 3
KILLS_A_RUN = 5
LATEST = 0.4  # seconds after a step; a checkpoint is written in fewer
# Losses of runs that were cut into steps of two processes and of one.
ROUNDING = 1e-3
SETTINGS = {
    "model.name": "tiny",
    "model.precision": "fp32",
    "model.gradient_checkpointing": 0,
    "batch_size": BATCH,
    "accumulate": 1,
    "epochs": 1,
    "log_every": 1,
    "save_every": SAVE_EVERY,
    "optimizer.lr": 1e-3,
    "lora.rank": 4,
    "evaluation.enabled": False,
    "track": "none",
}


def write_data(root: Path) -> None:
    records = []
    for number in range(STEPS * BATCH):
        name = f"train/{number}.png"
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (96, 72), (number % 256, 3 * number % 256, 200)).save(path)
        turn = Turn(images=[name], user="Which number?", assistant=str(number))
        records.append(Record(id=f"train-{number}", conversations=[turn]))
    write_records(LocalFolder(root), "numbers_train.jsonl", records)


class Alone:
    """A run in a process of its own, forked from one that has imported everything."""

    def __init__(self, data: Path, out: Path, settings: dict[str, Any]) -> None:
        forkserver = multiprocessing.get_context("forkserver")
        forkserver.set_forkserver_preload(["phi3v_data.trainer.train"])
        self._lines, theirs = forkserver.Pipe(duplex=False)
        self._process = forkserver.Process(target=_train, args=(str(data), str(out), settings, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def lines(self) -> Iterator[str]:
        with contextlib.suppress(EOFError):
            while True:
                yield self._lines.recv()

    def ends_within(self, seconds: float | None) -> bool:
        self._process.join(seconds)
        return self._process.exitcode is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    @property
    def is_ok(self) -> bool:
        return self._process.exitcode == 0


def _train(data: str, out: str, settings: dict[str, Any], log: Connection) -> None:
    from phi3v_data.schema.dataset import open_dataset
    from phi3v_data.trainer.config import make_config
    from phi3v_data.trainer.data.sources import Source
    from phi3v_data.trainer.quiet import quiet_libraries
    from phi3v_data.trainer.train import train

    quiet_libraries()
    train(make_config(settings), [Source(open_dataset(data))], Path(out), log.send, resume="auto")


class Launched:
    """A run of two processes, as torchrun starts them."""

    def __init__(self, data: Path, out: Path, settings: dict[str, Any]) -> None:
        launcher = ["-m", "phi3v_data.trainer.torchrun", "--standalone", "--nproc-per-node=2"]
        given = [f"--set={name}={json.dumps(value)}".replace('"', "") for name, value in settings.items()]
        command = ["-m", "phi3v_data.cli", "train", str(data), "--out", str(out), "--resume", "auto", *given]
        self._process = subprocess.Popen(
            [sys.executable, *launcher, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def lines(self) -> Iterator[str]:
        for line in self._process.stdout or ():  # noqa: UP028 - `yield from` would close it with this generator
            yield line

    def ends_within(self, seconds: float | None) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def kill(self) -> None:
        launcher = psutil.Process(self._process.pid)
        for process in (*launcher.children(recursive=True), launcher):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.communicate()

    @property
    def is_ok(self) -> bool:
        return self._process.returncode == 0


class Run:
    """One run in a folder, started as often as needed.

    Args:
        data: what it trains on.
        out: its folder.
        strategy: what it trains.
        dropout: of its adapters.
    """

    def __init__(self, data: Path, out: Path, strategy: str, dropout: float) -> None:
        self.data, self.out, self.strategy = data, out, strategy
        self._settings = {**SETTINGS, "strategy": strategy, "lora.dropout": dropout}

    def start(self, processes: int) -> Alone | Launched:
        return (Alone if processes == 1 else Launched)(self.data, self.out, self._settings)

    def finish(self, processes: int) -> None:
        started = self.start(processes)
        printed = list(started.lines())
        started.ends_within(None)
        if not started.is_ok:
            raise SystemExit(f"{self.strategy}: did not end well: {printed}")

    def kill(self, processes: int, draw: random.Random) -> bool:
        """Start, wait for a random step, and kill at a random moment after it; False where it ended before that."""
        first = self.resume_point()
        wanted = draw.randint(first + 1, min(STEPS, first + 2 * STEPS // KILLS_A_RUN))
        started = self.start(processes)
        if not any(line.startswith(f"step {wanted}/") for line in started.lines()):
            started.ends_within(None)
            return False
        has_ended = started.ends_within(draw.uniform(0, LATEST))
        if not has_ended:
            started.kill()
        return not has_ended

    def resume_point(self) -> int:
        """Return the step of the newest complete checkpoint, 0 where there is none."""
        return max((_step(path.parent) for path in self.out.glob("checkpoint-*/complete.json")), default=0)

    def torn(self) -> int:
        """Count the checkpoints that a kill left half written."""
        return sum(not (path / "complete.json").exists() for path in self.out.glob("checkpoint-*"))

    def weights(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.out / "model").glob("*.safetensors")}

    def losses(self) -> list[float]:
        rows: list[dict[str, Any]] = [
            json.loads(line) for line in (self.out / "history.jsonl").read_text("utf-8").splitlines()
        ]
        return [row["loss"] for row in rows]

    def agrees(self, whole: Run, processes: int) -> bool:
        """Compare with a run that was left alone: bit for bit where each step was taken by as many processes."""
        if processes == 1:
            return self.weights() == whole.weights() and self.losses() == whole.losses()
        ours, theirs = self.losses(), whole.losses()
        return len(ours) == len(theirs) and all(
            abs(one - other) <= ROUNDING * abs(other) for one, other in zip(ours, theirs, strict=True)
        )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def kill_and_resume(run: Run, kills: int, processes: int, draw: random.Random) -> tuple[int, int]:
    """Kill a run so often and let it end; with several processes, each start is of another number than the last.

    Returns:
        How often it was killed, and how many checkpoints were half written then.
    """
    done = torn = 0
    number = processes
    for _ in range(kills):
        killed = run.kill(number, draw)
        number = processes + 1 - number
        done, torn = done + killed, torn + run.torn()
    run.finish(number)
    return done, torn


def main() -> int:
    """Kill, resume, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--strategies", nargs="*", default=["full", "lora"], choices=["full", "frozen-vision", "lora"])
    given = parser.parse_args()
    draw = random.Random(given.seed)
    dropout = 0.1 if given.processes == 1 else 0.0
    total = torn = different = number = 0
    print(f"{'strategy':<14}{'kills':>6}{'torn checkpoints':>18}  {'weights' if given.processes == 1 else 'losses'}")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_data(data)
        wholes = {name: Run(data, Path(folder) / f"whole-{name}", name, dropout) for name in given.strategies}
        for whole in wholes.values():
            whole.finish(1)
        while total < given.kills:
            strategy = given.strategies[number % len(given.strategies)]
            run = Run(data, Path(folder) / f"run-{number}", strategy, dropout)
            kills, half = kill_and_resume(run, min(KILLS_A_RUN, given.kills - total), given.processes, draw)
            agrees = run.agrees(wholes[strategy], given.processes)
            total, torn, different, number = total + kills, torn + half, different + (not agrees), number + 1
            print(f"{strategy:<14}{kills:>6}{half:>18}  {'equal' if agrees else 'DIFFERENT'}", flush=True)
    what = "weights" if given.processes == 1 else "losses"
    print(f"{total} kills, seed {given.seed}: {f'all {what} equal' if not different else f'{different} DIFFERENT'}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
