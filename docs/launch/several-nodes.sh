#!/usr/bin/env bash
# Give this command on each of four machines of eight GPUs; HEAD is the name of one of them, the same on all.
set -euo pipefail

torchrun \
  --nnodes 4 \
  --nproc-per-node 8 \
  --rdzv-backend c10d \
  --rdzv-endpoint "${HEAD:?name one of the machines}:29500" \
  -m phi3v_data.cli train /shared/data/docvqa --recipe docvqa-full --out /shared/runs/docvqa-full
