"""The model, under the published checkpoint's key names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from ...schema.errors import UsageError
from ...schema.vision_tokens import CropGrid
from .backbone import Phi3VModel
from .configuration import Phi3VConfig
from .generation import Phi3VGenerationMixin
from .last_layer import Answers
from .loss import fused_loss, summed_loss
from .packing import next_labels


class Phi3VForCausalLM(Phi3VGenerationMixin):
    """Phi-3-vision and Phi-3.5-vision."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 - transformers' declaration

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.model = Phi3VModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        # By Liger's kernel; a matter of the run, not of the model.
        self.fused_loss = False
        self.post_init()
        self.settle_generation_config()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        labels: Tensor | None = None,
        cu_seq_lens: Tensor | None = None,
        sample_lengths: Sequence[int] | None = None,
        image_token_indices: Tensor | None = None,
        image_grids: Sequence[CropGrid] | None = None,
        target_positions: Tensor | None = None,
        targets: Tensor | None = None,
        answer_positions: Tensor | None = None,
        answer_spans: Sequence[tuple[int, int]] = (),
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Predict the next token: everywhere, or only where there is something to learn.

        There are two ways to call it. As transformers' models are called: with padded rows of ids, and `labels` for a
        loss. And with packed micro-batches, as `PackedCollator` makes them: then `loss` is a sum over the supervised
        tokens, no logits are returned, and nothing in the forward pass waits for the device.

        Args:
            input_ids: [rows, tokens]; image tokens are `config.image_token_id` or negative.
            attention_mask: [rows, tokens], 1 where a token is real; padding may be on either side.
            position_ids: [rows, tokens]; left out, counted from the attention mask.
            past_key_values: the cache of the tokens before.
            inputs_embeds: [rows, tokens, hidden size], in place of `input_ids`.
            pixel_values: of all rows, row after row: [images, 1 + most sub-crops, 3, side, side] normalised, or
                uint8 [sub-crops of all images, 3, side, side].
            image_sizes: [images, 2], height and width of each image's canvas in pixels.
            labels: [rows, tokens], -100 where nothing is supervised; shifted here.
            cu_seq_lens: for samples laid end to end in one row: with `sample_lengths` and `position_ids` what
                `packed_row` makes. Each sample then gets what it gets alone.
            sample_lengths: see `cu_seq_lens`.
            image_token_indices: int64 [image tokens], where they stand in the rows laid end to end; left out, looked
                for in `input_ids`.
            image_grids: how each image is cut; left out, worked out from `image_sizes`.
            target_positions: int64 [supervised tokens], the places in the rows laid end to end from which they are
                predicted.
            targets: int64 [supervised tokens], their ids, in place of `labels`.
            answer_positions: with targets, where in a packed row the last layer is run; see `last_layer.Answers`. Left
                out, everywhere.
            answer_spans: the same, sample by sample.
            use_cache: left out, not when there are labels or targets.
            logits_to_keep: so many from the end, or these positions; 0 keeps all. The loss is over what is kept.

        Returns:
            `loss` (with targets a sum; with labels a mean; either divided by `num_items_in_batch` where that is
            passed), `logits` [rows, kept tokens, vocabulary] (None with targets) and `past_key_values`.

        Raises:
            UsageError: inputs that do not fit each other.
        """
        if use_cache is None and (labels is not None or targets is not None):
            use_cache = False
        # Where logits are asked for, the last layer is needed at every token.
        answers = None if targets is None or answer_positions is None else Answers(answer_positions, answer_spans)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            cu_seq_lens=cu_seq_lens,
            sample_lengths=sample_lengths,
            image_token_indices=image_token_indices,
            image_grids=image_grids,
            use_cache=use_cache,
            **({} if answers is None else {"answers": answers}),
            **kwargs,
        )
        if targets is not None:
            if target_positions is None:
                raise UsageError("targets without target_positions: pass both, as PackedCollator makes them")
            if answers is not None:
                target_positions = torch.searchsorted(answers.positions, target_positions)
            hidden = outputs.last_hidden_state.flatten(0, 1).index_select(0, target_positions)
            loss = (fused_loss if self.fused_loss else summed_loss)(self.lm_head, hidden, targets)
            divisor = kwargs.get("num_items_in_batch")
            return CausalLMOutputWithPast(loss=loss if divisor is None else loss / divisor)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        mean_loss = None
        if labels is not None:
            following = next_labels(labels, cu_seq_lens)[:, kept]
            mean_loss = self.loss_function(
                logits=logits, labels=labels, shift_labels=following, vocab_size=self.config.vocab_size, **kwargs
            )
        return CausalLMOutputWithPast(
            loss=mean_loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
