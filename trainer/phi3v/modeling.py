"""The model, under the published checkpoint's key names."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast

from .backbone import Phi3VModel
from .configuration import Phi3VConfig
from .generation import Phi3VGenerationMixin
from .packing import next_labels

__all__ = ["Phi3VForCausalLM"]


class Phi3VForCausalLM(Phi3VGenerationMixin):
    """Phi-3-vision and Phi-3.5-vision."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 - transformers' declaration

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.model = Phi3VModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]  # untyped in transformers
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
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Predict the next token everywhere.

        Args:
            input_ids: [rows, tokens]; image tokens are `config.image_token_id` or negative.
            attention_mask: [rows, tokens], 1 where a token is real; padding may be on either side.
            position_ids: [rows, tokens]; left out, counted from the attention mask or from `cu_seq_lens`.
            past_key_values: the cache of the tokens before.
            inputs_embeds: [rows, tokens, hidden size], in place of `input_ids`.
            pixel_values: of all rows, row after row: [images, 1 + most sub-crops, 3, side, side] normalised, or
                uint8 [sub-crops of all images, 3, side, side].
            image_sizes: [images, 2], height and width of each image's canvas in pixels.
            labels: [rows, tokens], -100 where nothing is learned; shifted here.
            cu_seq_lens: int32 [samples + 1], for samples laid end to end in one row: where each starts, then the number
                of tokens. Each sample then gets what it gets alone.
            use_cache: left out, not when there are labels.
            logits_to_keep: so many from the end, or these positions; 0 keeps all. The loss is over what is kept.

        Returns:
            `loss` (with labels; a mean, or a sum over `num_items_in_batch` where that is passed), `logits`
            [rows, kept tokens, vocabulary] and `past_key_values`.

        Raises:
            UsageError: inputs that do not fit each other.
        """
        if use_cache is None and labels is not None:
            use_cache = False
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            cu_seq_lens=cu_seq_lens,
            use_cache=use_cache,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            following = next_labels(labels, cu_seq_lens)[:, kept]
            loss = self.loss_function(
                logits=logits, labels=labels, shift_labels=following, vocab_size=self.config.vocab_size, **kwargs
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
