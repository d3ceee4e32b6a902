"""Recast: which examples can be asked as which task, and what is said where none can."""

import pytest
from evaluate.colours import NAMES, example

from seesay.errors import DataError
from seesay.tasks import TASKS
from seesay.tasks.recast import FROM, NEEDED, recast

CAPTIONS = example("red", "red", "a red one")
CLASSES = example("red", "red", task="classify", options=NAMES)
POLICY = example("red", "red", task="classify", options=("red", "none"))
OPEN = example("red", "red", task="vqa", question="which?")


def test_every_task_says_what_it_needs():
    assert set(NEEDED) == set(TASKS) >= set(FROM)


def test_what_fits_and_what_is_left_out():
    mixed = [*CAPTIONS, *CLASSES, *OPEN]
    assert [e.task for e in recast(mixed, "retrieve")] == ["retrieve"] * 2
    assert [e.answer for e in recast(mixed, "retrieve")] == ["red", "a red one"]
    assert len(recast(mixed, "classify")) == 1
    assert len(recast(mixed, "vqa")) == 2
    assert len(recast([*CLASSES, *POLICY], "moderate")) == 1
    assert recast(OPEN, "vqa") == OPEN


def test_what_does_not_fit():
    with pytest.raises(DataError, match="1 of vqa.* cannot be asked|1 of vqa.* can be asked") as e:
        recast(OPEN, "retrieve")
    assert "none of the examples" in str(e.value) and "--map caption=NAME" in str(e.value)
    with pytest.raises(DataError, match="asked as 'classify'"):
        recast(OPEN, "classify")
    with pytest.raises(DataError, match="allowed, none, safe"):
        recast(CLASSES, "moderate")
    with pytest.raises(DataError, match="did you mean 'retrieve'"):
        recast(OPEN, "retreive")
