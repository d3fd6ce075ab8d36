"""`--model tiny`: a model small enough to train from nothing on a CPU, with every part and path of the real one.

It comes as a folder in the published form, tokenizer included, so that nothing downstream knows the difference.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import PreTrainedTokenizerFast

from .configuration import Phi3VConfig
from .image_processing import Phi3VImageProcessor
from .modeling import Phi3VForCausalLM
from .processing import Phi3VProcessor

_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
_TEXT_SPECIALS = ("<unk>", "<s>", "</s>")
_CHAT_SPECIALS = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>", "<|image|>")
_VOCABULARY = 272
_HEAD_SIZE = 16
_FREQUENCIES = _HEAD_SIZE // 2


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Make a byte-level tokenizer with the published special tokens, `<s>` in front of every text."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate((*_TEXT_SPECIALS, *letters))}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in _TEXT_SPECIALS])
    # The published <|assistant|> swallows the white space after it.
    core.add_special_tokens(
        [AddedToken(token, rstrip=token == "<|assistant|>", normalized=False, special=True) for token in _CHAT_SPECIALS]
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def tiny_processor() -> Phi3VProcessor:
    """Make the tiny model's processor: crops of 84 pixels and 9 tokens, one sub-crop an image."""
    return Phi3VProcessor(Phi3VImageProcessor(num_crops=1, crop_size=84, num_img_tokens=9), tiny_tokenizer())


def tiny_config() -> Phi3VConfig:
    """Describe the tiny model: two decoder layers of width 96, a tower of three layers of width 64."""
    ids = {token: index for index, token in enumerate(_CHAT_SPECIALS, len(_TEXT_SPECIALS) + 256)}
    return Phi3VConfig(
        architectures=["Phi3VForCausalLM"],
        vocab_size=_VOCABULARY,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=96 // _HEAD_SIZE,
        max_position_embeddings=4096,
        original_max_position_embeddings=1024,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0 + 0.1 * index for index in range(_FREQUENCIES)],
            "long_factor": [1.0 + 0.5 * index for index in range(_FREQUENCIES)],
        },
        bos_token_id=1,
        eos_token_id=[ids["<|endoftext|>"], ids["<|end|>"]],
        pad_token_id=ids["<|endoftext|>"],
        image_token_id=ids["<|image|>"],
        vision_config={
            "hidden_size": 64,
            "image_size": 84,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_hidden_layers": 3,
            "patch_size": 14,
            "projection_dim": 64,
        },
    )


def tiny_model(seed: int = 0) -> Phi3VForCausalLM:
    """Make the tiny model with random weights.

    Args:
        seed: the weights are a function of it; the global random state is left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Phi3VForCausalLM(tiny_config())
        _initialise(model)
    return model


def write_tiny(folder: str | Path, seed: int = 0) -> Path:
    """Write the tiny model and its processor as a model folder.

    Args:
        folder: made where it is missing.
        seed: as in `tiny_model`.

    Returns:
        The folder.
    """
    folder, model = Path(folder), tiny_model(seed)
    folder.mkdir(parents=True, exist_ok=True)
    # transformers' save_pretrained writes weights in the first process alone; each process wants a folder of its own.
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@torch.no_grad()
def _initialise(model: Phi3VForCausalLM) -> None:
    """Give every layer an output as large as its input.

    The usual 0.02 is meant for widths of thousands: here the images would arrive thousands of times weaker than the
    words, and training from nothing would not find them.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
    vision = model.model.vision_embed_tokens
    for separator in (vision.glb_GN, vision.sub_GN):
        nn.init.normal_(separator)
