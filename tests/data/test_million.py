"""A million rows: the one that is broken is named, and memory is that of a few thousand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from data.layouts import png

from seesay.data.sources import read

ROOT = Path(__file__).parents[2]
ROWS = 1_000_000
BROKEN = 700_123
# Millions of bytes beyond what the program takes: a list of so many examples takes over a thousand.
MOST = 400


def line(number: int) -> str:
    row = {"image": "a.png", "question": f"what is {number}?", "answer": f"it is {number}"}
    return json.dumps(row)


def as_jsonl(folder: Path) -> Path:
    with open(folder / "rows.jsonl", "w") as file:
        for number in range(1, ROWS + 1):
            file.write((line(number) if number != BROKEN else line(number)[:-1]) + "\n")
    return folder / "rows.jsonl"


def as_json(folder: Path) -> Path:
    with open(folder / "rows.json", "w") as file:
        for number in range(1, ROWS + 1):
            file.write("[,"[number > 1] + (line(number) if number != BROKEN else "[5]") + "\n")
        file.write("]")
    return folder / "rows.json"


def as_csv(folder: Path) -> Path:
    with open(folder / "rows.csv", "w") as file:
        file.write("image,question,answer\n")
        for number in range(2, ROWS + 2):
            more = ",more" if number == BROKEN else ""
            file.write(f"a.png,what is {number}?,it is {number}{more}\n")
    return folder / "rows.csv"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("layout", [as_jsonl, as_json, as_csv])
def test_one_of_a_million_rows_is_broken(tmp_path, layout):
    (tmp_path / "a.png").write_bytes(png(0))
    found = read(layout(tmp_path))
    (broken,) = found.broken
    assert (Path(broken.origin.file).parent, broken.origin.row) == (tmp_path, BROKEN)
    assert len(found.examples) == ROWS - 1 and found.rows == ROWS
    assert found.examples[-1].answer == f"it is {ROWS + (layout is as_csv)}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("layout", "rows"), [("jsonl", ROWS), ("tar", 100_000)])
def test_memory_is_that_of_a_few(layout, rows):
    command = [sys.executable, str(ROOT / "bench" / "memory.py"), "--rows", str(rows), "--json"]
    made = subprocess.run(
        [*command, "--layouts", layout],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(made.stdout)
    assert [step["what"] for step in found["steps"]] == ["read", "plan", "again", "look"]
    assert max(step["MB"] for step in found["steps"]) < MOST
