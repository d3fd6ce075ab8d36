"""Evaluation while a run trains: every so many steps, the best model kept, and an end where nothing improves any more.

::

    evaluations.jsonl     a line an evaluation: the step, and every metric
    best/                 the model (or adapters) with the best primary metric so far, and the step in `best.json`
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ..backends import Backend
from ..config import TrainConfig
from ..data.sources import Source
from ..model_folder import save_model
from ..precision import autocast
from ..run_folder import RunFolder, append_row
from .evaluate import evaluate
from .result import Evaluation

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM, Phi3VProcessor

__all__ = ["PeriodicEvaluation"]

_BEST = "best.json"


class _Row(msgspec.Struct):
    step: int
    primary: float | None
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
    ) -> None:
        self._config, self._source, self._split, self._folder = config, source, split, folder
        self._backend, self._model, self._processor, self._log = backend, model, processor, log
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
        found = self._evaluate()
        primary = found.value(found.primary) if found.primary else None
        is_best = primary is not None and all(row.primary is None or primary > row.primary for row in self._rows)
        row = _Row(done, primary, {name: metric.value for name, metric in found.metrics.items()})
        self._rows.append(row)
        self._log(f"step {done}: {found.summary()}{', the best so far' if is_best else ''}")
        if is_best:
            self._keep(done, found)
        if self._backend.processes.first:
            append_row(self._folder.evaluations, msgspec.to_builtins(row))
        return self._is_over()

    def _evaluate(self) -> Evaluation:
        backend, config = self._backend, self._config
        if self._split is None:
            raise AssertionError("nothing to evaluate: is_due was not asked")
        with backend.whole_model() as model, autocast(backend.dtypes, backend.device):
            whole: Any = model
            return evaluate(
                whole,
                self._processor,
                self._source.dataset,
                self._split,
                config.evaluation,
                processes=backend.processes,
                exact_pixels=config.data.exact_pixels,
            )

    def _keep(self, done: int, found: Evaluation) -> None:
        weights = self._backend.whole_state_dict()

        def write() -> None:
            partial = self._folder.path / "best.partial"
            shutil.rmtree(partial, ignore_errors=True)
            save_model(self._model, self._processor, partial, self._backend.dtypes.frozen, weights)
            values = {name: metric.value for name, metric in found.metrics.items()}
            described = {"step": done, "metric": found.primary, "metrics": values}
            (partial / _BEST).write_bytes(msgspec.json.format(msgspec.json.encode(described), indent=2) + b"\n")
            shutil.rmtree(self._folder.best, ignore_errors=True)
            partial.rename(self._folder.best)

        self._backend.processes.by_first(write)

    def _is_over(self) -> bool:
        most = self._config.evaluation.early_stopping
        values = [row.primary for row in self._rows if row.primary is not None]
        if most is None or not values:
            return False
        since = len(values) - 1 - values.index(max(values))
        if since >= most:
            self._log(f"no better {self._primary_name()} for {since} evaluations: the run ends; the best is in best/")
        return since >= most

    def _primary_name(self) -> str:
        return self._config.evaluation.primary or "metric"

    def _read(self) -> list[_Row]:
        path = self._folder.evaluations
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=_Row) for line in lines]
