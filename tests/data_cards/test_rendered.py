"""What a report shows as supervised is what training supervises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.data_cards.report.rendered import rendered
from phi3v_data.schema.prompt import IGNORED, encode_record
from phi3v_data.schema.record import Record, Turn
from phi3v_data.schema.special_tokens import PUBLISHED

texts = st.text(max_size=12).filter(lambda text: not PUBLISHED.in_text(text) and "<|" not in text)
turns = st.builds(
    Turn,
    images=st.lists(st.just("a.jpg"), max_size=2),
    user=texts,
    assistant=texts,
    supervised=st.booleans(),
)
conversations = st.builds(Record, id=st.just("a"), conversations=st.lists(turns, min_size=1, max_size=3))


class _Bytes:
    """A tokenizer of another kind than the report's own: an id a byte."""

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [*([1000] if add_special_tokens else []), *text.encode()]}


@given(conversations)
def test_supervised_spans_are_the_text_that_has_labels(record: Record) -> None:
    encoded = encode_record(record, _Bytes(), [1] * sum(1 for _ in record.images()), 2000)
    labelled = bytes(label for label in encoded.labels if label != IGNORED).decode()
    masked = bytes(
        token
        for token, label in zip(encoded.input_ids, encoded.labels, strict=True)
        if label == IGNORED and token < 256
    )
    spans = rendered(record)
    assert "".join(str(span.text) for span in spans if span.kind == "supervised") == labelled
    assert "".join(str(span.text) for span in spans if span.kind == "masked") == masked.decode()
    assert [span.text for span in spans if span.kind == "image"] == list(range(sum(1 for _ in record.images())))


def test_a_conversation_that_makes_no_prompt_is_shown_with_the_reason() -> None:
    first, *rest = rendered(Record(id="a", conversations=[Turn(user="stop <|end|>", assistant="yes")]))
    assert first.kind == "unreadable"
    assert "<|end|>" in str(first.text)
    assert [span.text for span in rest] == ["user: stop <|end|>", "assistant: yes"]
