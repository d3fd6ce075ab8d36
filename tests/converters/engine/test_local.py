from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phi3v_data.converters.base import Item
from phi3v_data.converters.engine.local import LocalExecutor, OutputLog
from phi3v_data.converters.engine.messages import Done, Failed, Halted, Job, Outcome, Work, decode_outcome
from phi3v_data.converters.engine.pool import ActiveClock
from phi3v_data.converters.images import ImageSettings
from phi3v_data.converters.registry import ConverterSpec
from phi3v_data.schema.errors import ConversionStopped
from phi3v_data.schema.record import decode_record

_SOURCE = '''
"""Items that do what their data says."""
import os, signal
from dataclasses import dataclass
from typing import ClassVar
from phi3v_data.storage import Folder
from phi3v_data.schema.record import Record, Turn
{top}

@dataclass(frozen=True)
class Doing:
    """Does it."""
    name: ClassVar[str] = "doing"
    done: ClassVar[list] = []
    input: Folder

    def discover(self):
        yield from ()

    def convert(self, item, images):
        if item.data.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        self.done.append(item.id)
        if item.data.get("die tired") and len(self.done) > 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if item.data.get("hang"):
            signal.pause()
        if item.data.get("exit"):
            raise SystemExit(item.data["exit"])
        for fd, text in enumerate(item.data.get("prints", []), 1):
            os.write(fd, text.encode())
        if item.data.get("die once") and not self.input.exists("exited"):
            self.input.write("exited", b"")
            os.kill(os.getpid(), signal.SIGKILL)
        text = str(os.getpid()) + "x" * item.data.get("size", 0)
        return Record(id=item.id, conversations=[Turn(user="pid?", assistant=text)])
'''


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def make(top: str = "") -> Job:
        file = tmp_path / "doing.py"
        file.write_text(_SOURCE.replace("{top}", top))
        spec = ConverterSpec(source=f"{file}:Doing", input=str(tmp_path))
        return Job(spec=spec, out=str(tmp_path / "out"), folder="images", images=ImageSettings())

    return make


def work(index: int, **data: Any) -> Work:
    return Work(index, Item(id=str(index), split="train", path=f"raw/{index}", images=f"p{index}", data=data))


def run(
    job: Job, works: list[Work], workers: int = 2, timeout: float = 600.0, log: Callable[[str], None] = print
) -> list[Outcome]:
    with LocalExecutor(job, workers, timeout, log) as executor:
        return [decode_outcome(line) for line in executor.run(iter(works))]


def test_every_item_is_answered_once_by_several_processes_none_of_them_this_one(job: Callable[..., Job]) -> None:
    outcomes = run(job(), [work(i) for i in range(40)])
    assert sorted(o.index for o in outcomes) == list(range(40))
    assert all(isinstance(o, Done) for o in outcomes)
    assert str(os.getpid()).encode() not in b"".join(bytes(o.record) for o in outcomes if isinstance(o, Done))


def test_an_item_whose_worker_always_dies_is_the_only_one_that_fails(job: Callable[..., Job]) -> None:
    outcomes = run(job(), [work(i, die=i in (3, 7)) for i in range(12)])
    failed = [o for o in outcomes if isinstance(o, Failed)]
    assert sorted(o.index for o in failed) == [3, 7]
    assert sorted(o.index for o in outcomes) == list(range(12))
    assert {(o.failure.stage, o.failure.exception) for o in failed} == {("worker", "WorkerExited")}


def test_an_item_whose_worker_exited_once_is_done_by_another(job: Callable[..., Job]) -> None:
    outcomes = run(job(), [work(i, **({"die once": True} if i == 2 else {})) for i in range(6)])
    assert sorted(o.index for o in outcomes if isinstance(o, Done)) == list(range(6))


def test_an_item_is_tried_again_by_a_worker_that_has_done_nothing_else(job: Callable[..., Job]) -> None:
    items = [work(index, **({"die tired": True} if index % 4 == 3 else {})) for index in range(24)]
    assert all(isinstance(o, Done) for o in run(job(), items))


def test_no_more_items_are_taken_than_the_workers_have_room_for(job: Callable[..., Job]) -> None:
    taken, answered = 0, 0

    def works() -> Iterator[Work]:
        nonlocal taken
        for index in range(50):
            taken += 1
            assert taken - answered <= 4 + 1
            yield work(index)

    with LocalExecutor(job(), 2, 600.0, print) as executor:
        for _ in executor.run(works()):
            answered += 1
    assert answered == 50


