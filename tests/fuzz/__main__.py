"""Fuzzing: `python -m tests.fuzz TARGET --minutes N`.

A target is a file in `tests/fuzz/targets/` (or any file, given by its path) with two functions::

    def corpus(folder: Path) -> None           write valid files, the ones to be damaged
    def check(file: Path) -> None              read one damaged file, as the product does

`check` may raise the package's own errors and nothing else. Everything else is a finding: another exception, a crash of
the process, a case that takes too long. A finding prints the seed and the number of its case, and keeps its file.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from pathlib import Path

from .runner import Finding, Run, fuzz

TARGETS = Path(__file__).with_name("targets")


def main() -> int:
    """Run one target, or all, and return 1 where there was a finding."""
    names = sorted(path.stem for path in TARGETS.glob("*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target", help=f"one of {', '.join(names)}; a file; or all")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, for each target")
    parser.add_argument("--cases", type=int, default=None, help="end after so many, however long they take")
    parser.add_argument("--seed", type=int, default=None, help="of the mutations; drawn where not given")
    parser.add_argument("--case", type=int, default=None, help="run this case alone, in this process")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that one case may take")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for the files of findings")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    found: list[Finding] = []
    for name in names if given.target == "all" else [given.target]:
        path = TARGETS / f"{name}.py" if name in names else Path(name)
        if not path.is_file():
            parser.error(f"{name}: not a target; expected one of {', '.join(names)}, a file, or all")
        run = Run(path.resolve(), seed, given.timeout, given.keep.resolve())
        print(f"{path.stem}: seed {seed}", flush=True)
        if given.case is not None:
            run.case(given.case)
            continue
        seconds = given.minutes * 60 if given.cases is None else math.inf
        cases, findings = fuzz(run, seconds, report=lambda finding: print(finding, flush=True), most_cases=given.cases)
        print(f"{path.stem}: seed {seed}, {cases} cases, {len(findings)} findings", flush=True)
        found += findings
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
