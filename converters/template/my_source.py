"""my_source: images, each with an answer in a text file beside it.

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

from phi3v_data.converters.base import ImageSink, Item
from phi3v_data.converters.splits import SplitRatio, parse_ratios
from phi3v_data.schema.errors import ItemError
from phi3v_data.schema.record import Record, Turn
from phi3v_data.storage import Folder


@dataclass(frozen=True)
class MySource:
    """Images with an answer beside each."""

    name: ClassVar[str] = "my_source"

    input: Folder
    question: Annotated[str, "question about every image"] = "What is this?"
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
