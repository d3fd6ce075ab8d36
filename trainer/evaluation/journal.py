"""Answers as they come, a file a rank, so that an evaluation that was killed continues without asking anything twice.

::

    eval_val.answers/rank-0.jsonl     a line an answer, behind a line that says what is being evaluated
    eval_val.answers/rank-1.jsonl     ...

The folder goes when the result is written. A later try may have another number of ranks: each reads all files, and adds
to its own.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from ...schema.errors import OutputError
from .result import Answer

__all__ = ["AnswerJournal"]


class _Header(msgspec.Struct, frozen=True):
    evaluates: str


class AnswerJournal:
    """The answers of one evaluation under way.

    Args:
        folder: where the files lie.
        identity: names model, data and settings; answers under another identity are not continued.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        self._header = msgspec.json.encode(_Header(identity))

    def read(self) -> dict[tuple[str, int], Answer]:
        """Return what was answered before, by record id and turn."""
        found: dict[tuple[str, int], Answer] = {}
        for path in sorted(self.folder.glob("rank-*.jsonl")):
            with contextlib.suppress(OSError):
                first, *lines = path.read_bytes().splitlines() or [b""]
                if first == self._header:
                    found.update((answer.key, answer) for answer in _answers(lines))
        return found

    @contextlib.contextmanager
    def writing(self, rank: int) -> Iterator[IO[bytes]]:
        """Open the file of one rank, which keeps what it holds if that is of this evaluation.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.folder / f"rank-{rank}.jsonl"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            first, *lines = (path.read_bytes().splitlines() if path.exists() else []) or [b""]
            kept = [msgspec.json.encode(answer) for answer in _answers(lines)] if first == self._header else []
            path.write_bytes(b"".join(line + b"\n" for line in (self._header, *kept)))
            stream = path.open("ab")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
        with stream:
            yield stream

    def remove(self) -> None:
        """Remove what the result has replaced."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _answers(lines: list[bytes]) -> Iterator[Answer]:
    for line in lines:
        # A process that was killed may leave half a line.
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=Answer)
