"""Which packets some frames need, and when the clip has to be decoded in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.video.packet_headers import NotSkippable, PacketHeader
from phi3v_data.converters.video.pyav_frames import PacketIndex, put_in_order

# Of one GOP: I, then now and then two frames that are displayed before the last one and not referred to.
group_sizes = st.lists(st.lists(st.booleans(), max_size=6), min_size=1, max_size=8)


def headers_of(groups: list[list[bool]]) -> list[PacketHeader]:
    headers = []
    order = 0
    for steps in groups:
        headers.append(PacketHeader(order=order, is_access_point=True))
        order += 1
        for with_pair in steps:
            if with_pair:
                headers.append(PacketHeader(order=order + 2, is_access_point=False))
                headers += [PacketHeader(order=order + n, is_access_point=False, is_reference=False) for n in (0, 1)]
                order += 3
            else:
                headers.append(PacketHeader(order=order, is_access_point=False))
                order += 1
    return headers


def index_of(headers: list[PacketHeader]) -> PacketIndex:
    return put_in_order(headers, [header.order for header in headers])


@given(group_sizes, st.data())
def test_every_frame_wanted_gets_what_it_refers_to_and_no_more(groups: list[list[bool]], data: st.DataObject) -> None:
    headers = headers_of(groups)
    index = index_of(headers)
    wanted = sorted(data.draw(st.sets(st.integers(0, len(headers) - 1), min_size=1, max_size=8)))
    needed = index.needed_packets(wanted)
    expected = {0}
    for target in (index.packets[frame] for frame in wanted):
        expected.add(target)
        packet = target
        while not headers[packet].is_access_point:
            packet -= 1
            if headers[packet].is_reference:
                expected.add(packet)
    assert needed == expected
    assert len(needed) <= max(index.packets[frame] for frame in wanted) + 1


@given(group_sizes)
def test_frames_are_in_presentation_order(groups: list[list[bool]]) -> None:
    headers = headers_of(groups)
    index = index_of(headers)
    assert [headers[packet].order for packet in index.packets] == list(range(len(headers)))
    assert list(index.pts) == list(range(len(headers)))


I_P_B_B = headers_of([[True], [True]])
PTS: list[int | None] = [header.order for header in I_P_B_B]


def cut_away(headers: list[PacketHeader], *numbers: int) -> list[PacketHeader]:
    return [header._replace(is_shown=number not in numbers) for number, header in enumerate(headers)]


def test_packets_are_put_in_presentation_order() -> None:
    assert put_in_order(I_P_B_B, PTS).packets == [0, 2, 3, 1, 4, 6, 7, 5]


def test_what_an_edit_list_cuts_away_is_needed_but_not_shown() -> None:
    index = put_in_order(cut_away(I_P_B_B, 0, 2), PTS)
    assert index.packets == [3, 1, 4, 6, 7, 5]
    assert index.needed_packets([1]) == {0, 1}


def test_what_is_not_shown_has_no_frame() -> None:
    assert put_in_order(cut_away(I_P_B_B, 2), PTS).packets == [0, 3, 1, 4, 6, 7, 5]


def swapped(pts: list[int | None]) -> list[int | None]:
    return [pts[1], pts[0], *pts[2:]]


@pytest.mark.parametrize(
    ("headers", "pts", "why"),
    [
        (I_P_B_B[1:], PTS[1:], "does not begin with an access point"),
        (I_P_B_B, swapped(PTS), "one presentation order"),
        (I_P_B_B, [0, 0, *PTS[2:]], "one presentation order"),
        (I_P_B_B, [*PTS[:-1], None], "one presentation order"),
        ([*I_P_B_B[:-1], I_P_B_B[-1]._replace(order=7)], [*PTS[:-1], 8], "one presentation order"),
        (cut_away(I_P_B_B, *range(8)), PTS, "one presentation order"),
    ],
    ids=["no access point", "swapped", "twice", "missing", "one order twice", "nothing shown"],
)
def test_a_clip_with_one_thing_wrong_is_decoded_in_order(
    headers: list[PacketHeader], pts: list[int | None], why: str
) -> None:
    with pytest.raises(NotSkippable, match=why):
        put_in_order(headers, pts)
