"""A model of half a gigabyte is opened in little more memory than it takes (slow)."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


def test_what_a_model_takes_to_open(root):
    """Weights as they are stored: not a third more. In half of it: less than was read."""
    program = [sys.executable, root / "bench" / "pretrained.py", "--json", "--only", "seesay"]
    ran = subprocess.run(program, capture_output=True, text=True, check=True)
    found = {(row["who"], row["dtype"]): row for row in json.loads(ran.stdout.splitlines()[-1])}
    assert found["seesay", "float32"]["size"] > 400_000_000
    assert found["seesay", "float32"]["share"] < 1.3
    assert found["seesay", "bfloat16"]["bytes"] < found["seesay", "float32"]["size"]
