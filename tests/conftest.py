"""What all tests share: where the real data and the golden numbers lie, and an environment that reaches no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

# Set before any test module imports a library that reads them. The suites run on few cores, often several at once, and
# one thread makes float32 results repeatable.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The machine may be busy with something else; how long an example takes is nobody's property.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# What several suites share besides fixtures: modules of their own.
sys.path[:0] = [str(Path(__file__).with_name(folder)) for folder in ("support", "golden")]
pytest_plugins = ["browser", "hub_server", "small_datasets", "workplace"]

_REPOSITORY = Path(__file__).resolve().parent.parent


def _real_data_folder() -> Path:
    given = os.environ.get("PHI3V_REAL_DATA")
    return Path(given) if given else _REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real clips, scans and images; never written to."""
    folder = _real_data_folder()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; PHI3V_REAL_DATA names the folder")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers computed with the published model, beside the real data."""
    folder = _real_data_folder().parent / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden numbers at {folder}; PHI3V_REAL_DATA names the folder beside it")
    return folder
