"""How the processes of a run are started, and how each finds its rank.

`phi3v-data train --gpus N` starts N processes on this machine by torchrun. Under torchrun, `srun` (Slurm), and `mpirun`
as Azure ML calls it, the processes are there already: each takes its rank from the launcher's environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from ..schema.errors import UsageError

# What torch.distributed reads (its `env://` rendezvous), and torchrun sets.
_RANKED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_MASTER = ("MASTER_ADDR", "MASTER_PORT")
# A job may share its node with others; each takes a port of its own from this range.
_FIRST_PORT, _PORTS = 20_000, 10_000


def is_launched(environ: Mapping[str, str]) -> bool:
    """Tell whether a launcher has started this process as one of several."""
    return "WORLD_SIZE" in _ranked(environ)


def is_first_process(environ: Mapping[str, str]) -> bool:
    """Tell whether this is the first process of its run, whatever has started it."""
    return _ranked(environ).get("RANK", "0") == "0"


def _ranked(environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, **rank_environment(environ)}


def rank_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Translate a launcher's variables into those that torch.distributed reads.

    Args:
        environ: the process's environment.

    Returns:
        What is to be added to it: nothing under torchrun (and Azure ML's PyTorch distribution, which sets the same), or
        where there is no launcher.

    Raises:
        UsageError: the launcher does not say where its first process is.
    """
    if "WORLD_SIZE" in environ:
        return {}
    if int(environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in environ:
        return _translated(
            environ,
            "srun",
            ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"),
            _first_host(environ.get("SLURM_STEP_NODELIST", environ.get("SLURM_JOB_NODELIST", ""))),
            environ.get("SLURM_JOB_ID", "0"),
        )
    if int(environ.get("OMPI_COMM_WORLD_SIZE", "1")) > 1:
        return _translated(
            environ,
            "mpirun",
            tuple(f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")),
            environ.get("AZ_BATCH_MASTER_NODE", environ.get("AZ_BATCHAI_MPI_MASTER_NODE", "")).partition(":")[0],
            environ.get("AZUREML_RUN_ID", "0"),
        )
    return {}


def first_process_reports(environ: Mapping[str, str], exit_code: int, timeout: float = 30.0) -> bool:
    """Wait for the first process to print the error with which this one ends, if it is one that both must find.

    What a user can correct is found by every process of a run, and the first one prints it. torchrun ends the others as
    soon as one has exited; so these wait to be ended, lest the first is before it has printed anything. What only this
    process finds, such as data that is missing on its machine, does not end in time, and is its own to print.

    Args:
        environ: of this process.
        exit_code: with which it is going to end.
        timeout: seconds to wait for the first process.

    Returns:
        Whether the run was ended meanwhile: then there is nothing left to print.
    """
    if exit_code != UsageError.exit_code or environ.get("RANK", "0") == "0":
        return False
    try:
        threading.Event().wait(timeout)
    except KeyboardInterrupt:
        return True
    return False


def write_error_file(environ: Mapping[str, str], message: str) -> None:
    """Tell torchrun why this process ends, where `torchrun --log-dir` asks for it; its own report then shows that."""
    path = environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        # What torch.distributed.elastic.multiprocessing.errors.ProcessFailure reads.
        content = {"message": message, "timestamp": str(int(time.time()))}
        with contextlib.suppress(OSError):
            Path(path).write_text(json.dumps(content), encoding="utf-8")


def _translated(
    environ: Mapping[str, str], launcher: str, names: Sequence[str], master: str, job: str
) -> dict[str, str]:
    found = {ours: environ[theirs] for ours, theirs in zip(_RANKED, names, strict=True) if theirs in environ}
    found["MASTER_ADDR"] = environ.get("MASTER_ADDR", master)
    found["MASTER_PORT"] = environ.get("MASTER_PORT", str(_FIRST_PORT + _number(job) % _PORTS))
    if not found["MASTER_ADDR"]:
        raise UsageError(f"{launcher} started this process, but does not name the first node; set MASTER_ADDR to it")
    return found


def _number(job: str) -> int:
    """Return the same number in every process of a job."""
    return int(job) if job.isdecimal() else sum(job.encode())


def _first_host(nodes: str) -> str:
    """Return the first of Slurm's list of nodes, such as `gpu[003-005,009],head`."""
    name = nodes.split(",")[0]
    prefix, bracket, rest = name.partition("[")
    first = re.match(r"\d+", rest)
    return prefix + first.group() if bracket and first else name


def check_gpus(asked: int, there: int) -> None:
    """Make sure that as many GPUs are there as were asked for.

    Raises:
        UsageError: they are not.
    """
    if asked > there:
        have = "no GPU that torch can use" if there == 0 else f"only {there}"
        hint = (
            "leave --gpus out to train on the CPU"
            if there == 0
            else f"use --gpus {there}, or torchrun on several nodes"
        )
        raise UsageError(f"--gpus {asked}: this machine has {have}; {hint} (phi3v-data doctor shows more)")


def launch(processes: int, arguments: Sequence[str]) -> NoReturn:
    """Become torchrun, which runs the command line once in each of several processes on this machine.

    Torchrun takes the place of this process, so that a signal sent to it reaches those that train.

    Args:
        processes: how many; each takes the GPU of its local rank, where there are any.
        arguments: of `phi3v-data`, such as `["train", "data/ucf101"]`.
    """
    torchrun = [sys.executable, "-m", "phi3v_data.trainer.torchrun", "--standalone", f"--nproc-per-node={processes}"]
    # Each process would take a thread a core.
    environ = {"OMP_NUM_THREADS": "1", **os.environ}
    sys.stdout.flush()
    os.execve(sys.executable, [*torchrun, "-m", "phi3v_data.cli", *arguments], environ)
