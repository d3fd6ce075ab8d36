"""What the published model was given, made by formulas: weights, images, texts. Needs numpy and Pillow only.

`compute.py` gives it to the published code, the tests give it to ours. Random numbers are whole ones of NumPy's legacy
generator, whose stream is frozen: every machine makes the same bits.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

_LONGROPE = {
    "type": "su",
    "short_factor": [1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75],
    "long_factor": [1.0, 2.0, 3.5, 6.0, 10.0, 17.0, 30.0, 52.0],
}
_CONFIG: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "hidden_act": "silu",
    "max_position_embeddings": 16384,
    "original_max_position_embeddings": 1024,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "rope_scaling": _LONGROPE,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "sliding_window": 262144,
    "tie_word_embeddings": False,
    "embd_layer": {
        "embedding_cls": "image",
        "hd_transform_order": "sub_glb",
        "projection_cls": "mlp",
        "use_hd_transform": True,
        "with_learnable_separator": True,
    },
    "img_processor": {
        "image_dim_out": 32,
        "model_name": "openai/clip-vit-large-patch14-336",
        "name": "clip_vision_model",
        "num_img_tokens": 144,
    },
}
TOWER: dict[str, Any] = {
    "attention_dropout": 0.0,
    "hidden_act": "quick_gelu",
    "hidden_size": 32,
    "image_size": 336,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-05,
    "num_attention_heads": 4,
    "num_channels": 3,
    "num_hidden_layers": 4,
    "patch_size": 14,
    "projection_dim": 32,
}
# B: a near switch between the two sets of frequencies. N: plain rotary positions.
_OVERRIDES: dict[str, dict[str, Any]] = {
    "B": {"original_max_position_embeddings": 64, "max_position_embeddings": 512},
    "N": {"rope_scaling": None},
}
_SIZES = ((320, 240), (1700, 2200), (64, 64), (1000, 200), (336, 336), (555, 777))
# (image, crops) of which canvas and crops are stored.
IMAGE_CASES = [(number, crops) for crops in (1, 4, 16) for number in range(len(_SIZES))]


class Case(NamedTuple):
    """One forward pass.

    Args:
        images: for each row of the batch its images.
        num_crops: for each row the most crops of an image.
        texts: for each row how many tokens of text stand before, between and after its images.
        pad: the side that shorter rows are filled up on.
        supervised: whether there are labels, for loss and gradients.
    """

    texts: Sequence[Sequence[int]]
    images: Sequence[Sequence[int]] = ((),)
    num_crops: Sequence[int] = (4,)
    pad: str = ""
    supervised: bool = False


_ROW_0, _ROW_1 = ((20, 12), (2,), 1), ((20, 2, 15), (3, 0), 4)
CASES: dict[str, Case] = {
    "lm_short_A": Case([(40,)], supervised=True),
    "lm_B_len64_short": Case([(64,)]),
    "lm_B_len65_long": Case([(65,)]),
    "lm_N_norope_scaling_100": Case([(100,)]),
    "img1_nc4_short_rope": Case([(20, 12)], [(0,)], supervised=True),
    "img1_nc4_B_long": Case([(20, 12)], [(0,)]),
    "img2_nc4": Case([(20, 2, 15)], [(3, 5)], supervised=True),
    "batch2_rightpad": Case(
        [_ROW_0[0], _ROW_1[0]], [_ROW_0[1], _ROW_1[1]], [_ROW_0[2], _ROW_1[2]], pad="right", supervised=True
    ),
    "batch2_leftpad_posids": Case([_ROW_0[0], _ROW_1[0]], [_ROW_0[1], _ROW_1[1]], [_ROW_0[2], _ROW_1[2]], pad="left"),
    "batch2_row0_alone": Case([_ROW_0[0]], [_ROW_0[1]], [_ROW_0[2]]),
    "batch2_row1_alone": Case([_ROW_1[0]], [_ROW_1[1]], [_ROW_1[2]]),
}


def config_of(case: str) -> dict[str, Any]:
    """The settings of the language model in a case, by the letter in its name."""
    letter = next((letter for letter in _OVERRIDES if f"_{letter}_" in case), "")
    return {**_CONFIG, **_OVERRIDES.get(letter, {})}


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def weight(name: str, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """A tensor of the model, uniform around 0 (norms: around 1), so large that every part shows in the output."""
    uniform = _random(name).randint(0, 65536, tuple(shape)) / 32767.5 - 1
    owner, leaf = name.split(".")[-2:]
    if "norm" in owner:
        values = (leaf == "weight") + 0.2 * uniform
    elif leaf == "bias":
        values = 0.2 * uniform
    elif owner == "embed_tokens" or "embedding" in owner + leaf or leaf.endswith("_GN"):
        values = 0.9 * uniform
    else:
        values = (3 / np.prod(shape[1:])) ** 0.5 * uniform
    return values.astype(np.float32)


def image(number: int) -> Image.Image:
    """One of six images: slopes, edges, and noise in the last bits."""
    width, height = _SIZES[number]
    y, x = np.mgrid[:height, :width]
    noise = _random(f"image {number}").randint(0, 32, (height, width))
    colours = [
        (x * (3 + number) + y * 2) // 5 + noise,
        (x // 37 + y // 23) % 2 * 200 + noise,
        (x * y) // 61 + 2 * noise,
    ]
    return Image.fromarray((np.stack(colours, axis=-1) % 256).astype(np.uint8))


Rows = dict[str, npt.NDArray[np.int64]]


def case_inputs(name: str, image_tokens: Callable[[int, int], int]) -> Rows:
    """The ids of a case: image k of a row as -k, text without special tokens; a row of a batch as it is alone.

    Args:
        name: the case.
        image_tokens: from an image's number and the most crops to its number of tokens.

    Returns:
        `input_ids`, and where the case has them `attention_mask`, `position_ids` and `labels`.
    """
    case = CASES[name]
    rows, learned = [], []
    for row, (texts, images, crops) in enumerate(zip(case.texts, case.images, case.num_crops, strict=True)):
        ids: list[int] = []
        for piece, count in enumerate(texts):
            text = _random(f"batch2_row{row}_alone {piece}" if case.pad else f"{name} {piece}")
            ids += text.randint(3, 256, count).tolist()
            if piece < len(images):
                ids += [-(piece + 1)] * image_tokens(images[piece], crops)
        rows.append(ids)
        # The last text, or the second half of the only one.
        last = texts[-1] if images else texts[-1] // 2
        learned.append([-100] * (len(ids) - last) + ids[len(ids) - last :])
    found = {"input_ids": _padded(rows, 0, case.pad)}
    if case.pad:
        found["attention_mask"] = _padded([[1] * len(row) for row in rows], 0, case.pad)
    if case.pad == "left":
        found["position_ids"] = np.maximum(found["attention_mask"].cumsum(1) - 1, 0)
    if case.supervised:
        found["labels"] = _padded(learned, -100, case.pad)
    return found


def _padded(rows: Sequence[Sequence[int]], fill: int, side: str) -> npt.NDArray[np.int64]:
    longest = max(len(row) for row in rows)
    filled = [[fill] * (longest - len(row)) for row in rows]
    pairs = zip(filled, rows, strict=True)
    return np.array([[*pad, *row] if side == "left" else [*row, *pad] for pad, row in pairs], np.int64)
