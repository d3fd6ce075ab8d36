from __future__ import annotations

import pytest
from made_images import Maker


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker()
