"""Two real processes, started by torchrun on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["TORCHRUN", "rank_environ", "run_cases"]

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def rank_environ() -> dict[str, str]:
    """The environment of ranks. What DeepSpeed compiles for CPUs is kept between runs of the tests."""
    built = os.environ.get("TORCH_EXTENSIONS_DIR", str(Path.home() / ".cache" / "torch_extensions"))
    return {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_EXTENSIONS_DIR": built}


def run_cases(script: str, cases: Sequence[dict[str, Any]], root: Path) -> None:
    """Run a script of this folder on two ranks, over cases that are written to `cases.json`."""
    (root / "cases.json").write_text(json.dumps(cases))
    path = Path(__file__).with_name(script)
    command = [*TORCHRUN, str(path), str(root / "cases.json")]
    done = subprocess.run(command, env=rank_environ(), capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
