from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.engine.journal import Journal, journal_lines
from phi3v_data.converters.engine.messages import Done, Failed, Failure, encode
from phi3v_data.schema.errors import ConversionStopped


def done(index: int, text: str = "") -> Done:
    return Done(index, msgspec.Raw(encode({"id": f"{index}{text}"})), [index])


def failed(index: int) -> Failed:
    return Failed(index, f"raw/{index}", Failure(stage="decode", exception="MediaError", message="no\nframe"))


def write(path: Path, outcomes: list[Done | Failed], items: int = 10) -> None:
    with path.open("a+b") as stream:
        journal = Journal(stream, items)
        for outcome in outcomes:
            journal.append(encode(outcome), outcome)


def read(path: Path, items: int = 10) -> list[Done | Failed | None]:
    with path.open("a+b") as stream:
        journal = Journal(stream, items)
        return [journal.outcome(index) for index in range(items)]


def test_what_was_noted_is_there_after_opening_again_in_any_order(tmp_path: Path) -> None:
    write(tmp_path / "j", [done(7), failed(2)])
    write(tmp_path / "j", [done(0)])
    found = read(tmp_path / "j")
    assert {i: type(o) for i, o in enumerate(found) if o} == {0: Done, 2: Failed, 7: Done}
    assert found[2] == failed(2)


def test_the_last_word_on_an_item_counts(tmp_path: Path) -> None:
    write(tmp_path / "j", [failed(1), done(1, "again")])
    assert isinstance(read(tmp_path / "j")[1], Done)


def test_a_journal_torn_at_any_byte_keeps_its_whole_lines_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, [done(0), failed(1), done(2)])
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)
        assert [o is not None for o in read(path, 3)] == [i < kept for i in range(3)]
        assert path.stat().st_size == max([0, *(end for end in ends if end <= cut)])
        write(path, [done(2)], 3)
        assert isinstance(read(path, 3)[2], Done)


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\x00\x00\n",
        b'{"type":"done","index":0,"record":{},"sizes":[]}\n',
        b"".join(journal_lines([b'{"type":"failed","index":9}'])),
    ],
)
def test_a_line_that_is_none_is_passed_over_and_counted(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "j"
    first, second = journal_lines([encode(done(0)), encode(done(1))])
    path.write_bytes(first + damage + second)
    with path.open("a+b") as stream:
        journal = Journal(stream, 3)
        # The line behind builds on the one that is not there.
        assert (journal.damaged, [journal.is_settled(i) for i in range(3)]) == (2, [True, False, False])


@pytest.mark.parametrize("outcome", [b'{"type":"done"}', b"[]", encode(done(9)), encode(done(-1))])
def test_an_outcome_that_cannot_be_is_passed_over_and_counted(tmp_path: Path, outcome: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(b"".join(journal_lines([encode(done(0)), outcome, encode(done(1))])))
    with path.open("a+b") as stream:
        journal = Journal(stream, 3)
        assert (journal.damaged, [journal.is_settled(i) for i in range(3)]) == (1, [True, True, False])


@given(st.data())
def test_a_journal_with_any_byte_changed_never_tells_anything_else(data: st.DataObject) -> None:
    written: list[Done | Failed] = [done(0), failed(1), done(1, "again"), failed(2)]
    latest = {outcome.index: outcome for outcome in written}
    journal = bytearray(b"".join(journal_lines(map(encode, written))))
    journal[data.draw(st.integers(0, len(journal) - 1))] ^= data.draw(st.integers(1, 255))
    with TemporaryFile() as stream:
        stream.write(journal)
        stream.flush()
        opened = Journal(stream, 3)
        found = [opened.outcome(index) for index in range(3)]
    assert all(outcome in (None, latest[index]) for index, outcome in enumerate(found))


def test_a_line_that_was_lost_or_moved_is_noticed(tmp_path: Path) -> None:
    lines = list(journal_lines(map(encode, (failed(0), done(0, "again"), done(1)))))
    for kept in ([0, 2], [1, 0, 2], [0, 1, 0, 2]):
        (tmp_path / "j").write_bytes(b"".join(lines[number] for number in kept))
        assert read(tmp_path / "j", 2)[0] in (None, done(0, "again"))


def test_a_line_changed_while_the_run_reads_it_stops_the_run(tmp_path: Path) -> None:
    with (tmp_path / "j").open("a+b") as stream:
        journal = Journal(stream, 2)
        journal.append(encode(done(0)), done(0))
        (tmp_path / "j").write_bytes((tmp_path / "j").read_bytes().replace(b'"0"', b'"7"'))
        with pytest.raises(ConversionStopped, match="changed while this run read it; rerun"):
            journal.outcome(0)


def test_failures_can_be_opened_again(tmp_path: Path) -> None:
    write(tmp_path / "j", [done(0), failed(1)])
    with (tmp_path / "j").open("a+b") as stream:
        journal = Journal(stream, 3)
        assert journal.count() == (1, 1)
        journal.reopen_failed()
        assert journal.count() == (1, 0)
        assert [journal.is_settled(i) for i in range(3)] == [True, False, False]


def test_every_line_is_read_a_bounded_number_of_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, read_bytes = 5000, 0
    write(tmp_path / "j", [done(i) for i in range(count)], count)
    size = (tmp_path / "j").stat().st_size
    real = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal read_bytes
        data = real(descriptor, size, offset)
        read_bytes += len(data)
        return data

    monkeypatch.setattr(os, "pread", counting)
    with (tmp_path / "j").open("a+b") as stream:
        journal = Journal(stream, count)
        assert read_bytes == size
        for index in range(count):
            journal.outcome(index)
    assert read_bytes < size + count * 5000


def test_lines_longer_than_any_block_come_back_whole(tmp_path: Path) -> None:
    long = done(1, "x" * 3_000_000)
    write(tmp_path / "j", [done(0), long, done(2)])
    assert read(tmp_path / "j")[1] == long
    assert isinstance(read(tmp_path / "j")[2], Done)
