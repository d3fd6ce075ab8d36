"""The seam between the loop and what it runs on."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from ..config import TrainConfig
from ..precision import dtypes_of
from ..processes import Processes
from ..strategies.groups import ParameterGroup

LARGEST_BUCKET = 500_000_000
"""Values that DeepSpeed reduces at a time: its default."""


class OptimizerProgress(msgspec.Struct, frozen=True):
    """What the optimizer's state holds beside tensors.

    Args:
        updates: how often weights were updated; a step whose float16 gradients overflow is none.
        scaler: the loss scaler's state; empty without loss scaling.
    """

    updates: int = 0
    scaler: dict[str, float] = {}


class Backend(abc.ABC):
    """Holds the model and the optimizer of a run, in one process or spread over several.

    A loss that is passed to `backward` is this process's share of the step's loss: shares are added up, over
    micro-batches and over processes.

    Args:
        config: the run's.
        processes: those that train.
    """

    model: nn.Module
    """What forward passes are taken with, once `prepare` is done."""

    def __init__(self, config: TrainConfig, processes: Processes) -> None:
        self.config = config
        self.processes = processes
        self.dtypes = dtypes_of(config.model.precision)

    @property
    def device(self) -> torch.device:
        """The device that this process trains on."""
        return self.processes.device

    @property
    def load_device(self) -> torch.device:
        """Where a model is loaded to before `prepare`: the CPU for a backend that shards it."""
        return self.device

    @abc.abstractmethod
    def prepare(self, model: nn.Module, groups: Sequence[ParameterGroup]) -> None:
        """Take a model over: place or shard it, and make its optimizer.

        Args:
            model: with the trained parameters, and no others, requiring gradients.
            groups: the trained parameters by learning rate and weight decay, as torch's optimizers take them.
        """

    def micro_batch(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Return the context of a micro-batch's forward and backward pass; `last` is the last one of its step."""
        return contextlib.nullcontext()

    @abc.abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's gradients to the step's."""

    @abc.abstractmethod
    def step(self, lr_share: float) -> Tensor:
        """Clip the gradients, update the weights, and clear the gradients.

        Args:
            lr_share: of each group's peak learning rate.

        Returns:
            The norm of all gradients before they were clipped, a scalar.
        """

    @abc.abstractmethod
    def learning_rates(self, share: float) -> dict[str, float]:
        """Return each parameter group's learning rate at a share of its peak, by the group's name."""

    @abc.abstractmethod
    def progress(self) -> OptimizerProgress:
        """Return what the optimizer's state holds beside tensors."""

    @abc.abstractmethod
    def save_state(self, folder: Path) -> Future[None]:
        """Write trained weights and optimizer states into a new folder; called by every process.

        Returns:
            What is done when everything is written. The run may go on at once: what is written was copied.
        """

    @abc.abstractmethod
    def load_state(self, folder: Path, progress: OptimizerProgress) -> None:
        """Take trained weights and optimizer states from a folder; called by every process.

        Raises:
            ModelFolderError: it cannot be read, or is of another model or strategy.
        """

    @abc.abstractmethod
    def whole_state_dict(self) -> dict[str, Tensor]:
        """Return copies, in this machine's memory, of the model's state dict; of the trained part with adapters.

        Called by every process; the first one gets it, the others an empty one.
        """

    @abc.abstractmethod
    def whole_model(self) -> contextlib.AbstractContextManager[nn.Module]:
        """Give the whole model for reading, in every process, without anything of the backend around its calls."""
