"""From a record to what the model takes: images decoded and scaled, text encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ...schema.errors import DatasetError, UsageError
from ...schema.index import RecordIndex
from ...schema.prompt import EncodedRecord, encode_record
from ...schema.record import Record
from ...schema.special_tokens import special_tokens_of
from ..phi3v.image_processing import CLIP_MEAN, CLIP_STD
from .crops import ScaledImage, scaled_image

if TYPE_CHECKING:
    from ..phi3v import Phi3VProcessor


@dataclass(frozen=True)
class Sample:
    """One record, ready to be batched.

    Args:
        record: the record itself.
        text: its ids and labels.
        images: its images, scaled, in order.
    """

    record: Record
    text: EncodedRecord
    images: Sequence[ScaledImage]

    def first_images(self, count: int) -> Sample:
        """Return the sample with only so many of its images, text unchanged."""
        return Sample(self.record, self.text, self.images[:count])


class SampleSource(torch.utils.data.Dataset[Sample]):
    """The samples of one split, by number: what a DataLoader takes as its dataset.

    Args:
        index: the records.
        processor: the model's own; it knows how images are cut and which id stands for them.
        exact_pixels: scale images by Pillow, slowly, to the published pixels bit for bit; without it to within one
            part in 255.

    Raises:
        UsageError: the processor normalises by other numbers than the model.
    """

    def __init__(self, index: RecordIndex, processor: Phi3VProcessor, exact_pixels: bool = False) -> None:
        images = processor.image_processor
        if (tuple(images.image_mean), tuple(images.image_std)) != (CLIP_MEAN, CLIP_STD):
            raise UsageError(
                f"image_mean {images.image_mean} and image_std {images.image_std} in preprocessor_config.json; the "
                f"model normalises by CLIP's own, {list(CLIP_MEAN)} and {list(CLIP_STD)}: put those there"
            )
        self.index = index
        self.processor = processor
        self.exact_pixels = exact_pixels
        self._special_tokens = special_tokens_of(processor.tokenizer.get_added_vocab())

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number: int) -> Sample:
        """Read and prepare one record.

        Raises:
            DatasetError: an image cannot be opened, or the text cannot be encoded; names the record.
        """
        record = self.index[number]
        images = [self._scaled(number, record, which) for which, _ in enumerate(record.images())]
        tokens = [image.grid.tokens for image in images]
        tokenizer, image = self.processor.tokenizer, self.processor.image_token_id
        text = encode_record(record, tokenizer, tokens, image, self._special_tokens)
        return Sample(record, text, images)

    def _scaled(self, number: int, record: Record, which: int) -> ScaledImage:
        try:
            with self.index.open_image(number, record, which) as stream:
                return scaled_image(stream.read(), self.processor.image_processor, self.exact_pixels)
        except (OSError, ValueError) as error:
            where = self.index.image_place(number, record, which)
            why = getattr(error, "strerror", None) or error
            raise DatasetError(f"record {record.id}: {where} cannot be opened ({why})") from error
