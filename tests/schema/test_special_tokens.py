from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from phi3v_data.schema.record import Record, Turn
from phi3v_data.schema.special_tokens import PUBLISHED, SPECIAL_TOKENS, SpecialTokens, without_special_tokens
from phi3v_data.trainer.phi3v.tiny import tiny_tokenizer

TINY = tiny_tokenizer()


@pytest.mark.parametrize("token", [*SPECIAL_TOKENS, "<|image_1|>", "<|image_12|>"])
def test_each_special_token_is_found_anywhere_in_a_text_and_gone_once_it_is_escaped(token: str) -> None:
    assert PUBLISHED.in_text(f"before{token}behind") == token
    escaped = PUBLISHED.escape(f"before{token}behind {token}{token}")
    assert PUBLISHED.in_text(escaped) == ""
    assert escaped.replace("< ", "<") == f"before{token}behind {token}{token}"


@pytest.mark.parametrize(
    "text", ["", "a < b", "<|end |>", "<S>", "<|image_|>", "<image>", "<|placeholder40|>", "<strong>"]
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert PUBLISHED.in_text(text) == ""
    assert PUBLISHED.escape(text) == text


def test_an_escaped_text_has_no_special_ids_and_reads_as_it_was_written() -> None:
    special = set(TINY.all_special_ids) | set(TINY.get_added_vocab().values())
    written = "He wrote </s> and <|end|><|user|> and <s>."
    assert special & set(TINY(written, add_special_tokens=False)["input_ids"])
    ids = TINY(PUBLISHED.escape(written), add_special_tokens=False)["input_ids"]
    assert not special & set(ids)
    assert TINY.decode(ids) == "He wrote < /s> and < |end|>< |user|> and < s>."


def test_a_record_names_turn_field_and_token_and_says_what_to_do() -> None:
    turns = [Turn(user="a", assistant="b"), Turn(user="see <|image_2|>", assistant="x </s>", answers=["x </s>", "y"])]
    record = Record(id="r", conversations=turns)
    image, end = map(str, PUBLISHED.in_record(record))
    assert (
        image == "turn 2, user: the text holds the special token <|image_2|>; remove it, or images belong in `images`"
    )
    assert end == "turn 2, assistant: the text holds the special token </s>; remove it, or convert with --escape-tokens"
    plain = without_special_tokens(record)
    assert not list(PUBLISHED.in_record(plain))
    assert (plain.conversations[1].assistant, plain.conversations[1].answers) == ("x < /s>", ["x < /s>", "y"])
    assert plain.conversations[0] == turns[0]


def test_a_tokenizers_own_list_can_stand_in_for_the_published_one() -> None:
    own = SpecialTokens(["[A", "[A]"])
    assert own.in_text("x[A]y") == "[A]"
    assert own.in_text("</s>") == ""
    assert own.in_text("<|image_1|>") == "<|image_1|>"


def test_the_tiny_tokenizer_adds_no_token_that_is_not_in_the_list() -> None:
    assert set(TINY.get_added_vocab()) <= set(SPECIAL_TOKENS)


@pytest.mark.real_data
def test_the_list_is_that_of_the_published_tokenizer(golden: Path) -> None:
    published = json.loads((golden / "tokenizer/tokenizer.json").read_text())["added_tokens"]
    assert {token["content"] for token in published} == set(SPECIAL_TOKENS)
    tokenizer = Tokenizer.from_file(str(golden / "tokenizer/tokenizer.json"))
    for token in SPECIAL_TOKENS:
        ids = tokenizer.encode(f"a {PUBLISHED.escape(token)} b", add_special_tokens=False).ids
        assert not {added["id"] for added in published} & set(ids)
