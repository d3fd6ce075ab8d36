from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from phi3v_data.trainer.phi3v import Phi3VProcessor
from phi3v_data.trainer.phi3v.loading import load_model
from phi3v_data.trainer.phi3v.tiny import tiny_config, tiny_model, tiny_tokenizer, write_tiny


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    once, twice, other = (write_tiny(tmp_path / name, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    files = sorted(file.name for file in once.iterdir())
    assert [(once / name).read_bytes() for name in files] == [(twice / name).read_bytes() for name in files]
    assert (once / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()


def test_making_it_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny_model(seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_the_configuration_knows_the_tokenizers_ids() -> None:
    tokenizer, config = tiny_tokenizer(), tiny_config()
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|end|>")]
    assert config.eos_token_id == ends
    assert config.pad_token_id == tokenizer.pad_token_id == ends[0]
    assert config.image_token_id == tokenizer.convert_tokens_to_ids("<|image|>")
    assert config.bos_token_id == tokenizer.bos_token_id
    assert max(tokenizer.get_vocab().values()) < config.vocab_size


def test_any_text_comes_back_from_the_tokenizer() -> None:
    tokenizer = tiny_tokenizer()
    text = "Prix: 12 € — 价格 😀\tend  double  space\n"
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == text


def test_the_assistant_token_swallows_white_space_as_the_published_one_does() -> None:
    tokenizer = tiny_tokenizer()
    swallowed, kept = (tokenizer(f"{token}\n A")["input_ids"] for token in ("<|assistant|>", "<|user|>"))
    assert (len(swallowed), len(kept)) == (3, 5)


def test_the_processor_cuts_images_as_the_model_wants_them(processor: Phi3VProcessor) -> None:
    assert processor.image_processor.geometry == tiny_config().crop_geometry


def test_images_arrive_as_strong_as_words(tiny_folder: Path) -> None:
    # At the usual initialisation they are a thousand times weaker, and a run from nothing does not learn to look.
    model = load_model(tiny_folder).model
    noise = torch.randn(1, 2, 3, 84, 84, generator=torch.Generator().manual_seed(0))
    vision = model.vision_embed_tokens
    with torch.no_grad():
        images = vision(noise, vision.grids(noise, torch.tensor([[84, 84]])))
    ratio = images.std() / model.embed_tokens.weight.std()
    assert 0.1 < ratio.item() < 10


def test_it_learns_to_look_from_nothing(processor: Phi3VProcessor) -> None:
    # Where in an image a square lies, told from forty batches of eight.
    chance = random.Random(0)
    places = {"L": 0, "R": 82, "C": 41}

    def batch(size: int) -> tuple[Mapping[str, Tensor], Tensor]:
        letters = [chance.choice("LRC") for _ in range(size)]
        shown = []
        for letter in letters:
            image = Image.new("RGB", (112, 84), (chance.randrange(100), chance.randrange(100), chance.randrange(100)))
            left, top = places[letter], chance.randrange(54)
            ImageDraw.Draw(image).rectangle([left, top, left + 30, top + 30], fill=(chance.randrange(150, 256),) * 3)
            shown.append([image])
        inputs = processor(["<|user|>\n<|image_1|>\nWhere?<|end|>\n<|assistant|>\n"] * size, shown)
        answers = processor.tokenizer(letters, add_special_tokens=False)["input_ids"]
        return inputs, torch.tensor(answers)[:, 0]

    model = tiny_model().train()
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    for _ in range(40):
        inputs, answers = batch(8)
        loss = torch.nn.functional.cross_entropy(model(**inputs, logits_to_keep=1).logits[:, 0], answers)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        inputs, answers = batch(60)
        found = model.eval()(**inputs, logits_to_keep=1).logits[:, 0].argmax(dim=-1)
    assert (found == answers).float().mean().item() >= 0.9
