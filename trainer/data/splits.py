"""Which split of a dataset is trained on, and which is evaluated on."""

from __future__ import annotations

from ...schema.dataset import Dataset
from ...schema.errors import DatasetError

_TRAIN = "train"
# Tried in this order where no split was named: the first whose name begins so.
_USUAL = ("val", "dev", "test")


def training_split(dataset: Dataset, named: str | None) -> str:
    """Choose the split to train on: the one named, or `train`; of one JSONL file, that file's, whatever its name.

    Raises:
        DatasetError: it is not there; lists what is.
    """
    if dataset.is_one_file:
        return dataset.splits[0]
    wanted = named or _TRAIN
    if wanted in dataset.splits:
        return wanted
    there = ", ".join(dataset.splits)
    hint = "" if named else "; name one by --train-split"
    raise DatasetError(f"{dataset.folder.address}: no split {wanted!r} to train on; there are: {there}{hint}")


def evaluation_split(dataset: Dataset, named: str | None) -> str | None:
    """Choose the split to evaluate on: the one named, else the first usual one with records; None where there is none.

    Usual are `val`, `dev`, `test` and names that begin so, such as `validation`, `dev_seen` and `test_seen`. The
    training split is never chosen unless it is named.

    Raises:
        DatasetError: the one named is not there, or has no records.
    """
    # A conversion of some splits leaves the others' files behind, empty.
    files = dataset.files
    there = [split for split in dataset.splits if split not in files or dataset.folder.size(files[split])]
    if named is None:
        usual = (split for prefix in _USUAL for split in sorted(there) if split.lower().startswith(prefix))
        return next(usual, None)
    if named not in there:
        have = ", ".join(there)
        raise DatasetError(f"{dataset.folder.address}: no split {named!r} to evaluate on; there are: {have}")
    return named
