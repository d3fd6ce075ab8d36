"""Texts and images become the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import BatchFeature, PreTrainedTokenizerFast
from transformers.processing_utils import ProcessorMixin

from ...schema.errors import UsageError
from ...schema.text import encode_prompt
from .configuration import IMAGE_TOKEN_ID
from .image_processing import ImageInput, Phi3VImageProcessor
from .padding import Side, attention_mask, pad_rows
from .tokenizer_files import save_tokenizer

__all__ = ["Phi3VProcessor"]


class Phi3VProcessor(ProcessorMixin):
    """The published processor: an image processor and a tokenizer.

    Args:
        image_processor: cuts the images.
        tokenizer: puts `<s>` in front of every piece of text.
    """

    def __init__(self, image_processor: Phi3VImageProcessor, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__(image_processor, tokenizer)  # type: ignore[no-untyped-call]  # untyped in transformers

    @property
    def image_token_id(self) -> int:
        """The id of `<|image|>`, which stands for the images."""
        found = self.tokenizer.convert_tokens_to_ids("<|image|>")
        return found if isinstance(found, int) and found != self.tokenizer.unk_token_id else IMAGE_TOKEN_ID

    def __call__(
        self,
        text: str | Sequence[str],
        images: ImageInput | Sequence[ImageInput] | Sequence[Sequence[ImageInput]] | None = None,
        *,
        num_crops: int | None = None,
        padding_side: Side = "left",
        published_image_ids: bool = False,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Tokenize one prompt or several, with their images.

        Args:
            text: a prompt, or a batch of them; `<|image_1|>`, `<|image_2|>` ... stand where its images go.
            images: a prompt's images; for a batch, a list of images for each prompt.
            num_crops: in place of the image processor's own.
            padding_side: where shorter prompts of a batch are filled up; left, to generate from.
            published_image_ids: mark image k of a prompt by the id -k, as the published processor does, instead of
                by `image_token_id`. The model takes both.
            return_tensors: only "pt".

        Returns:
            `input_ids` and `attention_mask` [prompts, tokens]; with images, `pixel_values` and `image_sizes` of all
            prompts, one after the other.

        Raises:
            UsageError: images and placeholders that do not match.
        """
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise UsageError("no prompts to process: pass at least one")
        per_prompt = [_listed(images)] if isinstance(text, str) else _by_prompt(images, len(texts))
        if len(per_prompt) != len(texts):
            raise UsageError(f"{len(texts)} prompts and {len(per_prompt)} lists of images: pass one list a prompt")
        flat = [image for of_prompt in per_prompt for image in of_prompt]
        made = self.image_processor.preprocess(flat, num_crops, return_tensors) if flat else BatchFeature({})
        counts = iter(made.pop("num_img_tokens", []))
        rows = []
        for prompt, of_prompt in zip(texts, per_prompt, strict=True):
            of_images = [next(counts) for _ in of_prompt]
            ids = encode_prompt(self.tokenizer, prompt, of_images, self.image_token_id)
            rows.append(_numbered(ids, of_images, self.image_token_id) if published_image_ids else ids)
        return BatchFeature(
            {
                "input_ids": pad_rows(rows, self.tokenizer.pad_token_id, padding_side),
                "attention_mask": attention_mask(rows, padding_side),
                **made,
            }
        )

    def save_pretrained(self, save_directory: str | Path, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write the published files: `preprocessor_config.json` and the tokenizer's."""
        if push_to_hub:
            raise UsageError("push_to_hub is not done here: save to a folder and upload that")
        save_tokenizer(self.tokenizer, save_directory)
        self.image_processor.save_pretrained(save_directory)
        return [str(Path(save_directory) / "preprocessor_config.json")]

    @classmethod
    def _load_tokenizer_from_pretrained(
        cls, sub_processor_type: str, pretrained_model_name_or_path: str, subfolder: str = "", **kwargs: Any
    ) -> PreTrainedTokenizerFast:
        # AutoTokenizer would take the class that the published folder names, and give ids the model was not trained on.
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            pretrained_model_name_or_path, subfolder=subfolder, **kwargs
        )
        return tokenizer


def _listed(images: Any) -> list[ImageInput]:
    if images is None:
        return []
    return list(images) if isinstance(images, list | tuple) else [images]


def _by_prompt(images: Any, prompts: int) -> list[list[ImageInput]]:
    if images is None:
        return [[] for _ in range(prompts)]
    if not isinstance(images, list | tuple) or not all(isinstance(of_prompt, list | tuple) for of_prompt in images):
        raise UsageError("a batch of prompts takes a list of images for each, [] where there are none")
    return [list(of_prompt) for of_prompt in images]


def _numbered(ids: list[int], counts: list[int], image_token_id: int) -> list[int]:
    marks = iter([-number for number, count in enumerate(counts, 1) for _ in range(count)])
    return [next(marks) if token == image_token_id else token for token in ids]
