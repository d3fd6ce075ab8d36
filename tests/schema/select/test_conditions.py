"""A condition means what it says in Python, and whatever could do more than compare is refused before it runs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.schema.errors import UsageError
from phi3v_data.schema.record import Record, Turn
from phi3v_data.schema.select.conditions import Condition
from phi3v_data.schema.select.fields import FIELDS, Seen


def holds(text: str, meta: dict[str, object] | None = None) -> bool:
    turns = [Turn(images=["a.png"], user="What is it?", assistant="A cat."), Turn(user="And?", assistant="No more.")]
    record = Record(id="r1", source="made", conversations=turns, meta=meta or {"label": "cat", "page": 3})
    return Condition(text, FIELDS).holds(Seen(record, "train", "mine"), record.id)


@pytest.mark.parametrize(
    "text",
    [
        "len(answer) < 20",
        "answer == 'No more.' and question == 'What is it?'",
        "label in ['cat', 'dog'] and label not in ('cow',)",
        "split == 'train' and dataset == 'mine' and source == 'made' and id == 'r1'",
        "not (turns > 2) and turns - 1 == 1",
        "2 <= meta['page'] <= 3",
        "meta['none'] is None and group is None",
        "images[0] == 'a.png' and len(images) == 1 and images[7] is None",
        "words(questions[0]) == 3 and startswith(lower(answers[0]), 'a ') and endswith(answer, '.')",
        "max(1, 2) == 2 and min(len(answer), 5) == 5 and abs(-2) == 2 and strip(' a ') == 'a'",
        "7 // 2 == 3 and 7 % 2 == 1 and 7 / 2 == 3.5 and 2 * 3 == 6",
        "label == 'cow' or 'cat' in answers[0]",
    ],
)
def test_a_condition_over_fields_holds(text: str) -> None:
    assert holds(text)
    assert not holds(f"not ({text})")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", r"`__import__\('os'\)\.system\(\.\.\.\)` is not understood"),
        ("open('x')", r"`open\(\.\.\.\)` is not understood here; there are: abs"),
        ("answer.__class__", r"`answer\.__class__` is not understood"),
        ("[x for x in answers]", "is not understood"),
        ("(lambda: 1)()", "is not understood"),
        ("f'{answer}'", "is not understood"),
        ("answer if label else id", "is not understood"),
        ("2 ** 99", r"there are \+ - \* / // %"),
        ("(x := 3)", "is not understood"),
        ("len(*answers)", "is not understood"),
        ("answer[1:2]", "slices are not understood"),
        ("b'a' == id", "neither a text nor a number"),
        ("answr == 'x'", "no field 'answr'; did you mean answer?"),
        ("len(answer) <", "not an expression"),
        ("id; id", "not an expression"),
        ("", "not an expression"),
        ("(" * 3000 + "1" + ")" * 3000, "longer than 4000"),
        ("-" * 3999 + "1", "nested too deep"),
    ],
)
def test_what_is_more_than_a_condition_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Condition(text, FIELDS)


@pytest.mark.parametrize("text", ["group < 3", "'a' * 9", "'%d' % 3", "1 / 0", "len(turns)", "lower(3)", "label + 1"])
def test_what_cannot_be_evaluated_names_the_record(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be evaluated for the record 'r1'"):
        holds(text)


@given(st.text(alphabet="len(answer)'\"[]<>=+-*/% andornotis0123.,_:{}\n\\", max_size=60))
def test_any_text_is_a_condition_or_an_error_of_ours(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert holds(text) in (True, False)
