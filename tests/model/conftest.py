"""What every test of the model gets: one thread."""

import pytest


@pytest.fixture(autouse=True)
def alone(one_thread) -> None:
    """No test here needs more than one."""
