"""Generating answers: with images read once, and with a cache that stays right where long texts begin."""

from __future__ import annotations

from typing import Any

import torch
from torch import LongTensor, Tensor
from transformers import GenerationMixin
from transformers.cache_utils import Cache

from ...schema.errors import UsageError
from .backbone import Phi3VModel, Phi3VPreTrainedModel
from .configuration import CHAT_END_IDS
from .images import images_of_rows

_PUBLISHED_VOCABULARY = 32064
_PUBLISHED_EOS = 2


class Phi3VGenerationMixin(Phi3VPreTrainedModel, GenerationMixin):
    """`generate` for a model with images and two sets of rotary frequencies."""

    model: Phi3VModel

    def adjust_generation_fn(self, *args: Any, **kwargs: Any) -> None:
        """Read the folder's `generation_config.json`, and correct what is wrong in the published one."""
        super().adjust_generation_fn(*args, **kwargs)  # type: ignore[misc]  # `self` is typed for another checker
        self.settle_generation_config()

    def settle_generation_config(self) -> None:
        """Stop where a chat's answer ends, and never write an image token."""
        settings = self.generation_config
        if self.config.vocab_size == _PUBLISHED_VOCABULARY and settings.eos_token_id == _PUBLISHED_EOS:
            settings.eos_token_id = list(CHAT_END_IDS)
            settings.pad_token_id = CHAT_END_IDS[0]
        settings.suppress_tokens = sorted({*(settings.suppress_tokens or ()), self.config.image_token_id})

    def prepare_inputs_for_generation(
        self,
        input_ids: LongTensor,
        next_sequence_length: int | None = None,
        past_key_values: Cache | None = None,
        attention_mask: LongTensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Assemble one step's inputs; where a sample grows into a long text, all of it is read again.

        The keys in the cache were turned by the frequencies for short texts, and the sample is none any more.
        """
        cached = 0 if past_key_values is None else past_key_values.get_seq_length()
        length = cached + (input_ids.shape[1] if next_sequence_length is None else next_sequence_length)
        if cached and self._some_row_turns_long(cached, length, attention_mask):
            if input_ids.shape[1] < length:
                raise UsageError(
                    f"a text grew over {self.config.original_max_position_embeddings} tokens and must be read again "
                    f"from its start, but only {input_ids.shape[1]} of its {length} tokens were given as input_ids: "
                    "pass all of them"
                )
            past_key_values, next_sequence_length, is_first_iteration = None, None, True
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(  # type: ignore[misc]  # `self` is typed for another checker
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        return inputs

    def _some_row_turns_long(self, cached: int, length: int, attention_mask: Tensor | None) -> bool:
        limit = self.config.original_max_position_embeddings
        if length <= limit:
            return False
        # generate drops a mask that masks nothing.
        if attention_mask is None:
            return cached <= limit
        was_short = attention_mask[:, :cached].sum(dim=1) <= limit
        is_long = attention_mask.sum(dim=1) > limit
        return bool((was_short & is_long).any())

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: LongTensor | None = None, **kwargs: Any
    ) -> tuple[LongTensor, dict[str, Any]]:
        """Repeat every row for beams or several answers, and with each copy all of its images."""
        images = {name: kwargs.pop(name, None) for name in ("pixel_values", "image_sizes")}
        if expand_size > 1 and input_ids is not None and images["pixel_values"] is not None:
            images = self._images_of_copies(expand_size, input_ids, **images)
        rows, others = super()._expand_inputs_for_generation(  # type: ignore[misc]  # as above
            expand_size, is_encoder_decoder, input_ids, **kwargs
        )
        return rows, {**others, **images}

    def _images_of_copies(
        self, copies: int, input_ids: Tensor, pixel_values: Tensor, image_sizes: Tensor
    ) -> dict[str, Tensor]:
        grids = self.model.vision_embed_tokens.grids(pixel_values, image_sizes)
        image_tokens = self.model.image_positions(input_ids).sum(dim=1).tolist()
        of_rows = images_of_rows(image_tokens, [grid.tokens for grid in grids])
        order = [image for of_row in of_rows for _ in range(copies) for image in of_row]
        # Each image is one of the first dimension, or as many as it has sub-crops.
        in_parts = pixel_values.ndim == 4
        pixels = pixel_values.split([grid.rows * grid.columns if in_parts else 1 for grid in grids])
        return {"pixel_values": torch.cat([pixels[image] for image in order]), "image_sizes": image_sizes[order]}
