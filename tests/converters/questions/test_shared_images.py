"""Items that share an image, joined into conversations."""

from __future__ import annotations

import msgspec
import pytest

from phi3v_data.converters.base import Item
from phi3v_data.converters.questions.shared_images import conversations
from phi3v_data.converters.rows.image_ref import ImageRef
from phi3v_data.converters.sample import Sample, SampleTurn, failed_item


def item(number: int, shared: str = "", **meta: str) -> Item:
    turn = SampleTurn(values={"n": number}, assistant=str(number))
    sample = Sample(images=[ImageRef(shared or "own")], turns=[turn], meta=dict(meta))
    return Item(
        id=f"q{number}", split="train", path=f"a.json:{number}", images="p", data=sample.as_data(), shared=shared
    )


def joined(*items: Item) -> list[tuple[str, list[str]]]:
    return [
        (made.id, [] if made.failure else [turn.assistant for turn in Sample.of(made).turns])
        for made in conversations(items, lambda first: f"c-{first.shared or first.id}")
    ]


def test_each_conversation_stands_in_the_place_of_its_first_question() -> None:
    assert joined(item(1, "b"), item(2, "a"), item(3, "b"), item(4, "a"), item(5, "b")) == [
        ("c-b", ["1", "3", "5"]),
        ("c-a", ["2", "4"]),
    ]


def test_items_that_share_nothing_stay_apart() -> None:
    assert joined(item(1), item(2), item(3, "a")) == [("c-q1", ["1"]), ("c-q2", ["2"]), ("c-a", ["3"])]


def test_failed_items_stay_by_themselves_in_their_place() -> None:
    bad = failed_item("a.json:2", "train", "not valid JSON")
    assert joined(item(1, "a"), bad, item(3, "a"), item(4, "b")) == [
        ("c-a", ["1", "3"]),
        ("a.json:2", []),
        ("c-b", ["4"]),
    ]


@pytest.mark.parametrize("shared", ["a", "b"])
def test_a_second_item_of_an_id_fails_and_names_the_first(shared: str) -> None:
    second = msgspec.structs.replace(item(1, shared), path="b.json:7")
    made, bad = conversations([item(1, "a"), second], lambda first: "c")
    assert (made.id, len(Sample.of(made).turns)) == ("c", 1)
    assert (bad.path, bad.failure) == ("b.json:7", "its id 'q1' is already that of a.json:1")


def test_what_several_splits_share_is_a_conversation_in_each() -> None:
    other = msgspec.structs.replace(item(2, "a"), split="val")
    made = conversations([item(1, "a"), other, item(3, "a")], lambda first: f"{first.split}-c")
    assert [(one.id, one.split, len(Sample.of(one).turns)) for one in made] == [
        ("train-c", "train", 2),
        ("val-c", "val", 1),
    ]


def test_a_conversation_keeps_what_is_true_of_all_its_questions() -> None:
    (made,) = conversations([item(1, "a", group="g", label="yes"), item(2, "a", group="g", label="no")], lambda _: "c")
    assert Sample.of(made).meta == {"group": "g"}
    assert made.path == "a.json:1 and 1 more"


def test_no_items_are_no_conversations() -> None:
    assert joined() == []
