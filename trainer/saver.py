"""Saves checkpoints: when it is time, from copies in memory, while the run goes on."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..schema.errors import ModelFolderError, RunError
from ..storage.outage import one_line, outage
from .backends import Backend
from .checkpoints import DataState, TrainingState, checkpoint_path, complete_checkpoint, keep_newest, remove_checkpoint
from .config import TrainConfig
from .model_folder import save_model
from .processes import Processes

if TYPE_CHECKING:
    from .phi3v import Phi3VForCausalLM, Phi3VProcessor

_RANDOM = "random.safetensors"
_MINUTE = 60.0


class CheckpointSaver:
    """Saves the checkpoints of a run. A context manager, which waits for what is being written.

    Args:
        config: how often, and how many are kept.
        run: the run's folder.
        backend: holds what is saved.
        model: what the backend took over.
        processor: the model's own.
        processes: those that train.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: Path,
        backend: Backend,
        model: Phi3VForCausalLM,
        processor: Phi3VProcessor,
        processes: Processes,
    ) -> None:
        self._config, self._run, self._backend, self._processes = config, run, backend, processes
        self._model, self._processor = model, processor
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._saved_at = time.monotonic()

    def __enter__(self) -> CheckpointSaver:
        return self

    def __exit__(self, *_: object) -> None:
        # Also of a run that failed or was interrupted: what is being written is soon a complete checkpoint.
        self._writer.shutdown()

    def is_due(self, done: int) -> bool:
        """Tell whether a checkpoint is to be saved after so many steps; the same in every process."""
        return done % self._config.save_every == 0

    @property
    def is_overdue(self) -> bool:
        """Whether, by this process's clock, it is time for a checkpoint."""
        minutes = self._config.save_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= minutes * _MINUTE

    def save(self, data: DataState, budget_tokens: int | None) -> None:
        """Save a checkpoint; called by every process. Returns when everything is copied.

        Raises:
            RunError: the one before could not be written; the last complete one stays.
        """
        self.wait()
        folder = checkpoint_path(self._run, data.step)
        self._processes.by_first(lambda: remove_checkpoint(folder))
        state = self._backend.save_state(folder / "state")
        training = TrainingState(optimizer=self._backend.progress(), budget_tokens=budget_tokens)
        weights = self._backend.whole_state_dict()
        random = self._processes.gather(_random_states())
        if self._processes.first:

            def write() -> None:
                state.result()
                frozen = self._backend.dtypes.frozen
                save_model(self._model, self._processor, folder / "model", frozen, weights)
                save_file({name: tensor for each in random for name, tensor in each.items()}, folder / _RANDOM)
                complete_checkpoint(folder, data, training)
                keep_newest(self._run, self._config.keep_checkpoints)

            self._pending = self._writer.submit(write)
        else:
            self._pending = state
        self._saved_at = time.monotonic()

    def wait(self) -> None:
        """Wait until what is being saved is written; called by every process.

        Raises:
            RunError: it could not be.
        """
        pending, self._pending = self._pending, None
        if pending is not None and not self._processes.first:
            # The first process knows of everybody's failures.
            pending.exception()

        def finish() -> None:
            try:
                if pending is not None:
                    pending.result()
            except (OSError, SafetensorError) as error:
                reason = outage(error) or one_line(error) if isinstance(error, OSError) else one_line(error)
                raise RunError(
                    f"{self._run}: a checkpoint cannot be written ({reason}); the last complete one stays: fix it and "
                    "rerun"
                ) from error

        self._processes.by_first(finish)


def restore_random_states(checkpoint: Path, rank: int) -> None:
    """Take this process's random states from a checkpoint; with another number of processes there may be none.

    Raises:
        ModelFolderError: they cannot be read.
    """
    path = checkpoint / _RANDOM
    try:
        states = load_file(path)
        if (cpu := states.get(f"cpu.{rank}")) is not None:
            torch.set_rng_state(cpu)
        if (cuda := states.get(f"cuda.{rank}")) is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(cuda)
    except (OSError, SafetensorError, RuntimeError, TypeError) as error:
        raise ModelFolderError(f"{path}: cannot be read ({one_line(error)}); use an earlier checkpoint") from error


def _random_states() -> dict[str, torch.Tensor]:
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    states = {f"cpu.{rank}": torch.get_rng_state()}
    return {**states, f"cuda.{rank}": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states
