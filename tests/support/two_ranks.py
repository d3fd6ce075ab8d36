"""Two real processes, started by torchrun on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

_MOST_SECONDS = 280
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def rank_environ() -> dict[str, str]:
    """The environment of ranks. What DeepSpeed compiles for CPUs is kept between runs of the tests."""
    built = os.environ.get("TORCH_EXTENSIONS_DIR", str(Path.home() / ".cache" / "torch_extensions"))
    return {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": built}


def kill_ranks(torchrun: subprocess.Popen[str]) -> None:
    """Kill torchrun and its ranks, as suddenly as a machine that goes away."""
    for process in (*psutil.Process(torchrun.pid).children(recursive=True), psutil.Process(torchrun.pid)):
        process.kill()
    torchrun.wait()


def run_cases(script: str, cases: Sequence[dict[str, Any]], root: Path) -> None:
    """Run a script of this folder on two ranks, over cases that are written to `cases.json`."""
    (root / "cases.json").write_text(json.dumps(cases))
    path = Path(__file__).with_name(script)
    command = [*TORCHRUN, str(path), str(root / "cases.json")]
    torchrun = subprocess.Popen(
        command, env=rank_environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        logged, _ = torchrun.communicate(timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        # Ranks that wait for one another for ever.
        kill_ranks(torchrun)
        raise
    assert torchrun.returncode == 0, logged[-9000:]
