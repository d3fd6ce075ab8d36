"""Raw clips, laid out as a test needs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from raw_ucf101 import FRAMES

from phi3v_data.converters.video.synthesis import write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of ten frames that get brighter."""
    frames = (np.full((32, 48, 3), 20 * number, np.uint8) for number in range(FRAMES))
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.avi", frames)


@pytest.fixture
def place(tmp_path: Path, clip: Path) -> Callable[..., Path]:
    """Lay out clips, other files and folders (with a slash at the end) by their paths."""

    def lay_out(*names: str, at: str = "raw") -> Path:
        root = tmp_path / at
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
            elif path.suffix.lower() in {".avi", ".mp4", ".mkv"}:
                shutil.copyfile(clip, path)
            else:
                path.write_text("not a clip")
        return root

    return lay_out
