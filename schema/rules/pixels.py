"""Rules on what an image shows: whether all of it is there, and what is lost on the way to the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..index.facts import ImageFacts
from .examples import Drawing, example, image_example, line
from .files import IMAGES, Shown
from .rule import RuleSet

CLIPS: RuleSet[Sequence[ImageFacts], str] = RuleSet("pixels")
"""Rules on all images of a turn together."""


@IMAGES.rule(
    "P301",
    "truncated-image",
    "An image is cut off: its file ends before its data does.",
    "Copy or fetch it again.",
    level="pixels",
    bad=image_example(Drawing(cut=200)),
    good=image_example(Drawing()),
)
def truncated_image(shown: Shown) -> Iterator[str]:
    if shown.facts.failure == "truncated":
        yield shown.facts.problem


@IMAGES.rule(
    "P302",
    "damaged-image",
    "An image's data is damaged; many programs show a part of it, and grey for the rest.",
    "Fetch it again, or remove the record.",
    level="pixels",
    bad=image_example(Drawing(damaged=True)),
    good=image_example(Drawing()),
)
def damaged_image(shown: Shown) -> Iterator[str]:
    if shown.facts.failure == "damaged":
        yield shown.facts.problem


@IMAGES.rule(
    "P303",
    "lossy-mode",
    "An image loses something on the way to RGB: transparency, the lower bits of 16, or the inks of CMYK.",
    "Convert it as it is meant to look; phi3v-data convert does so by one stated rule.",
    severity="warning",
    bad=image_example(Drawing("JPEG", mode="CMYK")),
    good=image_example(Drawing("JPEG", mode="L")),
)
def lossy_mode(shown: Shown) -> Iterator[str]:
    facts = shown.facts
    if facts.failure:
        return
    if facts.mode in ("F", "I") or facts.bits > 16:
        yield f"mode {facts.mode}: {facts.bits} bits a colour, of which 8 are kept"
    elif facts.bits == 16:
        yield f"mode {facts.mode}: 16 bits a colour, of which 8 are kept"
    elif facts.transparent:
        yield f"mode {facts.mode}, whose transparency RGB has not"
    elif facts.mode in ("CMYK", "YCCK", "LAB", "HSV"):
        yield f"mode {facts.mode}, which is converted to RGB without its colour profile"


@IMAGES.rule(
    "P304",
    "animated-image",
    "An image is animated, or has several pages; its first frame alone is shown.",
    "Store the frames that are meant as images of their own.",
    severity="warning",
    bad=image_example(Drawing("GIF", mode="P", frames=3)),
    good=image_example(Drawing("GIF", mode="P")),
)
def animated_image(shown: Shown) -> Iterator[str]:
    if shown.facts.frames > 1 and not shown.facts.failure:
        yield "has more than one frame; the first alone is shown"


@IMAGES.rule(
    "P305",
    "not-upright",
    "EXIF data asks for an image to be turned, and training shows it as it is stored.",
    "Turn its pixels; phi3v-data convert does.",
    severity="warning",
    fixable=True,
    bad=image_example(Drawing(orientation=6)),
    good=image_example(Drawing()),
)
def not_upright(shown: Shown) -> Iterator[str]:
    if shown.facts.orientation != 1 and not shown.facts.failure:
        yield f"EXIF orientation {shown.facts.orientation} was not applied"


@IMAGES.rule(
    "P306",
    "extreme-aspect",
    "An image is many times as long as it is high, or the other way round; little of it is left at the model's size.",
    "Cut it into parts.",
    severity="warning",
    bad=image_example(Drawing("PNG", 1700, 100)),
    good=image_example(Drawing("PNG", 1500, 100)),
)
def extreme_aspect(shown: Shown) -> Iterator[str]:
    facts = shown.facts
    if facts.width and facts.height:
        ratio = max(facts.width, facts.height) / min(facts.width, facts.height)
        if ratio > shown.limits.aspect:
            yield f"{facts.width}x{facts.height}: {ratio:.0f} times as long as wide; at most {shown.limits.aspect:g}"


@IMAGES.rule(
    "P307",
    "one-colour",
    "All pixels of an image are the same: it shows nothing.",
    "Look at where it comes from; a frame before the film begins, or a page that failed to render.",
    severity="warning",
    level="pixels",
    bad=image_example(Drawing("PNG", flat=True)),
    good=image_example(Drawing("PNG")),
)
def one_colour(shown: Shown) -> Iterator[str]:
    if shown.facts.flat:
        yield "all pixels have one colour"


@CLIPS.rule(
    "P308",
    "alike-frames",
    "The images of a turn are all alike: the frames of a still clip, or one frame several times.",
    "Sample frames further apart, or show one of them.",
    severity="warning",
    bad=example([line(images=["a.jpg", "b.jpg"])], a=Drawing(), b=Drawing()),
    good=example([line(images=["a.jpg", "b.jpg"])], a=Drawing(), b=Drawing(seed=1)),
)
def alike_frames(images: Sequence[ImageFacts]) -> Iterator[str]:
    first = images[0]
    if first.failure or first.flat or len({each.name for each in images}) < 2:
        return
    if all(each.content == first.content for each in images):
        yield f"its {len(images)} images are the same, byte for byte"
    elif all(each.thumbnail == first.thumbnail and each.thumbnail for each in images):
        yield f"its {len(images)} images look all the same"
