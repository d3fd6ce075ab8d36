"""Texts and images become the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from transformers import BatchFeature, PreTrainedTokenizerFast
from transformers.processing_utils import ProcessorMixin

from ...schema.errors import UsageError
from ...schema.text import encode_prompt, image_placeholder
from ...schema.wording import counted
from .configuration import IMAGE_TOKEN_ID
from .image_processing import ImageInput, Phi3VImageProcessor
from .padding import Side, attention_mask, pad_rows
from .tokenizer_files import save_tokenizer

# As the tokenizer's own template, which is the published one, and takes texts only; here the parts of a message may be
# images, too. They are numbered through the whole conversation.
_CHAT_TEMPLATE = """\
{%- set shown = namespace(images=0) -%}
{%- for message in messages -%}
{{- '<|' + message['role'] + '|>\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}
{%- set shown.images = shown.images + 1 -%}
{{- '<|image_' + shown.images|string + '|>\n' -}}
{%- else -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt and messages[-1]['role'] != 'assistant' -%}
{{- '<|assistant|>\n' -}}
{%- endif -%}
"""

_MOST_IMAGES = 1_000_000


class Phi3VProcessor(ProcessorMixin):
    """The published processor: an image processor and a tokenizer.

    `apply_chat_template` takes messages whose content is a text, or a list of `{"type": "image", "image": ...}` and
    `{"type": "text", "text": ...}`.

    Args:
        image_processor: cuts the images.
        tokenizer: puts `<s>` in front of every piece of text.
        chat_template: not looked at; there is one format that the model was trained in.
    """

    def __init__(
        self,
        image_processor: Phi3VImageProcessor,
        tokenizer: PreTrainedTokenizerFast,
        chat_template: str | None = None,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=_CHAT_TEMPLATE)  # type: ignore[no-untyped-call]  # untyped in transformers

    @property
    def img_tokens(self) -> Sequence[str]:
        """The placeholders of images 1, 2 ... under the name of the published code, which vLLM asks for."""
        return _Placeholders(range(1, _MOST_IMAGES + 1))

    def calc_num_image_tokens_from_image_size(self, width: int, height: int) -> int:
        """Return how many tokens an image of a size in pixels costs; the published name, which vLLM asks for."""
        cuts: Phi3VImageProcessor = self.image_processor
        return cuts.calc_num_image_tokens_from_image_size(width, height)

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
        padding: bool | str = True,
        padding_side: Side = "left",
        published_image_ids: bool = False,
        return_tensors: str = "pt",
        **others: Any,
    ) -> BatchFeature:
        """Tokenize one prompt or several, with their images.

        Args:
            text: a prompt, or a batch of them; `<|image_1|>`, `<|image_2|>` ... stand where its images go.
            images: a prompt's images; for a batch, a list of images for each prompt.
            num_crops: in place of the image processor's own.
            padding: whether shorter prompts of a batch are filled up to the longest; "longest" is the same as true.
            padding_side: where shorter prompts of a batch are filled up; left, to generate from.
            published_image_ids: mark image k of a prompt by the id -k, as the published processor does, instead of
                by `image_token_id`. The model takes both.
            return_tensors: only "pt".
            others: what transformers passes to every processor (`videos`, `audio`), only as None.

        Returns:
            `input_ids` and `attention_mask` [prompts, tokens]; with images, `pixel_values` and `image_sizes` of all
            prompts, one after the other.

        Raises:
            UsageError: images and placeholders that do not match, prompts of several lengths without padding, or an
                argument that is not known here; texts are never cut.
        """
        if unknown := sorted(name for name, value in others.items() if value is not None):
            raise UsageError(f"the processor has no argument {unknown[0]!r}: leave it out")
        if padding not in (True, False, "longest"):
            raise UsageError(f"padding is {padding!r}; expected True, False or 'longest'")
        texts = [text] if isinstance(text, str) else list(text)
        if not texts:
            raise UsageError("no prompts to process: pass at least one")
        per_prompt = [_of_one_prompt(images)] if isinstance(text, str) else _by_prompt(images, len(texts))
        if len(per_prompt) != len(texts):
            given = f"{counted(len(texts), 'prompt')} and {counted(len(per_prompt), 'list')} of images"
            raise UsageError(f"{given}: pass one list a prompt")
        flat = [image for of_prompt in per_prompt for image in of_prompt]
        made = self.image_processor.preprocess(flat, num_crops, return_tensors) if flat else BatchFeature({})
        counts = iter(made.pop("num_img_tokens", []))
        rows = []
        for prompt, of_prompt in zip(texts, per_prompt, strict=True):
            of_images = [next(counts) for _ in of_prompt]
            ids = encode_prompt(self.tokenizer, prompt, of_images, self.image_token_id)
            rows.append(_numbered(ids, of_images, self.image_token_id) if published_image_ids else ids)
        if padding is False and len({len(row) for row in rows}) > 1:
            raise UsageError("prompts of several lengths in one batch: pass padding=True")
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


class _Placeholders(Sequence[str]):
    """A million placeholders that are only written when they are looked at."""

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> _Placeholders: ...

    def __getitem__(self, index: int | slice) -> str | _Placeholders:
        if isinstance(index, slice):
            return _Placeholders(self._numbers[index])
        return image_placeholder(self._numbers[index])


def _of_one_prompt(images: Any) -> list[ImageInput]:
    if images is None:
        return []
    if not isinstance(images, list | tuple):
        return [images]
    # apply_chat_template lists the images of one prompt as those of a batch of one.
    if len(images) == 1 and isinstance(images[0], list | tuple):
        return list(images[0])
    return list(images)


def _by_prompt(images: Any, prompts: int) -> list[list[ImageInput]]:
    if images is None:
        return [[] for _ in range(prompts)]
    if not isinstance(images, list | tuple) or not all(isinstance(of_prompt, list | tuple) for of_prompt in images):
        raise UsageError("a batch of prompts takes a list of images for each, [] where there are none")
    return [list(of_prompt) for of_prompt in images]


def _numbered(ids: list[int], counts: list[int], image_token_id: int) -> list[int]:
    marks = iter([-number for number, count in enumerate(counts, 1) for _ in range(count)])
    return [next(marks) if token == image_token_id else token for token in ids]
