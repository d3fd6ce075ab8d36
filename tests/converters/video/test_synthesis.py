"""Clips made here."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from phi3v_data.converters.video.synthesis import write_clip


def frames(count: int) -> list[np.ndarray]:
    return [np.full((32, 48, 3), 10 * number, np.uint8) for number in range(count)]


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_the_same_frames_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    one = write_clip(tmp_path / name, frames(20)).read_bytes()
    assert write_clip(tmp_path / name, frames(20)).read_bytes() == one


def test_the_default_is_a_clip_as_those_of_ucf101(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", frames(25), fps=Fraction(30000, 1001))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("mpeg4", 48, 32)
        assert (stream.frames, stream.average_rate) == (25, Fraction(30000, 1001))
        assert [frame.key_frame for frame in container.decode(stream)] == [n % 12 == 0 for n in range(25)]


def test_times_of_their_own_reach_the_container(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.5, 0.75]
    path = write_clip(tmp_path / "a.mp4", frames(4), times=times)
    with av.open(str(path)) as container:
        assert [frame.time for frame in container.decode(video=0)] == times


def test_the_frames_are_those_given(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", frames(20))
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    assert np.abs(np.array(decoded) - 10 * np.arange(20)).max() < 3
