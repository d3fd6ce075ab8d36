"""The configuration: transformers' Phi-3 and CLIP's vision tower under the published checkpoint's own `config.json`.

In memory the RoPE settings have transformers' spelling (`longrope`, in `rope_parameters`), so that its modules read
them; on disk they keep the published one (`type: su`, in `rope_scaling`), so that whatever loads the original loads
what we save.
"""

from __future__ import annotations

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import CLIPVisionConfig, Phi3Config
from transformers.configuration_utils import SubConfigSpec

from ...schema.errors import ModelFolderError
from ...schema.vision_tokens import VisionGeometry

IMAGE_TOKEN_ID = 32044
"""`<|image|>` in the published vocabulary: stands where an image's features go."""

CHAT_END_IDS = (32000, 32007)
"""`<|endoftext|>` and `<|end|>` in the published vocabulary: where an answer ends."""

_PUBLISHED_LONGROPE = "su"
_PUBLISHED_TOWER = "openai/clip-vit-large-patch14-336"
# openai/clip-vit-large-patch14-336, its vision half.
_VIT_LARGE_336: dict[str, Any] = {
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
}
_EMBEDDING_LAYOUT: dict[str, Any] = {
    "embedding_cls": "image",
    "hd_transform_order": "sub_glb",
    "projection_cls": "mlp",
    "use_hd_transform": True,
    "with_learnable_separator": True,
}


@strict
class Phi3VConfig(Phi3Config):
    """A Phi-3-vision or Phi-3.5-vision model.

    Args:
        vision_config: CLIP's tower; left out, the one that `img_processor` names (ViT-L/14-336).
        img_processor: the published description of the tower; `image_dim_out` is its width.
        embd_layer: the published description of how features become a sequence; only that one layout exists.
        image_token_id: the id that stands in `input_ids` where a feature goes; negative ids do so too.

    Everything else is transformers' `Phi3Config`.

    Raises:
        ModelFolderError: a layout or a tower this model does not have.
    """

    model_type = "phi3_v"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"vision_config": SubConfigSpec(CLIPVisionConfig)}

    vision_config: dict[str, Any] | CLIPVisionConfig | None = None
    img_processor: dict[str, Any] | None = None
    embd_layer: dict[str, Any] | None = None
    image_token_id: int = IMAGE_TOKEN_ID

    def __post_init__(self, **kwargs: Any) -> None:
        layout = {**_EMBEDDING_LAYOUT, **(self.embd_layer or {})}
        if layout != _EMBEDDING_LAYOUT:
            raise ModelFolderError(f"embd_layer is {layout}; the only layout there is: {_EMBEDDING_LAYOUT}")
        self.embd_layer = layout
        if self.img_processor is None:
            self.img_processor = {"name": "clip_vision_model", "model_name": _PUBLISHED_TOWER}
        if self.vision_config is None:
            self.vision_config = self._tower_by_name(self.img_processor.get("model_name"))
        # The published file asks for flash attention, which may not be there; the caller chooses, at loading.
        kwargs.pop("_attn_implementation", None)
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]  # untyped in transformers
        tower = self.tower_config
        if tower.num_hidden_layers < 2:
            raise ModelFolderError(
                f"a tower of {tower.num_hidden_layers} layers; expected at least 2 layers: the last is not run"
            )
        self.img_processor = {
            **self.img_processor,
            "image_dim_out": tower.hidden_size,
            "num_img_tokens": self.crop_geometry.tokens_per_side**2,
        }

    @staticmethod
    def _tower_by_name(name: str | None) -> dict[str, Any]:
        if name != _PUBLISHED_TOWER:
            raise ModelFolderError(
                f"img_processor names the tower {name!r}; without a vision_config it must be {_PUBLISHED_TOWER!r}"
            )
        return dict(_VIT_LARGE_336)

    def convert_rope_params_to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read the published RoPE settings: `su` is what transformers calls `longrope`."""
        rope = dict(kwargs.pop("rope_scaling", None) or self.rope_parameters or {})
        written = rope.pop("type", "default")
        kind = rope.get("rope_type", written)
        if kind not in ("default", "longrope", _PUBLISHED_LONGROPE):
            raise ModelFolderError(f"rope_scaling is of type {kind!r}; expected {_PUBLISHED_LONGROPE!r}, or null")
        rope["rope_type"] = "longrope" if kind == _PUBLISHED_LONGROPE else kind
        if rope["rope_type"] == "longrope":
            # What it would be taken for anyway; stated, it spares the user a warning.
            rope.setdefault("factor", self.max_position_embeddings / self.original_max_position_embeddings)
        self.rope_parameters = rope
        left: dict[str, Any] = super().convert_rope_params_to_dict(*args, **kwargs)
        return left

    @property
    def tower_config(self) -> CLIPVisionConfig:
        """`vision_config`, as the object it always is once the configuration is made."""
        if not isinstance(self.vision_config, CLIPVisionConfig):
            raise TypeError(f"vision_config is {type(self.vision_config).__name__}, not CLIPVisionConfig")
        return self.vision_config

    @property
    def crop_geometry(self) -> VisionGeometry:
        """The sizes that an image's number of tokens follows from."""
        tower = self.tower_config
        image_size, patch_size = tower.image_size, tower.patch_size
        if not isinstance(image_size, int) or not isinstance(patch_size, int) or image_size % (2 * patch_size):
            raise ModelFolderError(
                f"a tower of image_size {image_size} and patch_size {patch_size}; crops must be square and hold an "
                "even number of patches a side"
            )
        return VisionGeometry(crop_size=image_size, tokens_per_side=image_size // patch_size // 2)

    def to_dict(self) -> dict[str, Any]:
        """The settings in the published spelling."""
        output: dict[str, Any] = super().to_dict()
        rope = output.pop("rope_parameters")
        output["rope_theta"] = rope["rope_theta"]
        output["rope_scaling"] = None
        if rope["rope_type"] == "longrope":
            output["rope_scaling"] = {
                "type": _PUBLISHED_LONGROPE,
                "short_factor": rope["short_factor"],
                "long_factor": rope["long_factor"],
            }
        if _holds(output["vision_config"], CLIPVisionConfig(**_VIT_LARGE_336)):
            del output["vision_config"]
        return output

    def to_diff_dict(self) -> dict[str, Any]:
        """What `config.json` holds: `to_dict` without transformers' own defaults."""
        output: dict[str, Any] = super().to_diff_dict()
        if "dtype" in output:
            output["torch_dtype"] = output.pop("dtype")
        # The tower's is the model's.
        output.get("vision_config", {}).pop("dtype", None)
        if kept := reachable_code(output.pop("auto_map", None)):
            output["auto_map"] = kept
        return output


def reachable_code(auto_map: Any) -> dict[str, str]:
    """Keep what an `auto_map` says of code in a hub repository; code beside the file it stood in is not saved with it.

    Args:
        auto_map: from a `config.json` or `preprocessor_config.json`: class names, as `file.Class` where the file lies
            beside it, or `owner/name--file.Class`.
    """
    entries = auto_map.items() if isinstance(auto_map, dict) else ()
    return {name: place for name, place in entries if isinstance(place, str) and "--" in place}


def _holds(settings: dict[str, Any], tower: CLIPVisionConfig) -> bool:
    expected = tower.to_diff_dict()
    del expected["transformers_version"]
    return all(settings.get(key) == value for key, value in expected.items())
