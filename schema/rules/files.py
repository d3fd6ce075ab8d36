"""Rules on images as files: where records say they are, and what is there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from ..index.facts import ImageFacts
from .examples import DATA, Drawing, Example, example, image_example, line
from .rule import RuleSet
from .settings import Limits


class Shown(NamedTuple):
    """An image that a record shows.

    Args:
        name: its path relative to the dataset folder.
        facts: what is known of it.
        limits: from where on something is too much.
        names_beside: gives the names of the files in the same folder.
        leaves_folder: whether a link leads out of the images' folder.
    """

    name: str
    facts: ImageFacts
    limits: Limits
    names_beside: Callable[[], list[str]]
    leaves_folder: bool = False


PATHS: RuleSet[str, str] = RuleSet("records")
IMAGES: RuleSet[Shown, str] = RuleSet("files")

_PLAIN = Example({DATA: line(images=["train/a.jpg"]) + "\n", "images/train/a.jpg": Drawing()})


@PATHS.rule(
    "F201",
    "absolute-path",
    "The path of an image is absolute: it names a place on one machine.",
    "Write it relative to the dataset's `images/`.",
    bad=example([line(images=["/home/me/a.jpg"])]),
    good=_PLAIN,
)
def absolute_path(path: str) -> Iterator[str]:
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        yield f"{path!r} is absolute"


@PATHS.rule(
    "F202",
    "path-leads-up",
    "The path of an image leads out of its folder by `..`.",
    "Put the image below `images/`, and name it from there.",
    bad=example([line(images=["../secret.jpg"])]),
    good=_PLAIN,
)
def path_leads_up(path: str) -> Iterator[str]:
    if ".." in path.replace("\\", "/").split("/"):
        yield f"{path!r} leads up by '..'"


@PATHS.rule(
    "F203",
    "backslash",
    "The path of an image holds a backslash; it is found on Windows alone.",
    "Write / between folders.",
    fixable=True,
    bad=example([line(images=["train\\a.jpg"])]),
    good=_PLAIN,
)
def backslash(path: str) -> Iterator[str]:
    if "\\" in path:
        yield f"{path!r} holds a backslash"


@PATHS.rule(
    "F204",
    "odd-path",
    "The path of an image is empty, or has empty or needless parts; the same image has other names then.",
    "Write it in the plainest way: folders, one / between, the file's name.",
    bad=example([line(images=["train//./a.jpg"])]),
    good=_PLAIN,
)
def odd_path(path: str) -> Iterator[str]:
    parts = path.removeprefix("/").split("/")
    if "" in parts or "." in parts or "\0" in path:
        yield f"{path!r} has empty parts, '.' or NUL in it" if path else "the path is empty"


@IMAGES.rule(
    "F205",
    "link-leads-out",
    "An image is a link that leads out of the dataset; it is lost when the folder is copied.",
    "Copy the file into the dataset.",
    severity="warning",
    bad=Example(
        {DATA: line(images=["a.jpg"]) + "\n", "elsewhere/a.jpg": Drawing()}, {}, {"images/a.jpg": "../elsewhere/a.jpg"}
    ),
    good=Example({DATA: line(images=["a.jpg"]) + "\n", "images/b.jpg": Drawing()}, {}, {"images/a.jpg": "b.jpg"}),
)
def link_leads_out(shown: Shown) -> Iterator[str]:
    if shown.leaves_folder:
        yield "a link leads out of the dataset"


@IMAGES.rule(
    "F206",
    "missing-image",
    "An image that a record shows does not exist.",
    "Correct the path, or put the file there.",
    bad=Example({DATA: line(images=["a.jpg"]) + "\n", "images/A.jpg": Drawing()}),
    good=image_example(Drawing()),
)
def missing_image(shown: Shown) -> Iterator[str]:
    if shown.facts.failure == "missing":
        near = _nearest(PurePosixPath(shown.name).name, shown.names_beside())
        yield f"does not exist{f'; is it {near}?' if near else ''}"


@IMAGES.rule(
    "F207",
    "empty-file",
    "The file of an image is empty.",
    "Copy or convert it again.",
    bad=image_example(b"", "a.jpg"),
    good=image_example(Drawing()),
)
def empty_file(shown: Shown) -> Iterator[str]:
    if shown.facts.failure == "empty":
        yield "is empty"


@IMAGES.rule(
    "F208",
    "not-an-image",
    "A file is not an image of a known format, or its header is damaged.",
    "Look at it; pages of errors saved under an image's name are common. Fetch it again.",
    bad=image_example(b"<html>404 Not Found</html>", "a.jpg"),
    good=image_example(Drawing()),
)
def not_an_image(shown: Shown) -> Iterator[str]:
    if shown.facts.failure == "not-an-image":
        yield shown.facts.problem


@IMAGES.rule(
    "F209",
    "unreadable-image",
    "The file of an image cannot be read, or is not a file.",
    "Make it readable; images are regular files.",
    bad=Example(
        {
            DATA: line(images=["a.jpg"]) + "\n",
            "images/a.jpg/b.jpg": Drawing(),
            DATA.replace("train", "test"): line("b", images=["a.jpg/b.jpg"]),
        }
    ),
    good=image_example(Drawing()),
)
def unreadable_image(shown: Shown) -> Iterator[str]:
    if shown.facts.failure in ("unreadable", "not-a-file"):
        yield shown.facts.problem


@IMAGES.rule(
    "F210",
    "too-many-pixels",
    "An image has more pixels than are decoded, by its header; a small file can be such a bomb.",
    "Scale it down: convert with --max-pixels.",
    bad=image_example(Drawing("PNG", 10000, 9000, "1", flat=True), "a.png"),
    good=image_example(Drawing("PNG", 1000, 900, "1"), "a.png"),
)
def too_many_pixels(shown: Shown) -> Iterator[str]:
    if shown.facts.failure == "too-many-pixels":
        yield shown.facts.problem


@IMAGES.rule(
    "F211",
    "wrong-suffix",
    "The content of an image is not what its suffix says.",
    "Rename it, and correct the records.",
    severity="warning",
    fixable=True,
    bad=image_example(Drawing("JPEG"), "a.png"),
    good=image_example(Drawing("PNG"), "a.png"),
)
def wrong_suffix(shown: Shown) -> Iterator[str]:
    suffix = PurePosixPath(shown.name).suffix.lower()
    expected = SUFFIXES.get(shown.facts.format)
    if shown.facts.format and expected is not None and suffix in _ALL_SUFFIXES and suffix not in expected:
        yield f"is {shown.facts.format} by its content, {suffix} by its name"


SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".j2c"),
    "AVIF": (".avif", ".avifs"),
}
"""The suffixes of each format, the usual one first."""

_ALL_SUFFIXES = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}


def _nearest(name: str, names: list[str]) -> str:
    """Return the file that was most likely meant: another case, another suffix, or a few other letters."""
    for fold in (str.casefold, lambda each: PurePosixPath(each).stem.casefold()):
        found = [each for each in names if each != name and fold(each) == fold(name)]
        if found:
            return found[0]
    near = difflib.get_close_matches(name, names[:1000], n=1, cutoff=0.8)
    return near[0] if near else ""
