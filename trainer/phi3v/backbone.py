"""The decoder over words and images: transformers' Phi-3, with features where the image tokens stand."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import Phi3Model
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.phi3.modeling_phi3 import Phi3PreTrainedModel

from ...schema.errors import UsageError
from ...schema.vision_tokens import CropGrid
from .configuration import Phi3VConfig
from .images import images_of_rows
from .last_layer import LastLayer
from .packing import PackedRow, packed_attention
from .rope import SampleRope, positions_from_mask
from .vision import ImageEmbedding


class Phi3VPreTrainedModel(Phi3PreTrainedModel):
    """What both models share: how they are initialised, loaded and placed."""

    config: Phi3VConfig
    # transformers would read it from the annotation, which is a string here.
    config_class = Phi3VConfig
    input_modalities = ["image", "text"]  # noqa: RUF012 - transformers' own declaration
    _no_split_modules = ["Phi3DecoderLayer", "LastLayer", "CLIPEncoderLayer"]  # noqa: RUF012 - as above
    # The first step reads the images, whose number is not the graph's to know.
    _can_compile_fullgraph = False
    # The published code shares its word embeddings with the image module; some fine-tunes saved them twice.
    _keys_to_ignore_on_load_unexpected = [r"vision_embed_tokens\.wte\.weight$"]  # noqa: RUF012 - as above

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]  # untyped in transformers
        if isinstance(module, ImageEmbedding):
            init.zeros_(module.glb_GN)
            init.zeros_(module.sub_GN)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Load a published or fine-tuned folder; see transformers' `PreTrainedModel.from_pretrained`."""
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        # Loading makes new parameters, which forget that some are not trained.
        model.freeze_unused()
        return loaded

    def checkpoint_activations(self, every: int = 1) -> None:
        """Save memory in training: drop what layers computed, and compute it again in the backward pass.

        Args:
            every: of every so many layers of the decoder and of the tower, the first; 0 for none.
        """
        # Not by transformers' own switch, which also leaves a hook on the embeddings that asks for their gradient.
        for module in self.modules():
            if isinstance(module, nn.ModuleList):
                layers: list[Any] = [layer for layer in module if isinstance(layer, GradientCheckpointingLayer)]
                for number, layer in enumerate(layers):
                    layer.gradient_checkpointing = every > 0 and number % every == 0
                    layer._gradient_checkpointing_func = functools.partial(checkpoint, use_reentrant=False)

    def freeze_unused(self) -> None:
        """Ask for no gradient of the tower's last layer and final norm, which never reach the output.

        To be called again after anything that unfreezes whole models.
        """
        for module in self.modules():
            if isinstance(module, ImageEmbedding):
                module.img_processor.freeze_unused()


class Phi3VModel(Phi3VPreTrainedModel, Phi3Model):
    """The language model over text and image embeddings, without a head."""

    def __init__(self, config: Phi3VConfig) -> None:
        super().__init__(config)
        self.rotary_emb = SampleRope(config)  # type: ignore[assignment]  # the parent only calls it
        self.layers[-1] = LastLayer(config, len(self.layers) - 1)
        self.vision_embed_tokens = ImageEmbedding(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        cu_seq_lens: Tensor | None = None,
        sample_lengths: Sequence[int] | None = None,
        image_token_indices: Tensor | None = None,
        image_grids: Sequence[CropGrid] | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Run the decoder; see `Phi3VForCausalLM.forward`."""
        if input_ids is not None and inputs_embeds is None:
            in_answer = past_key_values is not None and past_key_values.get_seq_length() > 0 and pixel_values is None
            # An answer holds no images; looking for them would hold up the device at every token.
            inputs_embeds = (
                self.embed_tokens(input_ids)
                if in_answer
                else self.embed(input_ids, pixel_values, image_sizes, image_token_indices, image_grids)
            )
        elif inputs_embeds is None or input_ids is not None:
            raise UsageError("the model takes either input_ids or inputs_embeds: pass exactly one of them")
        elif pixel_values is not None:
            raise UsageError("pixel_values beside inputs_embeds: without input_ids nothing says where images go")
        if cu_seq_lens is not None:
            if attention_mask is not None or past_key_values is not None or use_cache:
                raise UsageError("cu_seq_lens beside an attention mask or a cache: packed samples take neither")
            if sample_lengths is None or position_ids is None:
                raise UsageError("cu_seq_lens without sample_lengths or position_ids: pass all that packed_row makes")
            use_cache = False
            row: PackedRow = {
                "position_ids": position_ids,
                "cu_seq_lens": cu_seq_lens,
                "sample_lengths": tuple(sample_lengths),
            }
            kwargs |= packed_attention(self.config._attn_implementation, row, inputs_embeds)
            attention_mask = kwargs.pop("attention_mask")
        elif position_ids is None and attention_mask is not None and attention_mask.ndim == 2:
            position_ids = positions_from_mask(attention_mask)[:, -inputs_embeds.shape[1] :]
        outputs: BaseModelOutputWithPast = super().forward(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        return outputs

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        image_token_indices: Tensor | None = None,
        image_grids: Sequence[CropGrid] | None = None,
    ) -> Tensor:
        """Embed tokens, with the images' features where the image tokens stand.

        Args:
            input_ids: [rows, tokens]; negative ids and `config.image_token_id` are image tokens.
            pixel_values: the images of all rows, row after row, in either form that `ImageEmbedding` takes.
            image_sizes: [images, 2], height and width of each image's canvas.
            image_token_indices: int64 [image tokens], where the image tokens stand in the rows laid end to end.
            image_grids: how each image is cut. With these two known, nothing here waits for the device; left out, they
                are worked out from `input_ids` and `image_sizes`.

        Returns:
            [rows, tokens, hidden size]. In training a batch without images shows the tower a blank one whose features
            count for nothing: every rank of a run then does the same, and every parameter has a gradient.

        Raises:
            UsageError: image tokens and images do not match, row for row.
        """
        if image_token_indices is None:
            is_image = self.image_positions(input_ids)
            image_token_indices = is_image.flatten().nonzero()[:, 0]
            in_rows = is_image.sum(dim=1).tolist()
        else:
            in_rows = [len(image_token_indices)]
        if pixel_values is None:
            if len(image_token_indices):
                raise UsageError(f"{len(image_token_indices)} image tokens and no pixel_values: pass the images too")
            embedded: Tensor = self.embed_tokens(input_ids)
            return embedded + self.vision_embed_tokens.nothing().to(embedded.dtype) if self.training else embedded
        if image_grids is None:
            if image_sizes is None:
                raise UsageError("pixel_values without image_sizes: pass both, as the processor gives them")
            image_grids = self.vision_embed_tokens.grids(pixel_values, image_sizes)
        images_of_rows(in_rows, [grid.tokens for grid in image_grids])
        # The published code's negative ids are in no vocabulary; their embeddings are replaced.
        embedded = self.embed_tokens(input_ids.clamp_min(0))
        features = self.vision_embed_tokens(pixel_values, image_grids)
        filled = embedded.flatten(0, 1).index_copy(0, image_token_indices, features.to(embedded.dtype))
        return filled.view_as(embedded)

    def image_positions(self, input_ids: Tensor) -> Tensor:
        """Mark the image tokens: [rows, tokens] bool."""
        return (input_ids < 0) | (input_ids == self.config.image_token_id)
