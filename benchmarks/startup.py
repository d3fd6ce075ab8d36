"""How long the command line takes to start, beside a bare interpreter: python benchmarks/startup.py."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "import phi3v_data": ["-c", "import phi3v_data"],
    "phi3v-data --help": ["-m", "phi3v_data.cli", "--help"],
}


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(ROUNDS):
        for name, arguments in PROGRAMS.items():
            taken[name].append(seconds(arguments))
    bare = statistics.median(taken["python -c pass"])
    print(f"{'':<20}{'median':>10}{'worst':>10}{'ratio':>8}")
    for name, times in taken.items():
        median = statistics.median(times)
        print(f"{name:<20}{median * 1000:>7.0f} ms{max(times) * 1000:>7.0f} ms{median / bare:>8.1f}")


if __name__ == "__main__":
    main()
