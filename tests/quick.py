"""Quick: what tests of whole commands share."""

from collections.abc import Iterator

import pytest
import torch

from seesay import machine
from seesay.train import setup


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """One thread, which is all that models this small can use; the machine is not measured."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "measure_matmul", lambda *args, **kwargs: 1e12)
        patch.setattr(setup, "SCENES_READ", 20)
        yield
    torch.set_num_threads(threads)
