"""A clip's container: opened as what strangers send, and read through once without decoding."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.logging
from av.stream import Disposition

from ...schema.errors import MediaError

# Formats that hold the clip they are: no playlists, which name further files and addresses to open.
FORMATS = (
    "3g2,3gp,asf,avi,dv,flv,gif,h261,h263,h264,hevc,ivf,m4a,m4v,matroska,mj2,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mxf,"
    "nut,obu,ogg,rm,vc1,webm,wtv,yuv4mpegpipe"
)
# Pixels of one frame. More is an attack on the memory, or a frame that no model takes.
MAX_PIXELS = 1 << 26
# Bytes of a clip kept from one reading of it to the next; of a longer one, the file is read again.
HELD = 64 << 20
# Durations of a frame by which a clip may end before the time its container states.
EARLY = 3


def shown_name(path: Path) -> str:
    """Name a clip in a message of one line, whatever its name holds."""
    return path.name if path.name.isprintable() else repr(path.name)


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """Open a clip for the length of the block.

    Raises:
        MediaError: it is not a video, damaged or cut short; also whatever FFmpeg finds wrong during the block.
    """
    name = shown_name(path)
    try:
        status = path.stat()
        is_file = stat.S_ISREG(status.st_mode)
        if not is_file or not status.st_size:
            what = "an empty file" if is_file else "a folder" if path.is_dir() else "not a regular file"
            raise MediaError(f"{name}: {what}, where a video was expected")
        container = _open(path)
    except (OSError, av.FFmpegError) as error:
        is_damage = isinstance(error, av.FFmpegError) and not isinstance(error, PermissionError)
        what = "not a video, or a damaged one" if is_damage else "cannot be opened"
        raise MediaError(f"{name}: {what} ({error.strerror})") from error
    with container:
        try:
            yield Clip(path, _video_stream(container, name))
        except av.FFmpegError as error:
            raise MediaError(f"{name}: damaged ({error.strerror})") from error


def _open(path: Path) -> av.InputContainer:
    # The prefix keeps FFmpeg from taking a part of the name for a protocol.
    return av.open(f"file:{path}", container_options={"format_whitelist": FORMATS}, metadata_errors="replace")


def _video_stream(container: av.InputContainer, name: str) -> av.VideoStream:
    stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
    decoder = stream.codec_context if stream else None
    if stream is None or decoder is None:
        raise MediaError(f"{name}: {'FFmpeg has no decoder for its video' if stream else 'holds no video stream'}")
    if decoder.width * decoder.height > MAX_PIXELS:
        raise MediaError(f"{name}: frames of {decoder.width}x{decoder.height}, more than {MAX_PIXELS} pixels in one")
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    decoder.thread_count = 1  # the engine runs a process for every core
    return stream


class Clip:
    """An open clip, read through once without decoding; raises MediaError where it is damaged or cut short."""

    def __init__(self, path: Path, stream: av.VideoStream) -> None:
        self.name = shown_name(path)
        self.stream = stream
        self._path = path
        self._held: list[av.Packet] | None = []
        self._read_through()

    def packets(self) -> Iterator[av.Packet]:
        """Give the packets, in decoding order."""
        if self._held is not None:
            yield from self._held
        else:
            with _open(self._path) as container:
                yield from _packets(_video_stream(container, self.name))

    def decode(self, needed: Collection[int] | None = None) -> Iterator[av.VideoFrame]:
        """Decode the packets of these numbers, or all, in decoding order; give the frames as they come out."""
        decoder = self.stream.codec_context
        last = max(needed) if needed is not None else None
        for number, packet in enumerate(self.packets()):
            if needed is None or number in needed:
                yield from decoder.decode(packet)
            if number == last:
                break
        yield from decoder.decode(None)  # flush

    def _read_through(self) -> None:
        entries = self.stream.index_entries
        if len(entries) > self._path.stat().st_size:
            # A few bytes can name millions, and a frame takes at least one.
            raise MediaError(f"{self.name}: damaged (its index names {len(entries):,} frames, more than it has bytes)")
        indexed = sum(entry.size > 0 for entry in entries)
        count = size = end = 0
        with _reported_errors(self.stream.container.format.name) as errors:
            for packet in _packets(self.stream):
                if packet.is_corrupt:
                    raise MediaError(f"{self.name}: damaged or cut short at frame {count}")
                count += 1
                size += packet.size
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
                if size > HELD:
                    self._held = None
                elif self._held is not None:
                    self._held.append(packet)
        stated = _stated_frames(self.stream, indexed, count)
        seconds, stated_seconds = float(end * self.stream.time_base), _stated_end(self.stream)
        if errors:
            raise MediaError(f"{self.name}: damaged ({errors[0]})")
        if not count:
            raise MediaError(f"{self.name}: holds no frames")
        if count < stated:
            raise MediaError(f"{self.name}: cut short, {count} of {stated} frames are there")
        if seconds + EARLY * seconds / count < stated_seconds:
            raise MediaError(f"{self.name}: cut short, {seconds:.1f} of {stated_seconds:.1f} seconds are there")


@contextmanager
def _reported_errors(library: str) -> Iterator[list[str]]:
    """Collect what a part of FFmpeg logs as errors in the block: of most damage it says so, and goes on."""
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    errors: list[str] = []
    try:
        with av.logging.Capture() as logs:
            yield errors
    finally:
        av.logging.set_level(before[0])
        av.logging.set_skip_repeated(before[1])
        errors += [message.strip() for _, name, message in logs if name == library]


def _packets(stream: av.VideoStream) -> Iterator[av.Packet]:
    """Give a stream's packets; empty ones tell a decoder that the clip ends, so they are left out."""
    return (packet for packet in stream.container.demux(stream) if packet.size)


def _stated_frames(stream: av.VideoStream, indexed: int, found: int) -> int:
    """Return how many frames a clip must hold by its container, whose index named so many before anything was read.

    An index names all, the key frames, or none. An AVI states those too that were dropped in recording and have no
    packet. None is missing if all is there that its index names. That is what the file ends with; of a file that ends
    before, libavformat makes an index of the frames it has seen, and shortens the duration.
    """
    is_whole = found == indexed and stream.duration == stream.frames
    return int(stream.frames) if stream.container.format.name == "avi" and not is_whole else indexed


def _stated_end(stream: av.VideoStream) -> float:
    """Return the seconds at which a clip ends by what its container states of this one stream; 0 if nothing."""
    container = stream.container
    if not ("matroska" in container.format.name or container.format.name == "flv"):
        return 0.0  # in others it follows from the packets, or is a guess
    if stated := re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", "")):
        return sum(float(part) * unit for part, unit in zip(stated.groups(), (3600, 60, 1), strict=True))
    return container.duration / av.time_base if len(container.streams) == 1 and container.duration else 0.0
