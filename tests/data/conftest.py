"""What data tests get: a way to write a small table beside its pictures."""

from collections.abc import Callable
from pathlib import Path

import pytest
from data import layouts


@pytest.fixture
def table(tmp_path) -> Callable[..., Path]:
    """Writes text as `train.csv` (or another name) beside three pictures in `images`."""

    def write(text: str | bytes, name: str = "train.csv", pictures: int = 3) -> Path:
        layouts.pictures(tmp_path, pictures)
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write
