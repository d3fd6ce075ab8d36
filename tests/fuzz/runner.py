"""Runs the cases of a target in a process of its own, which may crash or hang."""

from __future__ import annotations

import importlib.util
import multiprocessing
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from types import ModuleType

from phi3v_data.schema.errors import Phi3VDataError

from .mutation import mutated

# A case that asks for more fails with MemoryError, which is a finding.
_MEMORY = 8 << 30


@dataclass(frozen=True)
class Finding:
    """What went wrong in one case, and where its file is kept."""

    target: str
    seed: int
    case: int
    what: str
    file: Path

    def __str__(self) -> str:
        return f"{self.target}: --seed {self.seed} --case {self.case}: {self.what}\n    {self.file}"


@dataclass(frozen=True)
class Run:
    """A target under one seed.

    Args:
        target: its file.
        seed: of the mutations.
        timeout: seconds that one case may take.
        keep: where the files of findings are put.
    """

    target: Path
    seed: int
    timeout: float
    keep: Path

    def case(self, number: int) -> None:
        """Run one case in this process; what is not an error of the package's own is raised."""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
            folder = Path(work)
            module = _module(self.target)
            _check(module, self._damaged(_corpus(module, folder), number, folder / "case"))

    def cases(self, connection: Connection) -> None:
        """Run the cases that are asked for, for ever; answer each with its file, and then with what went wrong."""
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
            folder = Path(work)
            module = _module(self.target)
            corpus = _corpus(module, folder)
            while True:
                file = self._damaged(corpus, connection.recv(), folder / "case")
                connection.send(str(file))
                try:
                    _check(module, file)
                except Exception as error:  # noqa: BLE001 - any of them is a finding
                    connection.send(_described(error))
                else:
                    connection.send("")

    def _damaged(self, corpus: list[Path], number: int, folder: Path) -> Path:
        draw = Random(f"{self.seed}:{number}")
        source = draw.choice(corpus)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        file = folder / source.name
        file.write_bytes(mutated(source.read_bytes(), draw.choice(corpus).read_bytes(), draw))
        return file


def fuzz(
    run: Run, seconds: float, report: Callable[[Finding], object], most_cases: int | None = None
) -> tuple[int, list[Finding]]:
    """Run cases until the time is over.

    Args:
        run: the target.
        seconds: the time.
        report: gets every finding at once.
        most_cases: ends earlier, after so many cases.

    Returns:
        How many cases were run, and what was found.
    """
    findings: list[Finding] = []
    end, number = time.monotonic() + seconds, 0

    def found(what: str, file: str) -> None:
        kept = run.keep / f"{run.target.stem}-{run.seed}-{number}-{Path(file).name}"
        run.keep.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, kept)
        findings.append(Finding(run.target.stem, run.seed, number, what, kept))
        report(findings[-1])

    while time.monotonic() < end and (most_cases is None or number < most_cases):
        with _Worker(run) as worker:
            while time.monotonic() < end and (most_cases is None or number < most_cases):
                file = worker.begun(number)
                what = worker.ended()
                if what:
                    found(what, file)
                number += 1
                if worker.is_over:
                    break
    return number, findings


class _Worker:
    """A process that runs cases, each on request."""

    def __init__(self, run: Run) -> None:
        spawned = multiprocessing.get_context("spawn")
        self._timeout = run.timeout
        self._here, there = spawned.Pipe()
        self._process = spawned.Process(target=run.cases, args=(there,), daemon=True)
        self._process.start()
        there.close()
        self.is_over = False

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._here.close()

    def begun(self, number: int) -> str:
        """Have a case run, and return its file."""
        self._here.send(number)
        try:
            return str(self._here.recv())
        except EOFError:
            raise RuntimeError("the process ended before its first case; see its traceback") from None

    def ended(self) -> str:
        """Wait for the end of the case, and return what went wrong in it, "" where nothing did."""
        if not self._here.poll(self._timeout):
            self.is_over = True
            return f"no end within {self._timeout:g} s"
        try:
            return str(self._here.recv())
        except EOFError:
            self.is_over = True
            self._process.join()
            code = self._process.exitcode or 0
            return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _corpus(module: ModuleType, folder: Path) -> list[Path]:
    corpus = folder / "corpus"
    corpus.mkdir()
    module.corpus(corpus)
    files = sorted(path for path in corpus.iterdir() if path.is_file())
    for file in files:
        _check(module, file, may_fail=False)
    return files


def _check(module: ModuleType, file: Path, *, may_fail: bool = True) -> None:
    try:
        module.check(file)
    except Phi3VDataError as error:
        if not may_fail:
            raise RuntimeError(f"{file.name}: a file of the corpus, refused: {error}") from error
        if "\n" in str(error) or len(str(error)) > 2000:
            raise RuntimeError(f"a message that is not one short line: {str(error)[:200]!r}") from error


def _described(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]} ({Path(last.filename).name}:{last.lineno})"