def test_messages_larger_than_any_pipe_do_not_lock_driver_and_workers(job: Callable[..., Job]) -> None:
    big = "y" * 3_000_000
    outcomes = run(job(), [work(i, size=3_000_000, ballast=big) for i in range(6)])
    assert sorted(o.index for o in outcomes) == list(range(6))


def test_a_source_that_cannot_be_built_in_the_worker_halts_the_run_in_its_words(job: Callable[..., Job]) -> None:
    broken = job("from phi3v_data.schema.errors import UsageError\nraise UsageError('no such model')")
    with LocalExecutor(broken, 2, 600.0, print) as executor:
        assert decode_outcome(next(executor.run(iter([work(0)])))) == Halted(0, "no such model")


def test_a_worker_that_does_not_come_up_however_often_it_is_tried_stops_the_run(job: Callable[..., Job]) -> None:
    source = "import os, sys\nsys.stderr.write('no licence\\n')\nos._exit(7)"
    with pytest.raises(ConversionStopped, match=r"could not start, 3 times in a row \(exit code 7: no licence\)"):
        run(job(source), [work(0)])


def test_a_worker_killed_before_it_is_up_is_started_again(job: Callable[..., Job], tmp_path: Path) -> None:
    once = f"from pathlib import Path\nseen = Path({str(tmp_path / 'seen')!r})\n"
    killed = "if not seen.exists():\n    seen.touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    outcomes = run(job(f"{once}{killed}"), [work(i) for i in range(3)], workers=1)
    assert [type(o) for o in outcomes] == [Done] * 3


def test_an_item_that_takes_too_long_is_quarantined_and_its_worker_replaced(job: Callable[..., Job]) -> None:
    outcomes = run(job(), [work(i, hang=i == 1) for i in range(6)], timeout=1.5)
    failed = [o for o in outcomes if isinstance(o, Failed)]
    assert [(o.index, o.failure.stage, o.failure.exception) for o in failed] == [(1, "worker", "ItemTimeout")]
    assert failed[0].failure.message == "no result within 1.5 s, so its worker was ended; see --item-timeout"
    assert sorted(o.index for o in outcomes) == list(range(6))


def test_time_during_which_the_driver_was_stopped_counts_for_no_timeout() -> None:
    readings = iter([0.0, 1.0, 3601.0, 3602.0])
    clock = ActiveClock(lambda: next(readings), longest=5.0)
    assert [clock.now() for _ in range(3)] == [1.0, 6.0, 7.0]


def test_a_source_that_exits_the_process_fails_its_item_only(job: Callable[..., Job]) -> None:
    outcomes = run(job(), [work(i, **({"exit": 3} if i == 1 else {})) for i in range(3)], workers=1)
    assert [type(o) for o in outcomes] == [Done, Failed, Done]
    assert isinstance(outcomes[1], Failed)
    assert (outcomes[1].failure.exception, outcomes[1].failure.stage) == ("SystemExit", "convert")
    assert outcomes[1].failure.message.startswith("3 (doing.py, line ")


def test_what_libraries_print_is_logged_with_the_item_and_reaches_no_terminal(
    job: Callable[..., Job], capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    printed = ["from stdout\n", "TIFFReadDirectory: odd\nand more\n"]
    run(job(), [work(0), work(1, prints=printed), work(2)], workers=1, log=lines.append)
    assert lines == ["raw/1: printed in its worker: from stdout (+2 lines)"]
    assert capfd.readouterr() == ("", "")


def test_output_of_workers_is_not_logged_without_end() -> None:
    lines: list[str] = []
    log = OutputLog(lines.append, most=2)
    for number in range(9):
        log.add(f"clip {number}", f" {'x' * 400}\n")
    assert lines[:2] == [f"clip {n}: printed in its worker: {'x' * 300}" for n in range(2)]
    assert lines[2:] == ["further output of workers is not shown"]


def test_no_worker_outlives_the_executor(job: Callable[..., Job]) -> None:
    outcomes = run(job(), [work(i) for i in range(20)])
    pids = {int(_answer(outcome)) for outcome in outcomes}
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def _answer(outcome: Outcome) -> str:
    assert isinstance(outcome, Done)
    return decode_record(bytes(outcome.record)).conversations[0].assistant
