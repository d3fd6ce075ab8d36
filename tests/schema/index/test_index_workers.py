from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from phi3v_data.schema.index import workers as index_workers
from phi3v_data.schema.index.workers import in_order

# What travels to a process must be found there under its name, which nothing in a test module is.
MAKE_DIVIDER = partial(partial, divmod, 100)


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_come_in_the_order_of_the_tasks_and_few_tasks_are_taken_ahead(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_workers, "_SHORT", 0.0)
    taken = 0

    def tasks() -> Iterator[int]:
        nonlocal taken
        for task in range(1, 50):
            taken += 1
            yield task

    for answered, answer in enumerate(in_order(MAKE_DIVIDER, tasks(), workers), 1):
        assert answer == divmod(100, answered)
        assert taken <= answered + 3 * workers


def test_an_error_in_a_task_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_workers, "_SHORT", 0.0)
    with pytest.raises(ZeroDivisionError):
        list(in_order(MAKE_DIVIDER, [1, 2, 0, 3], 2))


_DIES = """
import itertools, multiprocessing, os
from phi3v_data.schema.errors import RunError
from phi3v_data.schema.index.workers import in_order

def make():
    return lambda task: os._exit(1) if multiprocessing.parent_process() else task

if __name__ == "__main__":
    try:
        for _ in in_order(make, itertools.repeat(7), 2):
            pass
    except RunError as error:
        print(error)
"""


def test_a_process_that_dies_is_one_clear_error(tmp_path: Path) -> None:
    script = tmp_path / "dies.py"
    script.write_text(_DIES)
    out = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    assert out.startswith("a process that built the index died")


_ANSWERS_FOR_EVER = """
import itertools, os
from functools import partial
from phi3v_data.schema.index.workers import in_order

if __name__ == "__main__":
    for _ in in_order(partial(partial, divmod, 100), itertools.repeat(7), 2):
        print("working", flush=True)
"""


def test_no_process_outlives_one_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "for_ever.py"
    script.write_text(_ANSWERS_FOR_EVER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers: list[psutil.Process] = []
        while len(workers) < 2:
            assert process.stdout.readline() == "working\n"
            workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_a_short_job_starts_no_process() -> None:
    before = psutil.Process().children(recursive=True)
    assert list(in_order(MAKE_DIVIDER, range(1, 50), 2)) == [divmod(100, task) for task in range(1, 50)]
    assert psutil.Process().children(recursive=True) == before


def test_no_process_is_started_once_all_is_done_however_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*given: object) -> Iterator[object]:
        raise AssertionError("processes are started for nothing")

    monkeypatch.setattr(index_workers, "_together", started)
    answers = in_order(MAKE_DIVIDER, [7], 2)
    assert next(answers) == divmod(100, 7)
    monkeypatch.setattr(index_workers, "_SHORT", -1.0)
    assert list(answers) == []


def test_no_tasks_have_no_answers() -> None:
    assert list(in_order(MAKE_DIVIDER, [], 2)) == []
