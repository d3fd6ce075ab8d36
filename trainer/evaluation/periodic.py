"""Evaluation while a run trains: every so many steps, the best model kept, and an end where nothing improves any more.

::

    evaluations.jsonl          a line an evaluation: the step, every metric, and the one that models are chosen by
    evaluations/step-2.json    all of one evaluation, every answer included
    best/                      the model (or adapters) with the best primary metric so far, and the step in `best.json`
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ...schema.progress import Progress, silent
from ...schema.wording import counted
from ...storage import LocalFolder
from ..backends import Backend
from ..config import TrainConfig
from ..data.sources import Source
from ..model_folder import save_model
from ..precision import autocast
from ..run_folder import RunFolder, append_row
from .evaluate import evaluate
from .journal import AnswerJournal
from .result import Evaluation, is_better

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM, Phi3VProcessor

_BEST = "best.json"


class _Row(msgspec.Struct):
    step: int
    primary: str | None
    metrics: dict[str, float]


class PeriodicEvaluation:
    """Evaluates every so many steps.

    Args:
        config: how often, by which metric, and how long without an improvement.
        source: the dataset that is evaluated on.
        split: its split; None where nothing is evaluated.
        folder: the run's.
        backend: holds the model.
        model: what the backend took over, for its configuration.
        processor: the model's own.
        log: called with a line for a person.
        progress: shows how far an evaluation is.
    """

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        split: str | None,
        folder: RunFolder,
        backend: Backend,
        model: Phi3VForCausalLM,
        processor: Phi3VProcessor,
        log: Callable[[str], None],
        progress: Progress = silent,
    ) -> None:
        self._config, self._source, self._split, self._folder = config, source, split, folder
        self._backend, self._model, self._processor = backend, model, processor
        self._log, self._progress = log, progress
        # Written before a checkpoint, so that a resumed run knows what its first part found.
        self._rows: list[_Row] = backend.processes.by_first(self._read)

    def is_due(self, done: int) -> bool:
        """Tell whether to evaluate after so many steps; the same in every process."""
        every = self._config.evaluation.every
        return self._split is not None and every is not None and done % every == 0

    def __call__(self, done: int) -> bool:
        """Evaluate, and keep the model if it is the best so far; called by every process.

        Args:
            done: steps taken.

        Returns:
            Whether the run should end: its metric has not improved for `evaluation.early_stopping` evaluations.
        """
        found = self._evaluate(done)
        row = _Row(done, found.primary, {name: metric.value for name, metric in found.metrics.items()})
        is_best = self._is_best(row)
        self._rows.append(row)
        self._log(f"step {done}: {found.summary()}{', the best so far' if is_best else ''}")
        if is_best:
            self._keep(row)
        if self._backend.processes.first:
            append_row(self._folder.evaluations, msgspec.to_builtins(row))
        return self._is_over(found.primary)

    def _evaluate(self, done: int) -> Evaluation:
        backend, config = self._backend, self._config
        processes = backend.processes
        if self._split is None:
            raise AssertionError("nothing to evaluate: is_due was not asked")
        out = self._folder.answers(done)
        journal = AnswerJournal(out.with_suffix(".answers"), f"step {done}")
        # What a try that was killed has left is of weights that need not be the same bit for bit.
        processes.by_first(journal.remove)
        with backend.whole_model() as model, autocast(backend.dtypes, backend.device):
            whole: Any = model
            found = evaluate(
                whole,
                self._processor,
                self._source.dataset,
                self._split,
                config.evaluation,
                self._progress,
                processes,
                config.data.exact_pixels,
                journal,
                with_loss=True,
            )
        if processes.first:
            LocalFolder(out.parent).write(out.name, found.as_json())
            journal.remove()
        return found

    def _is_best(self, row: _Row) -> bool:
        if row.primary is None:
            return False
        value = row.metrics[row.primary]
        return all(is_better(row.primary, value, other) for other in self._values(row.primary))

    def _values(self, metric: str) -> list[float]:
        return [row.metrics[metric] for row in self._rows if metric in row.metrics]

    def _keep(self, row: _Row) -> None:
        weights = self._backend.whole_state_dict()

        def write() -> None:
            partial = self._folder.path / "best.partial"
            shutil.rmtree(partial, ignore_errors=True)
            save_model(self._model, self._processor, partial, self._backend.dtypes.frozen, weights)
            described = {"step": row.step, "metric": row.primary, "metrics": row.metrics}
            (partial / _BEST).write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n")
            shutil.rmtree(self._folder.best, ignore_errors=True)
            partial.rename(self._folder.best)

        self._backend.processes.by_first(write)

    def _is_over(self, primary: str | None) -> bool:
        most = self._config.evaluation.early_stopping
        if most is None or primary is None:
            return False
        since = 0
        best, *later = self._values(primary)
        for value in later:
            since += 1
            if is_better(primary, value, best):
                best, since = value, 0
        if since >= most:
            how_long = counted(since, "evaluation")
            self._log(f"no better {primary} for {how_long}: the run ends; the best is in best/")
        return since >= most

    def _read(self) -> list[_Row]:
        path = self._folder.evaluations
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=_Row) for line in lines]
