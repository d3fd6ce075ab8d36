"""How data is validated: how deep, by which rules, and from where on something is too much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..index.counting import Counting
from ..jsonl import LONGEST_LINE
from ..vision_tokens import VisionGeometry
from .rule import Level


@dataclass(frozen=True)
class Limits:
    """From where on something is too much, or too little.

    Args:
        longest_line: bytes of a JSONL file's line.
        max_tokens: tokens of a record; the model's context by default.
        rope_switch: tokens from which on the model uses its long RoPE factors.
        num_crops: most sub-crops an image.
        enlargement: how many times an image's sides may be enlarged.
        line_height: pixels from one line of text to the next, as the model sees them.
        aspect: the longer side over the shorter.
        template: records that ask the same question before it counts as a template.
        p_value: of a chi-square test.
        geometry: of the model's crops.
    """

    longest_line: int = LONGEST_LINE
    max_tokens: int = 131072
    rope_switch: int = 4096
    num_crops: int = 4
    enlargement: float = 4.0
    line_height: float = 12.0
    aspect: float = 16.0
    template: int = 16
    p_value: float = 0.001
    geometry: VisionGeometry = field(default_factory=VisionGeometry)


@dataclass(frozen=True)
class Settings:
    """How data is validated.

    Args:
        level: how deep.
        codes: the rules that look.
        limits: from where on something is too much.
        workers: processes; None for one a core.
        counting: counts the tokens of texts; without it those of images alone are known.
        keep_facts: the image facts are kept beside the data for the next time.
        engine: where the processes run: on this machine, or on a Ray cluster, there one a processor by default.
    """

    level: Level
    codes: frozenset[str]
    limits: Limits = Limits()
    workers: int | None = None
    counting: Counting | None = None
    keep_facts: bool = True
    engine: Literal["local", "ray"] = "local"
