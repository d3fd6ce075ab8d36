"""Converting videos: this engine beside the usual ways, in one run.

    python benchmarks/convert.py                    600 clips of each kind
    python benchmarks/convert.py --clips 100 --rounds 3
    python benchmarks/convert.py --memory           peak memory over 100, 1000 and 5000 clips

The kinds: MPEG-4 as UCF-101 has it (320x240, 240 frames, a key frame every 12) and H.264 (a key frame every 250;
without B frames, where every frame is referred to, and with them), generated; and the real clips of the folder
PHI3V_REAL_DATA, where it is. Every way takes 8 frames of each clip and
writes them as JPEG, and is a whole process with its start:

- in order: one process decodes each clip through with PyAV and saves the wanted frames with Pillow (the recipe's way)
- decord, opencv: one process, their own means of reaching a frame (OpenCV: grab, retrieve what is wanted)
- engine, N workers: `phi3v-data convert`
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

FRAMES = 8
LENGTH = 240
DISTINCT = 20  # clips really made of each kind; the others are links to them


class Measured(NamedTuple):
    """One way's whole process: wall seconds, and the peak memory of its largest process in MiB."""

    seconds: float
    memory: float


# The clips


def moving_scene(seed: int) -> Iterator[np.ndarray]:
    """Yield frames as a camera would see them: a textured scene that drifts, something that moves, and noise."""
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (16, 21, 3), dtype=np.uint8)
    scene = np.kron(coarse, np.ones((20, 20, 1), dtype=np.uint8))[:300, :400]
    for number in range(LENGTH):
        dx, dy = number % 60, (number // 3) % 40
        frame = scene[dy : dy + 240, dx : dx + 320].astype(np.int16)
        left = (5 * number + 30 * seed) % 260
        frame[90:150, left : left + 60] = 255 - frame[90:150, left : left + 60]
        yield np.clip(frame + chance.normal(0, 4, frame.shape).astype(np.int16), 0, 255).astype(np.uint8)


def generated(folder: Path, codec: str, gop: int, suffix: str, b_frames: int = 0) -> list[Path]:
    from phi3v_data.converters.video.synthesis import write_clip

    folder.mkdir(parents=True)
    made = [folder / f"clip-{seed}{suffix}" for seed in range(DISTINCT)]
    for seed, path in enumerate(made):
        write_clip(path, moving_scene(seed), fps=Fraction(30000, 1001), codec=codec, gop=gop, b_frames=b_frames)
    return made


def kinds(work: Path) -> dict[str, list[Path]]:
    found = {
        "MPEG-4, key frame every 12": generated(work / "mpeg4", "mpeg4", 12, ".avi"),
        "H.264, no B frames": generated(work / "h264", "libx264", 250, ".mp4"),
        "H.264, three B frames in a row": generated(work / "h264-b", "libx264", 250, ".mp4", b_frames=3),
    }
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    real = Path(os.environ.get("PHI3V_REAL_DATA", default)) / "video"
    return found | {f"real: {path.name}": [path] for path in sorted([*real.glob("*.avi"), *real.glob("*.mp4")])}


def many(clips: list[Path], count: int, folder: Path) -> Path:
    """Lay `count` clips out as classes of one hundred, as links."""
    for number in range(count):
        source = clips[number % len(clips)]
        place = folder / f"Class{number // 100:02d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"v_g{number % 25:02d}_c{number:05d}{source.suffix}").symlink_to(source)
    return folder


# The ways; each runs in a process of its own, as `--way NAME INPUT OUT`


def wanted(total: int) -> list[int]:
    return sorted({index * total // FRAMES for index in range(FRAMES)})


def save(pixels: np.ndarray, out: Path, number: int) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(f"{out}.{number}.jpg")


def in_order(clip: Path, out: Path) -> None:
    import av

    with av.open(str(clip)) as container:
        total = container.streams.video[0].frames
        places = {index: number for number, index in enumerate(wanted(total))}
        for index, frame in enumerate(container.decode(video=0)):
            if index in places:
                save(frame.to_ndarray(format="rgb24"), out, places[index])


def with_decord(clip: Path, out: Path) -> None:
    import decord

    reader = decord.VideoReader(str(clip), num_threads=1)
    for number, pixels in enumerate(reader.get_batch(wanted(len(reader))).asnumpy()):
        save(pixels, out, number)


def with_opencv(clip: Path, out: Path) -> None:
    import cv2

    reader = cv2.VideoCapture(str(clip))
    places = {index: number for number, index in enumerate(wanted(int(reader.get(cv2.CAP_PROP_FRAME_COUNT))))}
    index = 0
    while reader.grab():
        if index in places:
            save(cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB), out, places[index])
        index += 1


WAYS: dict[str, Callable[[Path, Path], None]] = {"in order": in_order, "decord": with_decord, "opencv": with_opencv}


def walk(way: str, source: Path, out: Path) -> None:
    for clip in sorted(source.glob("*/*")):
        place = out / clip.parent.name
        place.mkdir(parents=True, exist_ok=True)
        WAYS[way](clip, place / clip.stem)


# Measuring


def process(arguments: list[str]) -> Measured:
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, errors = child.communicate()
    seconds = time.perf_counter() - started
    if child.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed: {errors.decode()}")
    return Measured(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def alone(way: str, source: Path, work: Path) -> Measured:
    """Measure one way in a process that has no other children, so that the peak memory is its own."""
    with tempfile.TemporaryDirectory(dir=work) as out:
        arguments = [sys.executable, __file__, "--measure", way, str(source), out]
        seconds, memory = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return Measured(float(seconds), float(memory))


def measure(way: str, source: Path, out: Path) -> Measured:
    if way in WAYS:
        return process([__file__, "--way", way, str(source), str(out)])
    workers = way.removeprefix("engine, ").partition(" ")[0]
    convert = ["convert", "--source", "ucf101", "--frames", str(FRAMES), "--workers", workers]
    return process(["-m", "phi3v_data.cli", *convert, "--input", str(source), "--out", str(out / "data")])


def available() -> list[str]:
    import importlib.util

    ways = [way for way in WAYS if way != "decord" or importlib.util.find_spec("decord")]
    return [*ways, "engine, 1 worker", "engine, 2 workers"]


def identical(clips: list[Path]) -> str:
    """Compare every frame the engine takes with the same frame of a sequential decode."""
    import av

    from phi3v_data.converters.video import read_frames
    from phi3v_data.converters.video.sampling import Sampling

    same = 0
    for clip in clips:
        with av.open(str(clip)) as container:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        frames = read_frames(clip, Sampling(frames=FRAMES))
        same += all(np.array_equal(frame.pixels, decoded[frame.index]) for frame in frames)
    return f"{same} of {len(clips)} clips: frames identical to a sequential decode"


def compare(clips: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for kind, made in kinds(work / "clips").items():
            source = many(made, clips, work / f"many {kind}")
            taken: dict[str, list[Measured]] = {way: [] for way in available()}
            for _ in range(rounds):
                for way in taken:
                    taken[way].append(alone(way, source, work))
            print(f"\n{kind}; {clips} clips, {FRAMES} frames each, {rounds} rounds; {identical(made)}")
            print(f"{'':<20}{'clips/s':>9}{'frames/s':>10}{'memory':>10}{'ratio':>8}")
            for way, results in taken.items():
                seconds = statistics.median(result.seconds for result in results)
                ratio = statistics.median(
                    base.seconds / result.seconds for base, result in zip(taken["in order"], results, strict=True)
                )
                memory = max(result.memory for result in results)
                rates = f"{clips / seconds:>9.1f}{clips * FRAMES / seconds:>10.0f}"
                print(f"{way:<20}{rates}{memory:>6.0f} MiB{ratio:>8.2f}", flush=True)


def peak_memory() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        made = generated(work / "clips", "mpeg4", 12, ".avi")
        print(f"{'clips':>8}{'seconds':>10}{'memory of the largest process':>32}")
        for count in (100, 1000, 5000):
            result = alone("engine, 2 workers", many(made, count, work / f"{count}"), work)
            print(f"{count:>8}{result.seconds:>10.1f}{result.memory:>28.1f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="peak memory over the number of clips, instead")
    parser.add_argument("--way", nargs=3, metavar=("NAME", "INPUT", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, metavar=("NAME", "INPUT", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        walk(given.way[0], Path(given.way[1]), Path(given.way[2]))
    elif given.measure:
        print(*measure(given.measure[0], Path(given.measure[1]), Path(given.measure[2])))
    elif given.memory:
        peak_memory()
    else:
        compare(given.clips, given.rounds)


if __name__ == "__main__":
    main()
