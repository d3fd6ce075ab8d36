"""Prepare vision-language fine-tuning data, and train Phi-3-vision / Phi-3.5-vision on it.

The packages, from the bottom up; imports only ever point down this list:

- `storage`: one interface over local folders and object stores.
- `schema`: the record (one conversation with its images), its forms on disk, and the rules it is validated by.
- `converters`: raw sources (UCF-101, or your own) become records and images. Runs without torch.
- `data_cards`: cards and reports, of datasets and of runs.
- `trainer`: records become a fine-tuned model; `trainer.phi3v` is the model itself, natively on transformers.
- `cli`: the command `phi3v-data`, one file a command.
"""

__version__ = "0.1.0"
