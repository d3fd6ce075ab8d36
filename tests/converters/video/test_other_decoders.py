"""OpenCV and decord give the frames that PyAV gives, or say that they do not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from painted_clips import Clips

from phi3v_data.converters.video import decoder_versions, read_frames
from phi3v_data.converters.video.other_decoders import IN_ORDER, SAME_FRAME
from phi3v_data.converters.video.sampling import Sampling
from phi3v_data.schema.errors import MediaError, MissingDependencyError

Library = Literal["opencv", "decord"]
LIBRARIES: list[Library] = ["opencv", "decord"]
# What a library does not read as PyAV does: OpenCV converts only progressive frames; decord does not find the beginning
# of MPEG-TS, and wants a length stated.
NOT_READ = {
    "opencv": {"h264-interlaced.mp4"},
    "decord": {"h264.ts", "mpeg2.ts", "h264-no-times.h264", "h264-live.mkv"},
}


def assert_same(path: Path, library: Library, policy: Sampling) -> None:
    expected = read_frames(path, policy)
    given = read_frames(path, policy, decoder=library)
    assert [(frame.index, frame.time) for frame in given] == [(frame.index, frame.time) for frame in expected]
    for one, other in zip(given, expected, strict=True):
        assert one.pixels.shape == other.pixels.shape
        assert np.abs(one.pixels.astype(int) - other.pixels).mean() <= SAME_FRAME


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_frames_are_pyavs(clips: Clips, clip_name: str, library: Library) -> None:
    path = clips.named(clip_name)
    for policy in (Sampling(frames=8), Sampling(strategy="segment", frames=5)):
        if clip_name in NOT_READ[library]:
            with pytest.raises(MediaError, match="choose pyav"):
                read_frames(path, policy, decoder=library)
        else:
            assert_same(path, library, policy)


@pytest.mark.real_data
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "name",
    ["v_SoccerJuggling_g23_c01.avi", "RATRACE_wave_f_nm_np1_fr_goo_37.avi", "R6llTwEh07w.mp4", "rotated_90.mov"],
)
def test_the_frames_of_real_clips_are_pyavs(real_data: Path, name: str, library: Library) -> None:
    assert_same(real_data / "video" / name, library, Sampling(frames=8))


@pytest.mark.parametrize("library", LIBRARIES)
def test_turned_and_oblong_clips_stand_as_with_pyav(clips: Clips, tmp_path: Path, library: Library) -> None:
    from fractions import Fraction

    path = clips.write(tmp_path / "odd.mp4", 5, turn=90, pixel_aspect=Fraction(4, 3))
    assert_same(path, library, Sampling(frames=5))


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_frame_than_pyavs_is_refused(clips: Clips, monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    genuine = IN_ORDER[library]

    def one_late(*given: Any) -> Iterator[np.ndarray]:
        frames = list(genuine(*given))
        yield from [*frames[:3], frames[4], *frames[4:]]

    monkeypatch.setitem(IN_ORDER, library, one_late)
    with pytest.raises(MediaError, match="does not give frame 22 as PyAV does; choose pyav"):
        read_frames(clips.named("xvid.avi"), Sampling(frames=8), decoder=library)


@pytest.mark.parametrize("library", LIBRARIES)
def test_fewer_frames_than_pyavs_are_refused(clips: Clips, monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    genuine = IN_ORDER[library]
    monkeypatch.setitem(IN_ORDER, library, lambda *given: iter(list(genuine(*given))[:5]))
    with pytest.raises(MediaError, match="does not give frame 37"):
        read_frames(clips.named("xvid.avi"), Sampling(frames=8), decoder=library)


def test_decord_is_named_with_what_installs_it_where_it_is_missing(
    clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    for use in (
        lambda: decoder_versions("decord"),
        lambda: read_frames(clips.named("xvid.avi"), Sampling(), decoder="decord"),
    ):
        with pytest.raises(MissingDependencyError, match=r"pip install 'phi3v-data\[decord\]'"):
            use()


def test_versions_are_those_of_the_libraries_that_decode() -> None:
    import av
    import cv2
    import decord

    assert decoder_versions()["pyav"] == av.__version__
    assert decoder_versions("pyav") == decoder_versions("auto")
    assert set(decoder_versions()) == {"pyav", "libavcodec", "libavformat", "libswscale"}
    assert decoder_versions("opencv")["opencv"] == cv2.__version__
    assert decoder_versions("decord")["decord"] == decord.__version__


def test_no_library_is_imported_before_a_clip_is_read() -> None:
    code = "import sys, phi3v_data.converters.video; print({'av', 'cv2', 'decord', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
