"""The tiny model and its folder, sample images, and the published model's numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from golden_numbers import CommittedNumbers, FullNumbers, GoldenNumbers
from PIL import Image

from phi3v_data.trainer.phi3v import Phi3VForCausalLM, Phi3VProcessor
from phi3v_data.trainer.phi3v.tiny import tiny_model, tiny_processor, write_tiny

COMMITTED = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a folder; not to be changed."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def processor() -> Phi3VProcessor:
    return tiny_processor()


@pytest.fixture
def model() -> Phi3VForCausalLM:
    """A tiny model of the test's own."""
    made = tiny_model()
    made.eval()
    return made


@pytest.fixture(scope="session")
def sample_images() -> list[Image.Image]:
    """Three images that differ: sideways, upright, square."""
    noise = torch.Generator().manual_seed(0)
    sizes = ((64, 48), (40, 60), (32, 32))
    return [
        Image.fromarray(torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=noise).numpy())
        for width, height in sizes
    ]


@pytest.fixture(scope="session")
def full_numbers(golden: Path) -> FullNumbers:
    return FullNumbers(golden)


@pytest.fixture(scope="session", params=["committed", pytest.param("full", marks=pytest.mark.real_data)])
def golden_numbers(request: pytest.FixtureRequest) -> GoldenNumbers:
    """Both sets, one after the other; the full one where it is."""
    if request.param == "committed":
        return CommittedNumbers(COMMITTED)
    full: FullNumbers = request.getfixturevalue("full_numbers")
    return full


@pytest.fixture(scope="session")
def expand_runs() -> Callable[[list[list[int]]], list[int]]:
    """Write run lengths [id, count] out."""
    return lambda runs: [token for token, count in runs for _ in range(count)]
