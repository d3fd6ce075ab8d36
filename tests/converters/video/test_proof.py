"""Which packets some frames need, and when that is certain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.video.picture import Picture, Unproved
from phi3v_data.converters.video.proof import Proof, needed_packets, order_of_showing

# Of one group of pictures: I, then now and then two pictures that are shown before the last one and not referred to.
group_sizes = st.lists(st.lists(st.booleans(), max_size=6), min_size=1, max_size=8)


def pictures_of(groups: list[list[bool]]) -> list[Picture]:
    pictures = []
    order = 0
    for steps in groups:
        pictures.append(Picture(order=order, is_entry=True))
        order += 1
        for with_pair in steps:
            if with_pair:
                pictures.append(Picture(order=order + 2, is_entry=False))
                pictures += [Picture(order=order + n, is_entry=False, is_reference=False) for n in (0, 1)]
                order += 3
            else:
                pictures.append(Picture(order=order, is_entry=False))
                order += 1
    return pictures


def prove(pictures: list[Picture], held_back: int = 1) -> Proof:
    return order_of_showing(pictures, [p.order for p in pictures], [False] * len(pictures), held_back)


@given(group_sizes, st.data())
def test_every_frame_wanted_gets_what_it_refers_to_and_no_more(groups: list[list[bool]], data: st.DataObject) -> None:
    pictures = pictures_of(groups)
    proof = prove(pictures)
    wanted = sorted(data.draw(st.sets(st.integers(0, len(pictures) - 1), min_size=1, max_size=8)))
    needed = needed_packets(proof, wanted)
    assert needed == sorted(set(needed))
    expected = {0}
    for target in (proof.shown[frame] for frame in wanted):
        expected.add(target)
        packet = target
        while not pictures[packet].is_entry:
            packet -= 1
            if pictures[packet].is_reference:
                expected.add(packet)
    assert needed == sorted(expected)
    assert len(needed) <= max(proof.shown[frame] for frame in wanted) + 1


@given(group_sizes)
def test_frames_are_in_the_order_of_showing(groups: list[list[bool]]) -> None:
    pictures = pictures_of(groups)
    proof = prove(pictures)
    assert [pictures[packet].order for packet in proof.shown] == list(range(len(pictures)))
    assert list(proof.stamps) == list(range(len(pictures)))


I_P_B_B = pictures_of([[True], [True]])
STAMPS: list[int | None] = [picture.order for picture in I_P_B_B]
NOTHING_CUT = [False] * len(I_P_B_B)


def test_a_plain_clip_is_proved() -> None:
    assert order_of_showing(I_P_B_B, STAMPS, NOTHING_CUT, 1).shown == [0, 2, 3, 1, 4, 6, 7, 5]


def test_what_the_container_cuts_away_is_needed_but_not_shown() -> None:
    proof = order_of_showing(I_P_B_B, STAMPS, [True, False, True] + [False] * 5, 1)
    assert proof.shown == [3, 1, 4, 6, 7, 5]
    assert needed_packets(proof, [1]) == [0, 1]


def test_what_is_not_shown_has_no_frame() -> None:
    pictures = [picture._replace(is_shown=number != 2) for number, picture in enumerate(I_P_B_B)]
    assert order_of_showing(pictures, STAMPS, NOTHING_CUT, 1).shown == [0, 3, 1, 4, 6, 7, 5]


def swapped(stamps: list[int | None]) -> list[int | None]:
    return [stamps[1], stamps[0], *stamps[2:]]


@pytest.mark.parametrize(
    ("pictures", "stamps", "cut_away", "held_back", "why"),
    [
        (I_P_B_B[1:], STAMPS[1:], NOTHING_CUT[1:], 1, "begins in the middle"),
        (I_P_B_B, STAMPS, NOTHING_CUT, 0, "holds back fewer"),
        (I_P_B_B, swapped(STAMPS), NOTHING_CUT, 1, "one order of showing"),
        (I_P_B_B, [0, 0, *STAMPS[2:]], NOTHING_CUT, 1, "one order of showing"),
        (I_P_B_B, [*STAMPS[:-1], None], NOTHING_CUT, 1, "one order of showing"),
        ([*I_P_B_B[:-1], I_P_B_B[-1]._replace(order=7)], [*STAMPS[:-1], 8], NOTHING_CUT, 1, "one order of showing"),
        (I_P_B_B, STAMPS, [True] * 8, 1, "one order of showing"),
    ],
    ids=["no entry", "decoder", "swapped", "twice", "missing", "one order twice", "nothing shown"],
)
def test_a_clip_with_one_thing_wrong_is_not_proved(
    pictures: list[Picture], stamps: list[int | None], cut_away: list[bool], held_back: int, why: str
) -> None:
    with pytest.raises(Unproved, match=why):
        order_of_showing(pictures, stamps, cut_away, held_back)
