"""The answers to labels, and the prompts that offer them."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_questions import Raw, as_lines

from phi3v_data.schema.errors import UsageError


def memes(tmp_path: Path, **options: object) -> list[tuple[str, str]]:
    raw = Raw(tmp_path, "hateful_memes")
    raw.write("train.jsonl", as_lines({"id": 1, "img": "img/1.png", "label": 1, "text": "t"}))
    raw.images("img/1.png")
    return [(turn.user, turn.assistant) for record in raw.records(**options) for turn in record.conversations]


def test_the_default_prompt_offers_the_answers_that_are_trained_on(tmp_path: Path) -> None:
    assert memes(tmp_path) == [("Is this meme hateful? Answer Yes or No.", "Yes")]
    assert memes(tmp_path, label=["0=fine", "1=hateful"]) == [
        ("Is this meme hateful? Answer hateful or fine.", "hateful")
    ]


def test_a_prompt_that_offers_other_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"offers No or Yes, but --label makes the answers fine or hateful"):
        memes(tmp_path, label=["0=fine", "1=hateful"], prompt=["Hateful? Say yes or no."])
    assert memes(tmp_path, label=["0=fine", "1=hateful"], prompt=["Fine or hateful?"]) == [
        ("Fine or hateful?", "hateful")
    ]
    assert memes(tmp_path, prompt=["Hateful? Say yes or no."]) == [("Hateful? Say yes or no.", "Yes")]
