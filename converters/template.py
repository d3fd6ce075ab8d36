"""A source to start from: a converter, its test and its card, written under a new name.

The converter is a whole one, of images with an answer beside each: it has an option, splits by hash, and refuses what
it cannot use by name.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import NamedTuple

from ..schema.errors import OutputError, UsageError
from .registry import source_names

__all__ = ["Written", "write_template"]

_CONVERTER = '''"""my_source: images, each with an answer in a text file beside it.

One raw sample is an image, and a text of the same name::

    bus.png    bus.png.txt: A red bus.

It becomes one question about the image::

    {"id": "train-0000000000", "source": "my_source",
     "conversations": [{"images": ["train/bus.png.0.png"], "user": "What is this?", "assistant": "A red bus."}]}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from phi3v_data.converters.base import ImageSink, Item
from phi3v_data.converters.splits import SplitRatio, parse_ratios
from phi3v_data.schema.errors import ItemError
from phi3v_data.storage import Folder
from phi3v_data.schema.record import Record, Turn

__all__ = ["MySource"]


@dataclass(frozen=True)
class MySource:
    """Images with an answer beside each."""

    name: ClassVar[str] = "my_source"

    input: Folder
    question: Annotated[str, Meta(description="what is asked about every image")] = "What is this?"
    split_ratio: SplitRatio = "train=0.9,val=0.1"

    def discover(self) -> Iterator[Item]:
        """Find every image, in the order of their names."""
        ratios = parse_ratios(self.split_ratio)
        names = [entry.name for entry in self.input.list()]
        for number, name in enumerate(name for name in names if name.endswith((".jpg", ".png"))):
            split = ratios.split_of(name)
            yield Item(
                id=f"{split}-{number:010d}",
                split=split,
                path=name,
                file=name,
                images=f"{split}/{name}",
                failure="" if f"{name}.txt" in names else f"no answer beside it; expected {name}.txt",
            )

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show an image, ask what it is.

        Raises:
            ItemError: its answer is empty.
        """
        answer = self.input.read(f"{item.file}.txt").decode().strip()
        if not answer:
            raise ItemError(f"{item.file}.txt: empty; expected the answer")
        shown = images.keep(f"{item.images}.0", self.input.read(item.file))
        turn = Turn(images=[shown], user=self.question, assistant=answer)
        return Record(id=item.id, source=self.name, conversations=[turn])
'''

_TEST = '''"""The source my_source, converted as the command line does it."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from phi3v_data.cli.main import run_command

SOURCE = f"{Path(__file__).with_name('my_source.py')}:MySource"


def read(path: Path) -> list[dict]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_images_become_questions_and_what_has_no_answer_is_refused_by_name(tmp_path: Path) -> None:
    """One sample is good, one is refused by the converter, one by discovery."""
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for name, answer in (("bus.png", "A red bus."), ("blank.png", ""), ("lost.png", None)):
        Image.new("RGB", (32, 24), "red").save(raw / name)
        if answer is not None:
            (raw / f"{name}.txt").write_text(answer)
    line = ["convert", "--source", SOURCE, "--input", str(raw), "--out", str(out), "--workers", "1"]
    assert run_command([*line, "--split-ratio", "train=1"]) == 0

    (record,) = read(out / "my_source_train.jsonl")
    assert record["conversations"] == [
        {"images": ["train/bus.png.0.png"], "user": "What is this?", "assistant": "A red bus."}
    ]
    assert (out / "images/train/bus.png.0.png").read_bytes() == (raw / "bus.png").read_bytes()
    assert [(row["path"], row["message"]) for row in read(out / "quarantine.jsonl")] == [
        ("blank.png", "blank.png.txt: empty; expected the answer"),
        ("lost.png", "no answer beside it; expected lost.png.txt"),
    ]
'''

_CARD = """# my_source

Images, each with an answer in a text file beside it.

| | |
| --- | --- |
| Raw data | where it comes from, who made it, and how |
| Licence | of the images and of the answers |
| Splits | by hash of the image's name: `--split-ratio train=0.9,val=0.1` |
| Not to be used for | what it says nothing about, or gets wrong |

## A raw sample

```
bus.png        an image, JPEG or PNG
bus.png.txt    A red bus.
```

## The record it becomes

```json
{"id": "train-0000000000", "source": "my_source",
 "conversations": [{"images": ["train/bus.png.0.png"], "user": "What is this?", "assistant": "A red bus."}]}
```

## The command

```console
$ phi3v-data convert --source my_source.py:MySource --input images/ --question 'What does the image show?'
```

An image without a text beside it, or with an empty one, is written to `quarantine.jsonl` with the reason.
"""


class Written(NamedTuple):
    """The converter's file, and the class in it."""

    path: Path
    class_name: str


def write_template(name: str, out: str) -> Written:
    """Write `<name>.py`, `test_<name>.py` and `<name>.md` into a folder, which is made where there is none.

    Args:
        name: a Python name in lower case, such as my_source; no source has it yet.
        out: the folder.

    Raises:
        UsageError: the name is none, or taken.
        OutputError: one of the files is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(f"{name!r} cannot name a source here; expected lower-case letters, digits and _: my_source")
    if name in source_names():
        raise UsageError(f"there is a source {name!r} already; choose another name")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    folder = Path(out)
    files = {f"{name}.py": _CONVERTER, f"test_{name}.py": _TEST, f"{name}.md": _CARD}
    for file in files:
        if (folder / file).exists():
            raise OutputError(f"{folder / file}: there already; choose another name, or another folder: --out DIR")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text.replace("my_source", name).replace("MySource", class_name), encoding="utf-8")
    return Written(folder / f"{name}.py", class_name)
