from __future__ import annotations

import pytest

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v import encode_prompt, image_numbers, image_placeholder
from phi3v_data.trainer.phi3v.tiny import tiny_tokenizer

_TOKENIZER = tiny_tokenizer()
_IMAGE = 999


def _encode(text: str, counts: list[int]) -> list[int]:
    return encode_prompt(_TOKENIZER, text, counts, _IMAGE)


def test_a_text_without_images_is_tokenized_as_it_is() -> None:
    assert _encode("Hello", []) == _TOKENIZER("Hello")["input_ids"]


def test_the_start_token_stands_in_front_and_after_every_image() -> None:
    start = _TOKENIZER.bos_token_id
    before, between, after = (_TOKENIZER(piece, add_special_tokens=False)["input_ids"] for piece in ("A", "\n", "B"))
    assert _encode("A<|image_1|>\n<|image_2|>B", [2, 1]) == [
        *[start, *before, _IMAGE, _IMAGE],
        *[start, *between, _IMAGE],
        *[start, *after],
    ]


def test_placeholders_are_read_and_written_alike() -> None:
    text = "".join(image_placeholder(number) for number in (1, 2, 10))
    assert image_numbers(text) == [1, 2, 10]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("no placeholder", [3]),
        ("<|image_1|>", []),
        ("<|image_1|><|image_1|>", [3, 3]),
        ("<|image_2|><|image_1|>", [3, 3]),
        ("<|image_0|>", [3]),
        ("<|image_2|>", [3]),
        ("<|image_1|><|image_3|>", [3, 3]),
    ],
)
def test_placeholders_that_are_not_one_to_n_in_order_are_refused(text: str, counts: list[int]) -> None:
    with pytest.raises(UsageError, match=r"once for each image, in the order of the images"):
        _encode(text, counts)


def test_an_image_token_written_by_hand_is_refused() -> None:
    image = _TOKENIZER.convert_tokens_to_ids("<|image|>")
    assert isinstance(image, int)
    with pytest.raises(UsageError, match="holds the image token itself"):
        encode_prompt(_TOKENIZER, "look: <|image|>", [], image)
