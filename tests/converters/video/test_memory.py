from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from phi3v_data.converters.video import read_frames
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.converters.video.synthesis import write_clip


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_a_clip_that_was_read_leaves_no_frame_behind(tmp_path: Path) -> None:
    # MPEG-4 with B-frames is decoded in order: the decoder's frames are many.
    frames = (np.full((480, 640, 3), 3 * number, np.uint8) for number in range(40))
    clip = write_clip(tmp_path / "clip.avi", frames, gop=40, b_frames=2)
    for _ in range(3):
        read_frames(clip, Sampling(frames=8))
    before = resident_bytes()
    for _ in range(30):
        read_frames(clip, Sampling(frames=8))
    one_frame = 640 * 480 * 3 // 2
    assert resident_bytes() - before < 30 * one_frame
