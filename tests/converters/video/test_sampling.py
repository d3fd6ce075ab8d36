"""Which frames a policy takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import inf, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phi3v_data.converters.video.sampling import ClipTable, Sampling, Strategy, select_frames
from phi3v_data.schema.errors import UsageError

totals = st.integers(1, 5000)
counts = st.integers(1, 300)
gaps = st.lists(st.floats(0.001, 5), min_size=0, max_size=200)


def even(total: int, rate: float = 25.0, keys: list[int] | None = None) -> ClipTable:
    return ClipTable([number / rate for number in range(total)], keys or [0])


@given(totals, counts)
def test_uniform_takes_frame_floor_of_i_total_over_n(total: int, count: int) -> None:
    chosen = select_frames(even(total), Sampling(frames=count))
    if total < count:
        assert chosen == list(range(total))
    else:
        assert chosen == [i * total // count for i in range(count)]


@given(totals, counts, st.sampled_from(["uniform", "segment"]), st.booleans())
def test_exactly_n_rising_frames_inside_the_clip_or_each_frame_once(
    total: int, count: int, strategy: Strategy, jitter: bool
) -> None:
    sampling = Sampling(strategy=strategy, frames=count, jitter=jitter)
    chosen = select_frames(even(total), sampling, key="train-0", jitter=True)
    assert len(chosen) == min(total, count)
    assert chosen == sorted(set(chosen))
    assert chosen[0] >= 0
    assert chosen[-1] < total


@given(totals, counts)
def test_segment_takes_the_middle_of_each_part(total: int, count: int) -> None:
    count = min(total, count)
    chosen = select_frames(even(total), Sampling(strategy="segment", frames=count))
    for i, frame in enumerate(chosen):
        start, stop = i * total // count, (i + 1) * total // count
        assert abs((frame - start) - (stop - 1 - frame)) <= 1


@given(totals, counts, st.integers(0, 9), st.text(max_size=5))
def test_jitter_stays_in_its_part_and_repeats_itself(total: int, count: int, seed: int, key: str) -> None:
    sampling = Sampling(frames=count, jitter=True, seed=seed)
    chosen = select_frames(even(total), sampling, key=key, jitter=True)
    parts = [i * total // len(chosen) for i in range(len(chosen))] + [total]
    assert all(start <= frame < stop for start, frame, stop in zip(parts, chosen, parts[1:], strict=False))
    assert chosen == select_frames(even(total), sampling, key=key, jitter=True)


def test_jitter_is_the_same_in_every_version_of_python() -> None:
    sampling = Sampling(frames=8, jitter=True, seed=7)
    chosen = select_frames(even(240), sampling, key="train-0000000003", jitter=True)
    assert chosen == [14, 59, 65, 104, 145, 179, 192, 210]


def test_jitter_differs_by_clip_and_by_seed_and_reaches_every_frame_of_a_part() -> None:
    seen = {
        (seed, key): tuple(select_frames(even(16), Sampling(frames=4, jitter=True, seed=seed), key=key, jitter=True))
        for seed in range(10)
        for key in map(str, range(30))
    }
    assert len(set(seen.values())) > 150
    assert {frame for chosen in seen.values() for frame in chosen} == set(range(16))


def test_jitter_takes_both_the_policy_and_the_caller() -> None:
    plain = select_frames(even(240), Sampling(frames=8))
    assert select_frames(even(240), Sampling(frames=8, jitter=True), key="a") == plain
    assert select_frames(even(240), Sampling(frames=8), key="a", jitter=True) == plain
    assert select_frames(even(240), Sampling(frames=8, jitter=True), key="a", jitter=True) != plain


@given(gaps, st.floats(0.1, 60))
def test_fps_takes_what_is_on_the_screen_at_each_tick(between: list[float], rate: float) -> None:
    times = [0.0, *accumulate(between)]
    chosen = select_frames(ClipTable(times, [0]), Sampling(strategy="fps", fps=rate, frames=100_000))
    shown = set()
    tick = 0
    while tick / rate <= times[-1] + 1e-6:
        shown.add(max(number for number, time in enumerate(times) if time <= tick / rate + 1e-6))
        tick += 1
    # A tick within a rounding error of a frame may go either way.
    on_the_edge = {
        number
        for number, time in enumerate(times)
        if abs(time * rate - round(time * rate)) < 1e-3
        for number in (number - 1, number)
    }
    assert set(chosen) - on_the_edge == shown - on_the_edge
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0


@pytest.mark.parametrize(
    ("total", "clip_rate", "fps", "expected"),
    [
        (100, 25.0, 1.0, [0, 25, 50, 75]),
        (101, 25.0, 1.0, [0, 25, 50, 75, 100]),
        (90, 30000 / 1001, 1.0, [0, 29, 59]),
        (10, 25.0, 25.0, list(range(10))),
        (10, 25.0, 1000.0, list(range(10))),
        (10, 25.0, 0.01, [0]),
        (1, 25.0, 2.0, [0]),
    ],
)
def test_fps_on_even_clips(total: int, clip_rate: float, fps: float, expected: list[int]) -> None:
    assert select_frames(even(total, clip_rate), Sampling(strategy="fps", fps=fps, frames=99)) == expected


def test_fps_gives_at_most_so_many_frames_spread_over_the_clip() -> None:
    assert select_frames(even(1000), Sampling(strategy="fps", fps=5, frames=4)) == [0, 250, 500, 750]


def test_keyframes_gives_at_most_so_many_key_frames_spread_evenly() -> None:
    clip = even(100, keys=[0, 12, 24, 36, 48, 60])
    assert select_frames(clip, Sampling(strategy="keyframes", frames=3)) == [0, 24, 48]
    assert select_frames(clip, Sampling(strategy="keyframes", frames=9)) == [0, 12, 24, 36, 48, 60]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"frames": 0}, "at least 1"),
        ({"frames": -3}, "at least 1"),
        ({"strategy": "fps"}, "give fps too"),
        ({"fps": 2.0}, "sample by fps"),
        ({"strategy": "fps", "fps": 0.0}, "above 0"),
        ({"strategy": "fps", "fps": -1.0}, "above 0"),
        ({"strategy": "fps", "fps": nan}, "above 0"),
        ({"strategy": "fps", "fps": inf}, "above 0"),
        ({"strategy": "keyframes", "jitter": True}, "choose one"),
    ],
)
def test_values_that_do_not_go_together_are_refused_in_one_line(values: dict[str, Any], said: str) -> None:
    makers: tuple[Callable[[], Sampling], ...] = (
        lambda: Sampling(**values),
        lambda: msgspec.convert(values, Sampling),
    )
    for make in makers:
        with pytest.raises(UsageError, match=said) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_a_policy_survives_the_manifest() -> None:
    sampling = Sampling(strategy="fps", fps=2.0, frames=16, jitter=True, seed=3)
    assert msgspec.convert(msgspec.to_builtins(sampling), Sampling) == sampling
