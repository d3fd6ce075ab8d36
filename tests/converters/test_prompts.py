"""Prompt templates, and drawing by seed and name."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from phi3v_data.converters.prompts import Prompts, draw
from phi3v_data.schema.errors import ItemError, UsageError

# Templates


def test_a_template_reads_the_rows_values_and_keeps_its_text_as_it_is() -> None:
    made = Prompts(["{{ question }}\n{{ labels | join(', ') }} <b>&\n"])
    assert made.render("1", {"question": "Which & why?", "labels": ["a", "b"]}) == "Which & why?\na, b <b>&\n"


def test_values_are_no_templates() -> None:
    assert Prompts(["{{ question }}"]).render("1", {"question": "{{ 7 * 7 }}"}) == "{{ 7 * 7 }}"


@pytest.mark.parametrize("text", ["{{ question", "{% for x in y %}", "{{ }}", "{{ x | no_such_filter }}"])
def test_a_template_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a Jinja template") as caught:
        Prompts(["{{ fine }}", text])
    assert "\n" not in str(caught.value)


def test_no_template_is_refused() -> None:
    with pytest.raises(UsageError, match="no prompt"):
        Prompts([])


def test_a_name_that_the_source_does_not_have_is_refused_before_any_row_is_read() -> None:
    with pytest.raises(UsageError, match=r"names 'qestion'; this source has: question, caption"):
        Prompts(["{{ qestion }}"], names=("question", "caption"))
    Prompts(["{% set q = question %}{{ q }}"], names=("question",))


def test_a_name_that_the_row_lacks_fails_the_item() -> None:
    with pytest.raises(ItemError, match=r"'caption' is undefined\); the row has: question"):
        Prompts(["{{ caption }}"]).render("1", {"question": "?"})


@pytest.mark.parametrize(
    "text", ["{{ 1 / number }}", "{{ number + word }}", "{{ word.nothing.more }}", "{{ word | int(base=99) + [] }}"]
)
def test_an_expression_that_cannot_be_worked_out_fails_the_item(text: str) -> None:
    with pytest.raises(ItemError, match="the prompt cannot be made"):
        Prompts([text]).render("1", {"number": 0, "word": "w"})


@pytest.mark.parametrize("text", ["{{ query.en }}", "Say: {{ answer }}", "{% if true %}{{ none }}{% endif %}"])
def test_an_empty_value_is_not_written_as_a_word(text: str) -> None:
    values = {"query": {"en": None}, "answer": None}
    with pytest.raises(ItemError, match="the prompt cannot be made \\(a value in it is empty; say what stands"):
        Prompts([text]).render("1", values)
    assert Prompts(["{{ answer or 'nothing' }} {{ 0 }} {{ false }}"]).render("1", values) == "nothing 0 False"


@pytest.mark.parametrize("text", ["", " \n", "{{ question }}"])
def test_an_empty_prompt_fails_the_item(text: str) -> None:
    with pytest.raises(ItemError, match="the prompt is empty"):
        Prompts([text]).render("1", {"question": ""})


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ question.__init__.__globals__ }}",
        "{{ rows.append(1) }}",
        "{{ range(10**9) | list }}",
    ],
)
def test_a_template_leaves_its_sandbox_nowhere(text: str) -> None:
    rows: list[int] = []
    with pytest.raises(ItemError):
        Prompts([text]).render("1", {"question": "?", "rows": rows})
    assert rows == []


# Drawing


def test_one_of_several_templates_is_drawn_by_seed_and_record_id() -> None:
    templates = ["one {{ x }}", "two {{ x }}", "three {{ x }}"]
    ids = [f"train-{number}" for number in range(300)]

    def texts(seed: int, order: list[str]) -> dict[str, str]:
        made = Prompts(templates, seed)
        return {name: made.render(name, {"x": 1}) for name in order}

    drawn = texts(0, ids)
    assert drawn == texts(0, ids[::-1])
    assert drawn != texts(1, ids)
    assert min(Counter(drawn.values()).values()) > 70
    assert len(set(drawn.values())) == 3


def test_what_is_drawn_for_one_thing_says_nothing_of_another() -> None:
    pairs = Counter((draw("ab", 0, "prompt", str(n)), draw("ab", 0, "answer", str(n))) for n in range(400))
    assert len(pairs) == 4
    assert min(pairs.values()) > 60


def test_every_process_draws_the_same() -> None:
    code = "from phi3v_data.converters.prompts import draw; print(''.join(draw('abc', 7, str(n)) for n in range(20)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path.home())
    assert done.stdout.strip() == "".join(draw("abc", 7, str(n)) for n in range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ names }} of {{ word }}", "the template prints names: the list ['Baiona', 'Galicia']; name one of it"),
        ("{{ query }}", "the template prints query: an object with en; name a field of it"),
    ],
)
def test_a_list_or_an_object_is_never_printed_as_python_writes_it(text: str, message: str) -> None:
    values = {"names": ["Baiona", "Galicia"], "word": "w", "query": {"en": "?"}, "other": [1]}
    with pytest.raises(ItemError) as caught:
        Prompts([text]).render("1", values)
    assert message in str(caught.value)
    assert Prompts(["{{ names | join(', ') }} {{ names[0] }} {{ query.en }}"]).render("1", values) == (
        "Baiona, Galicia Baiona ?"
    )
