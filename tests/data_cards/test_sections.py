"""A card is written again without losing what a person wrote."""

from __future__ import annotations

import pytest

from phi3v_data.data_cards.cards.markdown import code, plain, table
from phi3v_data.data_cards.cards.sections import Section, merge
from phi3v_data.schema.errors import OutputError

FRONT = {"license": "other", "tags": ["a"]}
SECTIONS = [Section("counts", "## Counts\n\n1"), Section("limits", "## Limits")]


def first() -> str:
    return merge(None, FRONT, SECTIONS, "README.md").text


def test_writing_a_card_again_changes_nothing() -> None:
    assert merge(first(), FRONT, SECTIONS, "README.md") == (first(), [])


def test_sections_follow_the_data_and_text_around_them_stays() -> None:
    mine = first().replace("<!-- phi3v-data:begin limits", "My own words.\n\n<!-- phi3v-data:begin limits")
    text, kept = merge(mine, {**FRONT, "tags": ["b"]}, [Section("counts", "## Counts\n\n2"), SECTIONS[1]], "README.md")
    assert "\n2\n" in text
    assert "\n1\n" not in text
    assert "My own words." in text
    assert "- b\n" in text
    assert kept == []


def test_what_a_person_edited_added_or_removed_stays_so() -> None:
    mine = first().replace("## Limits\n", "## Limits\n\nNone that I know of.\n")
    mine = mine.replace("license: other", "license: mit")
    mine = mine.replace("tags:\n- a\n", "").replace("---\n<!--", "doi: 10.1/x\n---\n<!--")
    text, kept = merge(mine, FRONT, [*SECTIONS, Section("new", "## New")], "README.md")
    assert "None that I know of." in text
    assert "license: mit" in text
    assert "doi: 10.1/x" in text
    assert "tags:" not in text
    assert "## New" in text
    assert kept == ["license", "limits"]
    without = text.replace(text[text.index("<!-- phi3v-data:begin new") :], "")
    assert "## New" not in merge(without, FRONT, [*SECTIONS, Section("new", "## New")], "README.md").text


def test_somebody_elses_card_is_refused() -> None:
    with pytest.raises(OutputError, match=r"README\.md: written by somebody else; .*--out"):
        merge("# My dataset\n", FRONT, SECTIONS, "README.md")


def test_a_front_matter_that_is_not_valid_is_refused() -> None:
    with pytest.raises(OutputError, match="front matter is not valid YAML"):
        merge(first().replace("license: other", "license: [x"), FRONT, SECTIONS, "README.md")
    with pytest.raises(OutputError, match=r"phi3v-data:card is damaged"):
        merge(first().replace('{"front"', '{"back"'), FRONT, SECTIONS, "README.md")


def test_values_of_the_data_are_no_markdown() -> None:
    assert plain("a|b *c* <script>\n[x](y)") == r"a\|b \*c\* \<script\> \[x\](y)"
    assert code("a`b|c") == r"``a`b\|c``"
    assert table(["x", "n"], [["a", 1200]]) == "| x | n |\n| --- | ---: |\n| a | 1,200 |"
