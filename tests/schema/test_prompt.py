from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from phi3v_data.schema.dataset import Dataset
from phi3v_data.schema.errors import DatasetError
from phi3v_data.schema.index import RecordIndex
from phi3v_data.schema.prompt import IGNORED, EncodedRecord, encode_record
from phi3v_data.schema.record import Record, Turn
from phi3v_data.schema.special_tokens import SPECIAL_TOKENS, SpecialTokens
from phi3v_data.trainer.data.samples import SampleSource
from phi3v_data.trainer.phi3v.tiny import tiny_processor, tiny_tokenizer

IMAGE = tiny_processor().image_token_id
TINY = tiny_tokenizer()


def encode(*turns: Turn, image_tokens: tuple[int, ...] = ()) -> EncodedRecord:
    return encode_record(Record(id="r", conversations=list(turns)), TINY, image_tokens, IMAGE)


def question(user: str, answer: str, *images: str) -> Turn:
    return Turn(images=list(images), user=user, assistant=answer)


def supervised(encoded: EncodedRecord) -> list[str]:
    """The texts of the spans that are trained on."""
    spans: list[list[int]] = [[]]
    for label in encoded.labels:
        if label != IGNORED:
            spans[-1].append(label)
        elif spans[-1]:
            spans.append([])
    return [str(TINY.decode(span)) for span in spans if span]


def shown(ids: list[int]) -> str:
    return str(TINY.decode(ids, skip_special_tokens=False))


def test_one_turn_trains_on_the_answer_its_end_and_the_end_of_text() -> None:
    encoded = encode(question("Which?", "This one.", "a.jpg"), image_tokens=(2,))
    assert shown(encoded.input_ids) == (
        "<s><|user|>\n<|image|><|image|><s>\nWhich?<|end|>\n<|assistant|>This one.<|end|>\n<|endoftext|>"
    )
    assert supervised(encoded) == ["This one.<|end|>\n<|endoftext|>"]


def test_of_several_turns_each_answer_is_trained_on_up_to_its_end_and_the_text_ends_once() -> None:
    encoded = encode(
        question("Hi.", "Hello."),
        question("Which?", "Red.", "a.jpg", "b.jpg"),
        question("Sure?", "Yes."),
        image_tokens=(1, 2),
    )
    assert shown(encoded.input_ids) == (
        "<s><|user|>\nHi.<|end|>\n<|assistant|>Hello.<|end|>"
        "\n<|user|>\n<|image|><s>\n<|image|><|image|><s>\nWhich?<|end|>\n<|assistant|>Red.<|end|>"
        "\n<|user|>\nSure?<|end|>\n<|assistant|>Yes.<|end|>\n<|endoftext|>"
    )
    assert supervised(encoded) == ["Hello.<|end|>", "Red.<|end|>", "Yes.<|end|>\n<|endoftext|>"]


def test_every_labelled_position_is_labelled_with_its_own_id() -> None:
    encoded = encode(question("a", "b"), question("c", "d"))
    pairs = zip(encoded.input_ids, encoded.labels, strict=True)
    assert all(label in (IGNORED, token) for token, label in pairs)


def test_the_prompt_of_each_turn_is_what_training_sees_before_its_answer() -> None:
    turns = [question("a", "first"), question("b", "second", "x.jpg"), question("c", "third")]
    encoded = encode(*turns, image_tokens=(3,))
    for number in range(len(turns)):
        prompt = encoded.prompt(number)
        # The same conversation, cut off after this turn, ends in another ending but begins alike.
        alone = encode(*turns[: number + 1], image_tokens=(3,) if number else ())
        assert alone.prompt(number) == prompt
        assert encoded.labels[len(prompt) - 1] == IGNORED
        assert encoded.labels[len(prompt)] != IGNORED


def test_an_answer_that_is_not_supervised_is_masked_with_its_ending() -> None:
    turns = [question("a", "first"), question("b", "second"), question("c", "third")]
    unsupervised = [
        Turn(user=turn.user, assistant=turn.assistant, supervised=number == 1) for number, turn in enumerate(turns)
    ]
    everything, some = encode(*turns), encode(*unsupervised)
    assert some.input_ids == everything.input_ids
    assert supervised(everything) == ["first<|end|>", "second<|end|>", "third<|end|>\n<|endoftext|>"]
    assert supervised(some) == ["second<|end|>"]


@pytest.mark.parametrize("token", ["<|end|>", "<|image_1|>", "</s>", "<unk>"])
@pytest.mark.parametrize("side", ["user", "assistant"])
def test_a_special_token_in_a_text_is_refused_by_record(token: str, side: str) -> None:
    texts = {"user": "a", "assistant": "b"}
    texts[side] += token
    with pytest.raises(DatasetError, match=f"record r, turn 1, {side}: the text holds the special token"):
        encode(Turn(user=texts["user"], assistant=texts["assistant"]))


def test_a_tokenizers_own_special_tokens_are_refused_where_they_are_given() -> None:
    record = Record(id="r", conversations=[Turn(user="look <tool> here", assistant="b")])
    assert encode_record(record, TINY, [], IMAGE).input_ids
    with pytest.raises(DatasetError, match="special token <tool>"):
        encode_record(record, TINY, [], IMAGE, SpecialTokens([*SPECIAL_TOKENS, "<tool>"]))


def test_images_of_a_sample_take_as_many_ids_as_the_model_makes_features(mixed_conversations: Dataset) -> None:
    processor = tiny_processor()
    source = SampleSource(RecordIndex(mixed_conversations, "train"), processor)
    for number in range(len(source)):
        sample = source[number]
        images = len(list(sample.record.images()))
        each = processor.image_processor.crop_grid(96, 72).tokens
        assert sample.text.input_ids.count(processor.image_token_id) == images * each
        assert len(sample.images) == images


@pytest.mark.real_data
def test_single_turns_equal_the_published_ids_and_the_recipes_labels(golden: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(golden / "tokenizer")
    case = json.loads((golden / "tokenizer_processor.json").read_text())["cases"]["two_images"]
    published = [token for token, count in case["input_ids_rle"] for _ in range(count)]
    counts = [count for token, count in case["input_ids_rle"] if token < 0]
    record = Record(
        id="r", conversations=[Turn(images=["a.png", "b.png"], user="Compare them.", assistant="They differ.")]
    )
    encoded = encode_record(record, tokenizer, counts, 32044)
    answer = tokenizer("They differ.<|end|>\n<|endoftext|>", add_special_tokens=False)["input_ids"]
    assert [32044 if token < 0 else token for token in published] + answer == encoded.input_ids
    assert encoded.labels == [IGNORED] * len(published) + answer
    assert answer[-4:] == [32007, 29871, 13, 32000]
