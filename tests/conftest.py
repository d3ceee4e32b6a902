"""What every test gets: shapes and types checked at run time, fixed seeds, the test material."""

import atexit
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

# Before anything imports seesay: from here on every annotated function of it is checked.
_hook = jaxtyping.install_import_hook("seesay", "typecheck.checked")

os.environ["MPLBACKEND"] = "Agg"
os.environ["SEESAY_NO_TUNABLES"] = "1"  # A test process must not start itself anew.
os.environ["HF_HUB_OFFLINE"] = "1"
# What is fetched and counted here is nobody's.
os.environ["SEESAY_CACHE"] = tempfile.mkdtemp(prefix="seesay-tests-")
atexit.register(shutil.rmtree, os.environ["SEESAY_CACHE"], ignore_errors=True)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from seesay.machine import cores  # noqa: E402

ROOT = Path(__file__).parents[1]

# A busy machine is no reason to fail.
settings.register_profile(
    "seesay", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("seesay")

# What several processes run at once shares the cores (`make test`).
torch.set_num_threads(max(1, cores() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random numbers in each test, whichever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny tensors are fastest on one thread, above all where other work wants the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def material() -> Path:
    """The folder of small real data sets, or a skip."""
    folder = Path(os.environ.get("SEESAY_MATERIAL", ROOT.parent / "shared" / "material"))
    if not folder.is_dir():
        pytest.skip(f"no test material at {folder}")
    return folder
