from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# A module of our own that the command line imports first, in place of click: it signals its process, and waits.
_STOPPING_IMPORT = "import os, signal\nos.kill(os.getpid(), signal.{name})\nsignal.pause()\n"


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_during_the_first_imports_is_one_line(tmp_path: Path, name: str, code: int) -> None:
    (tmp_path / "click.py").write_text(_STOPPING_IMPORT.format(name=name))
    path = os.pathsep.join([str(tmp_path), *sys.path])
    # A shell's background jobs ignore SIGINT, and so would what they start.
    command = ["env", f"--default-signal={name}", sys.executable, "-m", "phi3v_data", "--help"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (code, "phi3v-data: stopped before it began\n")


_FORKING = """
import multiprocessing, time
from phi3v_data.cli.signals import raise_on_sigterm
raise_on_sigterm()
context = multiprocessing.get_context("fork")
up = context.Event()
def idle():
    # The interpreter forgets a signal that arrives while it forks, and one long pause would miss one just before it.
    up.set()
    while True:
        time.sleep(0.05)
child = context.Process(target=idle)
child.start()
up.wait()
child.terminate()
child.join()
print(child.exitcode)
"""


def test_a_forked_child_ends_silently_on_sigterm() -> None:
    done = subprocess.run([sys.executable, "-c", _FORKING], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"-{signal.SIGTERM.value}\n", "")
