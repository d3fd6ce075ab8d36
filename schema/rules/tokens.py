"""Rules on what a record costs: its tokens, from headers alone, and what is lost or wasted at the model's size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..vision_tokens import crop_grid
from .corpus import Corpus
from .examples import Drawing, image_example
from .files import IMAGES, Shown
from .rule import RuleSet
from .settings import Limits


class Cost(NamedTuple):
    """What a record costs.

    Args:
        least: tokens that it has at least; all of them where the tokenizer is known.
        images: how many of them are of images.
        exact: whether the tokenizer is known.
        limits: from where on something is too much.
    """

    least: int
    images: int
    exact: bool
    limits: Limits


COSTS: RuleSet[Cost, str] = RuleSet("files")


@COSTS.rule(
    "K501",
    "too-many-tokens",
    "A record has more tokens than the model's context, or than --max-tokens; `train` refuses it.",
    "Shorten it, show fewer images, or lower --num-crops.",
    bad=image_example(Drawing(), max_tokens=500),
    good=image_example(Drawing(), max_tokens=1000),
)
def too_many_tokens(cost: Cost) -> Iterator[str]:
    if cost.least > cost.limits.max_tokens:
        said = f"{cost.least:,} tokens" if cost.exact else f"at least {cost.least:,} tokens"
        yield f"{said}, {cost.images:,} of them of images; at most {cost.limits.max_tokens:,}"


@COSTS.rule(
    "K502",
    "beyond-rope-switch",
    "A record is longer than the context that the model was first trained on; it is read with other position factors.",
    "Nothing, if long records are meant; otherwise lower --num-crops.",
    severity="warning",
    bad=image_example(Drawing(), rope_switch=500),
    good=image_example(Drawing(), rope_switch=1000),
)
def beyond_rope_switch(cost: Cost) -> Iterator[str]:
    if cost.limits.rope_switch < cost.least <= cost.limits.max_tokens:
        said = f"{cost.least:,} tokens" if cost.exact else f"at least {cost.least:,} tokens"
        yield f"{said}; from {cost.limits.rope_switch + 1:,} on the long RoPE factors are used"


@IMAGES.rule(
    "K503",
    "enlarged-image",
    "An image is enlarged many times to fill its crops: the tokens of a large image are spent on a small one.",
    "Use fewer --num-crops for small images.",
    severity="warning",
    bad=image_example(Drawing("PNG", 64, 64)),
    good=image_example(Drawing("PNG", 640, 480)),
)
def enlarged_image(shown: Shown) -> Iterator[str]:
    facts, limits = shown.facts, shown.limits
    if facts.width and facts.height and not facts.failure:
        scale = crop_grid(facts.width, facts.height, limits.num_crops, limits.geometry).content_width / facts.width
        if scale > limits.enlargement:
            yield (
                f"{facts.width}x{facts.height} is enlarged {scale:.1f} times at {limits.num_crops} crops; "
                f"at most {limits.enlargement:g}"
            )


@IMAGES.rule(
    "K504",
    "text-too-small",
    "A page's lines of text are so low at the model's size that they cannot be read. The distance of lines is "
    "estimated from the first peak in the autocorrelation of the rows' mean grey values.",
    "Use more --num-crops, or cut the page into parts.",
    severity="warning",
    level="pixels",
    bad=image_example(Drawing("PNG", 1200, 1500, "L", text_lines=60), num_crops=1),
    good=image_example(Drawing("PNG", 1200, 1500, "L", text_lines=60), num_crops=16),
)
def text_too_small(shown: Shown) -> Iterator[str]:
    facts, limits = shown.facts, shown.limits
    if facts.line_height and not facts.failure:
        scale = crop_grid(facts.width, facts.height, limits.num_crops, limits.geometry).content_width / facts.width
        height = facts.line_height * scale
        if height < limits.line_height:
            yield (
                f"lines of text are {facts.line_height:.0f} pixels apart, {height:.1f} as the model sees them at "
                f"{limits.num_crops} crops; at least {limits.line_height:g} are needed to read them"
            )


def costs_of(corpus: Corpus) -> Iterator[tuple[int, Cost]]:
    """Yield the records that may be too long, and what each costs."""
    limits, exact = corpus.settings.limits, corpus.settings.counting is not None
    if corpus.settings.level == "records":
        return
    images = corpus.column("image_tokens").astype(np.int64)
    tokens = images + corpus.column("tokens")
    for row in np.flatnonzero(tokens > min(limits.max_tokens, limits.rope_switch)).tolist():
        yield row, Cost(int(tokens[row]), int(images[row]), exact, limits)
