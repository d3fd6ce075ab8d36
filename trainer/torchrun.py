"""torchrun without its own report of a failed process: what the process printed says it all.

python -m phi3v_data.trainer.torchrun --nproc-per-node 2 -m phi3v_data.cli train ...
"""

from __future__ import annotations

import logging
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError


def main() -> int:
    """Run torchrun with the arguments of this process; return the exit code of the first process that failed."""
    # torchrun's own log of exit codes and of signals that it passes on.
    logging.disable(logging.ERROR)
    try:
        run.main(sys.argv[1:])
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(main())
