"""Runs of the tiny model on the ranks that torchrun started, many of them in one set of processes.

    torchrun --nproc-per-node 2 rank_cases.py CASES.json

CASES.json is a list of objects: `data`, `out`, `settings`, and `resume` where it is not `auto`.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import torch

from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import Phi3VDataError
from phi3v_data.trainer.data.sources import Source
from phi3v_data.trainer.quiet import quiet_libraries
from phi3v_data.trainer.train import train


def main() -> None:
    quiet_libraries()
    torch.distributed.init_process_group("gloo")
    for case in json.loads(Path(sys.argv[1]).read_text()):
        from tiny_runs import tiny_config

        out = Path(case["out"])
        try:
            train(tiny_config(case["settings"]), [Source(open_dataset(case["data"]))], out, resume=case["resume"])
        except Phi3VDataError as error:
            out.with_suffix(f".error-{torch.distributed.get_rank()}").write_text(str(error))
        except Exception:
            out.with_suffix(f".error-{torch.distributed.get_rank()}").write_text(traceback.format_exc())
            raise
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
