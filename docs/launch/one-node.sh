#!/usr/bin/env bash
# All GPUs of this machine.
set -euo pipefail

phi3v-data convert --source docvqa --input DocVQA --out data/docvqa
phi3v-data validate data/docvqa
phi3v-data train data/docvqa --recipe docvqa-lora --gpus 8 --out runs/docvqa-lora
