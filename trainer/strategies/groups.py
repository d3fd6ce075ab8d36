"""The optimizer's parameter groups: tower, projector and language model at learning rates of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict, get_args

from torch import nn

from ...schema.errors import UsageError
from ..config import TrainConfig

if TYPE_CHECKING:
    from ..phi3v import Phi3VForCausalLM

Part: TypeAlias = Literal["tower", "projector", "language model"]


class ParameterGroup(TypedDict):
    """What torch's optimizers take as one group.

    Args:
        params: the parameters.
        lr: their peak learning rate.
        weight_decay: their weight decay.
        name: the part of the model they belong to; with ", no decay" where they have none.
    """

    params: list[nn.Parameter]
    lr: float
    weight_decay: float
    name: str


def part_of(name: str) -> Part:
    """Say which part of the model a parameter belongs to, by its name; the separators belong to the projector."""
    if ".img_processor." in name:
        return "tower"
    return "projector" if "vision_embed_tokens." in name else "language model"


def parameter_groups(model: Phi3VForCausalLM, config: TrainConfig) -> list[ParameterGroup]:
    """Group the trained parameters by part of the model and weight decay.

    Biases, norms and the separators are not decayed.

    Args:
        model: what `apply_strategy` returned, or a wrapper that keeps its parameters' names apart from prefixes.
        config: the run's learning rates and weight decay.

    Returns:
        The groups that have parameters, always in one order.

    Raises:
        UsageError: a learning rate for a part that is not trained.
    """
    rates: dict[Part, float | None] = {
        "tower": config.optimizer.tower_lr,
        "projector": config.optimizer.projector_lr,
        "language model": None,
    }
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    groups: list[ParameterGroup] = []
    for part in get_args(Part):
        own = [(name, value) for name, value in trained if part_of(name) == part]
        rate = rates[part]
        if rate is not None and not own:
            raise UsageError(
                f"optimizer.{part}_lr is {rate}, and --strategy {config.strategy} does not train the {part}: leave it "
                "out, or choose another strategy"
            )
        lr = config.learning_rate if rate is None else rate
        groups += _by_decay(part, own, lr, config.optimizer.weight_decay)
    return groups


def _by_decay(
    part: Part, parameters: Iterable[tuple[str, nn.Parameter]], lr: float, weight_decay: float
) -> list[ParameterGroup]:
    decayed: ParameterGroup = {"params": [], "lr": lr, "weight_decay": weight_decay, "name": part}
    plain: ParameterGroup = {"params": [], "lr": lr, "weight_decay": 0.0, "name": f"{part}, no decay"}
    for name, value in parameters:
        (decayed if _is_decayed(name) else plain)["params"].append(value)
    return [group for group in (decayed, plain) if group["params"]]


def _is_decayed(name: str) -> bool:
    """Whether a parameter is a weight of a matrix, by its name: wrappers may have changed its shape."""
    *modules, leaf = name.split(".")
    is_norm = any("norm" in module for module in modules[-1:])
    return leaf not in ("bias", "glb_GN", "sub_GN", "class_embedding") and not is_norm
