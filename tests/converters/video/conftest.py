"""Clips for the tests of decoding."""

from __future__ import annotations

import pytest
from painted_clips import CLIPS, Clips


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "clip_name" in metafunc.fixturenames:
        metafunc.parametrize("clip_name", CLIPS)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))
