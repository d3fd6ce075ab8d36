"""Answers as they come, a file a rank, so that an evaluation that was killed continues without asking anything twice.

::

    eval_val.answers/rank-0.jsonl     a line an answer, behind a line that says what is being evaluated
    eval_val.answers/rank-1.jsonl     ...

The folder goes when the result is written. A later try may have another number of ranks: each reads all files, and adds
to its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from ...schema.errors import OutputError
from ...storage import LocalFolder
from ..config import TrainConfig
from .result import Answer


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
            # Whole or not at all: what was answered must not be lost to a process that is killed here.
            LocalFolder(self.folder).write(path.name, b"".join(line + b"\n" for line in (self._header, *kept)))
            stream = path.open("ab")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
        with stream:
            yield stream

    def remove(self) -> None:
        """Remove what the result has replaced."""
        shutil.rmtree(self.folder, ignore_errors=True)


def evaluation_identity(config: TrainConfig, data: str, split: str, with_loss: bool = False) -> str:
    """Name what the answers of an evaluation follow from: the model's files, the data and the settings.

    Args:
        config: names the model, and how it is asked.
        data: the dataset's digest.
        split: of it.
        with_loss: whether the loss is computed, whatever the settings say.
    """
    folder = Path(config.model.name)
    weights = sorted(
        f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}"
        for path in (folder.rglob("*.safetensors") if folder.is_dir() else ())
    )
    asked = config.evaluation
    how = (asked.max_new_tokens, asked.positive_label, asked.metrics, asked.primary, with_loss)
    depends_on = (config.model, weights, data, split, how, config.data.num_crops, config.data.exact_pixels)
    return hashlib.sha256(repr(depends_on).encode()).hexdigest()


def _answers(lines: list[bytes]) -> Iterator[Answer]:
    for line in lines:
        # A process that was killed may leave half a line.
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=Answer)
