"""Memory: the most that reading a data set takes, by layout and by how many rows it has.

python bench/memory.py [--rows 20000] [--bytes 2000] [--layouts jsonl,tar,parquet] [--json]

Each layout is written to a folder of its own and read by a process of its own: `read` makes
examples of it, `plan` counts them (tokens, rows), `again` does so once more from what was kept, and
`look` decodes 500 pictures in random order. Of each: seconds, and the most memory (MB) beyond what
the program took before. A table's rows share 100 pictures; in tars, Arrow and Parquet each has its
own, of `--bytes`. `mapped` are pages of files, which the system takes back where it needs them.
"""

import argparse
import csv
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LAYOUTS = ("csv", "jsonl", "json", "tar", "parquet", "arrow", "classes")
SHARD = 20_000  # samples in a tar or a Parquet file
GROUP = 500  # rows in a row group
SHARED = 100  # pictures of a table
LOOKED = 500


def png(number: int, size: int) -> bytes:
    """A picture that differs from all others, of about so many bytes."""
    from PIL import Image

    held = io.BytesIO()
    Image.new("RGB", (8, 6), (number % 256, number // 256 % 256, 99)).save(held, "PNG")
    data = held.getvalue() + number.to_bytes(8, "big")  # what comes after its end is not looked at
    return data + random.Random(number).randbytes(max(0, size - len(data)))


def row(number: int, most: int) -> dict[str, str]:
    """One of `most` rows, which all differ."""
    asked = f"what is the number of the thing that is shown in row {number}?"
    image = f"images/{number % min(SHARED, most)}.png"
    return {"image": image, "question": asked, "answer": f"it is number {number}"}


def rows(most: int) -> Iterator[dict[str, str]]:
    return (row(number, most) for number in range(most))


def as_csv(folder: Path, most: int, size: int) -> Path:
    with open(folder / "rows.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ["image", "question", "answer"])
        table.writeheader()
        table.writerows(rows(most))
    return folder / "rows.csv"


def as_jsonl(folder: Path, most: int, size: int) -> Path:
    with open(folder / "rows.jsonl", "w") as file:
        file.writelines(json.dumps(each) + "\n" for each in rows(most))
    return folder / "rows.jsonl"


def as_json(folder: Path, most: int, size: int) -> Path:
    with open(folder / "rows.json", "w") as file:
        file.write("[")
        file.writelines(("," if i else "") + json.dumps(each) for i, each in enumerate(rows(most)))
        file.write("]")
    return folder / "rows.json"


def as_tar(folder: Path, most: int, size: int) -> Path:
    for first in range(0, most, SHARD):
        with tarfile.open(folder / f"train-{first // SHARD:05}.tar", "w") as tar:
            for i in range(first, min(most, first + SHARD)):
                said = {k: v for k, v in row(i, most).items() if k != "image"}
                for ending, data in (("png", png(i, size)), ("json", json.dumps(said).encode())):
                    member = tarfile.TarInfo(f"{i:08}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder / "train-*.tar"


def as_parquet(folder: Path, most: int, size: int) -> Path:
    import pyarrow
    import pyarrow.parquet

    for first in range(0, most, SHARD):
        path, file = folder / f"train-{first // SHARD:05}.parquet", None
        for start in range(first, min(most, first + SHARD), GROUP):
            data = _table(range(start, min(most, start + GROUP)), most, size)
            file = file or pyarrow.parquet.ParquetWriter(path, data.schema)
            file.write_table(data)
        if file:
            file.close()
    return folder / "train-*.parquet"


def as_arrow(folder: Path, most: int, size: int) -> Path:
    import pyarrow

    numbers = [range(i, min(most, i + GROUP)) for i in range(0, most, GROUP)]
    schema = _table(numbers[0], most, size).schema
    with pyarrow.ipc.new_stream(folder / "rows.arrow", schema) as file:
        for each in numbers:
            file.write_table(_table(each, most, size))
    return folder / "rows.arrow"


def _table(numbers: range, most: int, size: int):  # noqa: ANN202 - pyarrow's
    import pyarrow

    several = [row(i, most) for i in numbers]
    columns = {name: [each[name] for each in several] for name in ("question", "answer")}
    images = [{"bytes": png(i, size), "path": None} for i in numbers]
    return pyarrow.table({"image": images, **columns})


def as_classes(folder: Path, most: int, size: int) -> Path:
    for i in range(most):
        inner = folder / f"class{i % 50}"
        inner.mkdir(exist_ok=True)
        (inner / f"{i}.png").write_bytes(png(i, 0))
    return folder


class Meter:
    """The most memory since it was last asked: of this process's own, and with mapped pages."""

    def __init__(self) -> None:
        self.most = [0.0, 0.0]
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._look()
            time.sleep(0.02)

    def _look(self) -> list[float]:
        lines = Path("/proc/self/status").read_text().splitlines()
        held = {line.split(":")[0]: line.split() for line in lines}
        now = [int(held[name][1]) / 1000 for name in ("RssAnon", "VmRSS")]
        self.most = [max(pair) for pair in zip(self.most, now, strict=True)]
        return now

    def of(self, name: str, work: Callable[[], object], before: list[float]) -> object:
        """Do some work, and print what it took beyond `before`."""
        self.most, begun = [0.0, 0.0], time.perf_counter()
        made = work()
        self._look()
        own, all = (most - first for most, first in zip(self.most, before, strict=True))
        seconds = time.perf_counter() - begun
        found = {"what": name, "s": round(seconds, 1), "MB": round(own), "mapped": round(all - own)}
        print(json.dumps(found), flush=True)
        return made


def measured(source: str) -> None:
    """Read a data set, count it, twice, and look at some of it; print what each took."""
    import pyarrow.parquet  # noqa: F401 - or it would count as memory of the data

    from seesay.data import images, sources
    from seesay.data.fit import Fit
    from seesay.data.rows import FileRows
    from seesay.data.text import learn

    fit = Fit(size=(8, 8), picture_tokens=4, row_tokens=96)
    text = learn([f"what is the number of the thing that is shown in row {i}" for i in range(999)])
    meter = Meter()
    before = meter._look()

    def look(examples) -> None:  # noqa: ANN001
        order = random.Random(0)
        for _ in range(LOOKED):
            images.load(examples[order.randrange(len(examples))].images[0])

    given = meter.of("read", lambda: sources.read(source).examples, before)
    for name in ("plan", "again"):
        meter.of(name, lambda: FileRows(given, text=text, fit=fit, seed=0), before)  # type: ignore[arg-type]
    meter.of("look", lambda: look(given), before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=2000, help="of a picture in tars and the like")
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measured(given.measure)
        return
    for layout in given.layouts.split(","):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "data"
            (place / "images").mkdir(parents=True)
            if layout in ("csv", "jsonl", "json"):
                for i in range(min(SHARED, given.rows)):
                    (place / "images" / f"{i}.png").write_bytes(png(i, given.bytes))
            else:
                (place / "images").rmdir()
            source = globals()[f"as_{layout}"](place, given.rows, given.bytes)
            held = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
            done = subprocess.run(
                [sys.executable, __file__, "--measure", str(source)],
                env=os.environ | {"SEESAY_CACHE": folder, "TMPDIR": folder},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        if given.json:
            found = {"layout": layout, "rows": given.rows, "data_MB": round(held / 1e6)}
            print(json.dumps(found | {"steps": steps}), flush=True)
        else:
            told = "; ".join("{what} {s:g} s, {MB} MB (mapped {mapped})".format(**s) for s in steps)
            print(f"{layout:8} {given.rows} rows, {held / 1e6:.0f} MB: {told}", flush=True)


if __name__ == "__main__":
    main()
