"""The state of an unfinished conversion, journal and run.json: damage may lose work, and never tell anything else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from phi3v_data.converters.engine.header import RunHeader, decode_header, encode_header
from phi3v_data.converters.engine.journal import Journal, journal_lines
from phi3v_data.converters.engine.messages import Done, Failed, Failure, encode
from phi3v_data.schema.record import Record, Turn, encode_record

ITEMS = 30
HEADER = RunHeader(
    source="ucf101",
    options={"quality": 75, "splits": None},
    decoders={"opencv": "4.12.0"},
    input="/data/raw",
    plan="0" * 64,
    stale=["ucf101_train.jsonl"],
)


def outcomes() -> list[Done | Failed]:
    made: list[Done | Failed] = []
    for number in range(ITEMS):
        failure = Failure(stage="decode", exception="MediaError", message=f"no frame in clip {number}")
        if number % 7 == 3:
            made.append(Failed(number, f"train/{number}.avi", failure, "shared" if number % 2 else ""))
        if number % 7 != 3 or number % 2:  # some failed first, and were done by a retry
            shown = [f"train/{number}.{frame}.jpg" for frame in range(number % 4)]
            record = Record(id=f"train-{number:010d}", conversations=[Turn(images=shown, user="Wer?", assistant="Ä")])
            made.append(Done(number, msgspec.Raw(encode_record(record)), [1000 + number] * len(shown)))
    return made


OUTCOMES = outcomes()
LATEST = {outcome.index: outcome for outcome in OUTCOMES}


def is_possible(found: dict[int, Done | Failed], is_torn: bool) -> bool:
    """Tell whether a journal held this at some time; of a torn one with parts of another, item by item."""
    latest: dict[int, Done | Failed] = {}
    for outcome in OUTCOMES:
        latest[outcome.index] = outcome
        if all(latest.get(index) == known for index, known in found.items()):
            return True
    return is_torn and all(known in OUTCOMES for known in found.values())


def corpus(folder: Path) -> None:
    lines = list(journal_lines(map(encode, OUTCOMES)))
    (folder / "whole.jsonl").write_bytes(b"".join(lines))
    (folder / "torn.jsonl").write_bytes(b"".join(lines[:20])[:-17])
    (folder / "run.json").write_bytes(encode_header(HEADER))


def check(file: Path) -> None:
    if file.suffix == ".json":
        assert decode_header(file.read_bytes(), file.name) == HEADER, "another header"
        return
    with TemporaryFile() as stream:
        stream.write(file.read_bytes())
        stream.flush()
        journal = Journal(stream, ITEMS)
        found = {index: outcome for index in range(ITEMS) if (outcome := journal.outcome(index)) is not None}
        assert is_possible(found, file.name.startswith("torn")), "the journal tells what it never did"
        journal.append(encode(LATEST[0]), LATEST[0])
        assert journal.outcome(0) == LATEST[0], "what was appended cannot be read"
