"""The named runs: one YAML file for each row of the published result tables of Microsoft's Phi cookbook.

A file holds the settings of the run (names as `--set` takes them), the flags of the published script for the same row
(its table names precision, batch size, learning rate, epochs, rank and alpha; the rest are the script's defaults), the
published results in percent, and every difference between the two runs with its reason.
"""

from __future__ import annotations

import difflib
from importlib import resources
from typing import Any

import msgspec
import yaml

from ...schema.errors import UsageError

__all__ = ["Published", "Recipe", "load_recipe", "recipe_names"]


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The published run.

    Args:
        script: the cookbook's script.
        flags: what it is started with.
        metric: what its result is, by our name of it.
        results: by precision, in percent.
    """

    script: str
    flags: str
    metric: str
    results: dict[str, float]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named run.

    Args:
        name: of the file.
        task: what the model is trained for, for people.
        source: the source whose dataset it is for.
        convert: the command that makes the dataset.
        settings: of the run, by dotted name.
        published: the run it reproduces.
        differences: what is not as published, with the reason.
    """

    name: str
    task: str
    source: str
    convert: str
    settings: dict[str, Any]
    published: Published
    differences: dict[str, str]

    @property
    def strategy(self) -> str:
        """Which parameters are trained."""
        return str(self.settings["strategy"])

    @property
    def model(self) -> str:
        """The model that the published run fine-tuned, as a hub id."""
        return str(self.settings["model.name"])

    def is_for(self, model: str) -> bool:
        """Tell whether a model is the recipe's: its hub id, or a folder of its name."""
        return model.rstrip("/").rpartition("/")[2] == self.model.rpartition("/")[2]


def recipe_names() -> list[str]:
    """Name every recipe, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe.

    Raises:
        UsageError: there is none of this name.
    """
    names = recipe_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        raise UsageError(f"no recipe {name!r}; {hint}")
    content = yaml.safe_load(resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return msgspec.convert({"name": name, **content}, Recipe)
