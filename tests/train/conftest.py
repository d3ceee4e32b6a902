"""Training tests use one thread, do not measure the machine, and learn words from few scenes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from train import runs

from seesay import machine
from seesay.train import rehearsal, setup


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(machine, "measure_matmul", lambda *args, **kwargs: 1e12)
    monkeypatch.setattr(setup, "SCENES_READ", 20)
    monkeypatch.setattr(rehearsal, "SCENES_READ", 20)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # Models this small only wait for a second one.
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Pictures with a text beside each."""
    return runs.pictures(tmp_path_factory.mktemp("pictures"))
