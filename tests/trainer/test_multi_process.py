"""Real processes, started by torchrun, killed, and continued by one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from colours import colour_records, turn, write_dataset
from tiny_runs import TINY_RUN, history, tiny_config, traced
from two_ranks import TORCHRUN, kill_ranks

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.record import Record
from phi3v_data.trainer.data.plan import Plan, Stream
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.train import train

# Two samples a step on two ranks with two micro-batches each: half of these are empty, and some have no image.
SETTINGS = {"batch_size": 2, "accumulate": 2, "epochs": 1.2, "save_every": 2, "data.trace": True}
STALLED = 9


PAUSED = str(Path(__file__).parents[1] / "support" / "killed_in_checkpoint.py")
# Six steps, each of several micro-batches.
SHORT: dict[str, Any] = {
    "batch_size": 2,
    "accumulate": None,
    "micro_batch_tokens": 60,
    "epochs": 2,
    "save_every": 2,
    "evaluation.enabled": False,
    "data.trace": True,
    "track": "none",
}
# Steps enough for a signal to arrive, and to be obeyed, between two of them.
LONG = {**SHORT, "epochs": 10}


def start(
    data: Path, out: Path, settings: Mapping[str, Any] = SETTINGS, program: Sequence[str] = ("-m", "phi3v_data.cli")
) -> subprocess.Popen[str]:
    given = [f"--set={name}={json.dumps(value).strip(chr(34))}" for name, value in {**TINY_RUN, **settings}.items()]
    return subprocess.Popen(
        [*TORCHRUN, *program, "train", str(data), "--out", str(out), *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.soak
def test_two_processes_that_were_killed_are_continued_by_one_as_if_nothing_had_been(tmp_path: Path) -> None:
    texts = [Record(id=f"text-{n}", conversations=[turn("four", user=f"{n} + {n}?")]) for n in range(3)]
    records = colour_records("train", 20) + texts
    data = write_dataset(tmp_path / "data", {"train": records, "val": colour_records("val", 3)})
    whole = tmp_path / "whole"
    train(tiny_config(SETTINGS), [Source(data)], whole)

    plan = Plan([Stream(len(records))], 2, seed=0)
    expected = {step: [records[ref.record].id for ref in plan.step(step)] for step in range(plan.steps(1.2))}
    assert traced(whole) == expected

    # A pipe takes the place of an image of the first epoch when training begins: whoever opens it waits, and so do the
    # others, and the run is killed in the middle of that step.
    number = next(ref.record for ref in plan.step(STALLED) if any(records[ref.record].images()))
    (name,) = records[number].images()
    image, kept = tmp_path / "data" / "images" / name, tmp_path / "kept.png"
    run = tmp_path / "run"
    launcher = start(tmp_path / "data", run)
    logged: list[str] = []
    try:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            logged.append(line)
            if line.startswith("eval_before.json"):
                image.rename(kept)
                os.mkfifo(image)
            if line.startswith(f"step {STALLED}/"):
                break
    finally:
        kill_ranks(launcher)
    assert logged, "torchrun printed nothing"
    assert logged[-1].startswith(f"step {STALLED}/"), "".join(logged)
    assert (run / "eval_before.json").read_bytes() == (whole / "eval_before.json").read_bytes()
    image.unlink()
    kept.rename(image)

    lines: list[str] = []
    train(tiny_config(SETTINGS), [Source(data)], run, lines.append)
    assert any("resuming from" in line and line.endswith("after step 8") for line in lines)
    assert traced(run) == expected
    assert [row["step"] for row in history(run)] == [row["step"] for row in history(whole)]
    losses = [row["loss"] for row in history(run)]
    assert losses == pytest.approx([row["loss"] for row in history(whole)], rel=1e-4)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """Data, and a run on it that nothing interrupted, in one process."""
    folder = tmp_path_factory.mktemp("short")
    data = write_dataset(folder / "data", {"train": colour_records("train", 6)})
    train(tiny_config(SHORT), [Source(data)], folder / "whole")
    return data, folder / "whole"


def resumed_as_if_nothing_had_been(
    data: Dataset, run: Path, whole: Path, after: int, settings: dict[str, Any] = SHORT
) -> None:
    lines: list[str] = []
    train(tiny_config(settings), [Source(data)], run, lines.append)
    assert any("resuming from" in line and line.endswith(f"after step {after}") for line in lines), lines
    assert traced(run) == traced(whole)
    losses = [row["loss"] for row in history(run)]
    assert losses == pytest.approx([row["loss"] for row in history(whole)], abs=1e-6)


@pytest.mark.soak
@pytest.mark.parametrize("backend", ["ddp", "fsdp2"])
def test_two_processes_killed_while_a_checkpoint_is_written_are_continued_from_the_one_before(
    short: tuple[Dataset, Path], tmp_path: Path, backend: str
) -> None:
    data, whole = short
    run = tmp_path / "run"
    launcher = start(Path(data.folder.address), run, {**SHORT, "backend": backend}, (PAUSED,))
    logged: list[str] = []
    try:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            logged.append(line)
            if line.endswith("checkpoint-4 is written\n"):
                break
    finally:
        kill_ranks(launcher)
    assert logged[-1].endswith("checkpoint-4 is written\n"), "".join(logged)
    assert (run / "checkpoint-4" / "state" / ".metadata").exists()
    assert not (run / "checkpoint-4" / "complete.json").exists()
    resumed_as_if_nothing_had_been(data, run, whole, after=2)


@pytest.mark.soak
@pytest.mark.parametrize("backend", ["ddp", "fsdp2"])
def test_sigusr1_and_sigterm_to_one_of_two_processes_save_a_checkpoint_of_both(
    short: tuple[Dataset, Path], tmp_path: Path, backend: str
) -> None:
    data, _ = short
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(tiny_config(LONG), [Source(data)], whole)
    launcher = start(Path(data.folder.address), run, {**LONG, "backend": backend, "save_every": 100})
    signals = [signal.SIGUSR1, signal.SIGTERM]
    logged: list[str] = []
    try:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            logged.append(line)
            # The second signal once the first has been obeyed.
            if line.startswith("step ") and signals and (len(signals) == 2 or any(run.glob("checkpoint-*"))):
                # To the second process: whoever is asked tells the others.
                psutil.Process(launcher.pid).children()[1].send_signal(signals.pop(0))
        launcher.wait()
    finally:
        if launcher.poll() is None:
            kill_ranks(launcher)
    assert launcher.returncode != 0
    saved = sorted(int(path.name.partition("-")[2]) for path in run.glob("checkpoint-*"))
    # Between the line of a step and the signal's arrival a step may have begun.
    assert len(saved) == 2, "".join(logged)
    assert 2 <= saved[0] < saved[1] < 30
    resumed_as_if_nothing_had_been(data, run, whole, saved[1], LONG)


@pytest.mark.slow
def test_processes_wait_longer_for_one_another_than_an_index_takes_to_build(tmp_path: Path) -> None:
    script = tmp_path / "init.py"
    script.write_text(
        "import pathlib, torch\n"
        "from phi3v_data.trainer.processes import Processes\n"
        "processes = Processes.init()\n"
        "group = processes.host_group\n"
        "timeout = group._get_backend(torch.device('cpu')).options._timeout.total_seconds()\n"
        "pathlib.Path(__file__).with_name(f'waits-{processes.rank}').write_text(str(timeout))\n"
        "processes.shutdown()\n"
    )
    subprocess.run([*TORCHRUN, str(script)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert [float((tmp_path / f"waits-{rank}").read_text()) > 6 * 3600 for rank in range(2)] == [True, True]


@pytest.mark.slow
def test_an_error_that_a_user_can_correct_is_one_line_of_one_process(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", {"val": colour_records("val", 3)})
    torchrun = [sys.executable, "-m", "phi3v_data.trainer.torchrun", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "phi3v_data.cli", "train", str(tmp_path / "data"), "--model", "tiny"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    where = (
        f"phi3v-data: {tmp_path / 'data'}: no split 'train' to train on; there are: val; name one by --train-split\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", where)


@pytest.mark.slow
def test_under_bare_torchrun_the_line_comes_first_and_the_report_repeats_it(tmp_path: Path) -> None:
    command = [*TORCHRUN, "--log-dir", str(tmp_path / "logs"), "-m", "phi3v_data.cli", "train", "nowhere"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environ)
    line = "phi3v-data: nowhere: no such dataset folder; make one with: phi3v-data convert --out nowhere"
    assert done.returncode == 1
    assert [text.strip() for text in done.stderr.splitlines() if "phi3v-data: " in text] == [
        line,
        f"traceback : {line}",
    ]
