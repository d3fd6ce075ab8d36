"""From a record to what the model takes: pictures opened and cut, text encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from ...schema.errors import DatasetError
from ...schema.record import Record
from .index import RecordIndex
from .prompt import EncodedRecord, encode_record

if TYPE_CHECKING:
    from ..phi3v import Phi3VProcessor

__all__ = ["Sample", "SampleSource"]


@dataclass(frozen=True)
class Sample:
    """One record, ready to be batched.

    Args:
        record: the record itself.
        text: its ids and labels.
        pixel_values: float32 [pictures, 1 + crops, 3, H, W], crops padded with zeros; None without pictures.
        image_sizes: int64 [pictures, 2], height and width of each canvas in pixels; None without pictures.
    """

    record: Record
    text: EncodedRecord
    pixel_values: torch.Tensor | None
    image_sizes: torch.Tensor | None


class SampleSource(torch.utils.data.Dataset[Sample]):
    """The samples of one split, by number: what a DataLoader takes as its dataset.

    Args:
        index: the records.
        processor: the model's own; it knows how pictures are cut and which id stands for them.
    """

    def __init__(self, index: RecordIndex, processor: Phi3VProcessor) -> None:
        self.index = index
        self.processor = processor

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> Sample:
        """Read and prepare one record.

        Raises:
            DatasetError: a picture cannot be opened, or the text cannot be encoded; names the record.
        """
        record = self.index[number]
        pictures = [self._open(record, number) for number, _ in enumerate(record.images())]
        if not pictures:
            return Sample(record, self._encode(record, []), None, None)
        cut = self.processor.image_processor(pictures, return_tensors="pt")
        return Sample(record, self._encode(record, cut["num_img_tokens"]), cut["pixel_values"], cut["image_sizes"])

    def _encode(self, record: Record, image_tokens: Sequence[int]) -> EncodedRecord:
        return encode_record(record, self.processor.tokenizer, image_tokens, self.processor.image_token_id)

    def _open(self, record: Record, number: int) -> Image.Image:
        pictures = self.index.dataset.pictures
        try:
            with pictures.open(record, number) as stream, Image.open(stream) as picture:
                converted: Image.Image = picture.convert("RGB")
                return converted
        except OSError as error:
            where = pictures.place(record, number)
            raise DatasetError(f"record {record.id}: {where} cannot be opened ({error.strerror or error})") from error
