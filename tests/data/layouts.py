"""Layouts: the same few pictures and texts in every layout that `read` knows."""

import csv
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
from PIL import Image

Row = Mapping[str, str]


def png(number: int) -> bytes:
    """A small picture of its own colour."""
    file = io.BytesIO()
    colour = (number * 37 % 256, number * 91 % 256, number // 256 % 256)
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def pictures(folder: Path, number: int) -> list[str]:
    """Pictures in `folder`/images, by their names from `folder`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"images/{i:04d}.png" for i in range(number)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(png(i))
    return names


def separated(folder: Path, rows: Sequence[Row], delimiter: str, ending: str) -> Path:
    images = named(folder, rows)
    path = folder / f"train{ending}"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image", *rows[0]], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(images)
    return path


def named(folder: Path, rows: Sequence[Row]) -> list[dict[str, str]]:
    names = pictures(folder, len(rows))
    return [{"image": name, **row} for name, row in zip(names, rows, strict=True)]


def as_csv(folder: Path, rows: Sequence[Row]) -> Path:
    return separated(folder, rows, ",", ".csv")


def as_semicolons(folder: Path, rows: Sequence[Row]) -> Path:
    return separated(folder, rows, ";", ".csv")


def as_tsv(folder: Path, rows: Sequence[Row]) -> Path:
    return separated(folder, rows, "\t", ".tsv")


def as_jsonl(folder: Path, rows: Sequence[Row]) -> Path:
    lines = [json.dumps(row) + "\n" for row in named(folder, rows)]
    path = folder / "train.jsonl"
    path.write_text("".join(lines), "utf-8")
    return path


def as_json(folder: Path, rows: Sequence[Row]) -> Path:
    path = folder / "train.json"
    path.write_text(json.dumps(named(folder, rows), ensure_ascii=False), "utf-8")
    return path


def as_metadata(folder: Path, rows: Sequence[Row]) -> Path:
    """Hugging Face's imagefolder, read by its folder."""
    lines = [{"file_name": row.pop("image"), **row} for row in named(folder, rows)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines), "utf-8")
    return folder


def _parquet(folder: Path, images: Sequence[object], rows: Sequence[Row]) -> Path:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    path = folder / "train-00000-of-00001.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"image": images, **columns}), path)
    return path


def as_parquet(folder: Path, rows: Sequence[Row]) -> Path:
    """Hugging Face's image column."""
    images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(len(rows))]
    return _parquet(folder, images, rows)


def as_parquet_bytes(folder: Path, rows: Sequence[Row]) -> Path:
    return _parquet(folder, [png(i) for i in range(len(rows))], rows)


def as_parquet_names(folder: Path, rows: Sequence[Row]) -> Path:
    return _parquet(folder, pictures(folder, len(rows)), rows)


def as_sidecars(folder: Path, rows: Sequence[Row]) -> Path:
    for name, row in zip(pictures(folder, len(rows)), rows, strict=True):
        path = folder / name
        if list(row) == ["caption"]:
            path.with_suffix(".txt").write_bytes(row["caption"].encode())
        else:
            path.with_suffix(".json").write_text(json.dumps(row), "utf-8")
    return folder


def tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def as_shards(folder: Path, rows: Sequence[Row]) -> Path:
    """Two shards, read by a pattern."""
    half = (len(rows) + 1) // 2
    for shard, part in enumerate((range(half), range(half, len(rows)))):
        files = {}
        for i in part:
            files[f"{i:04d}.png"] = png(i)
            text = rows[i].get("caption")
            files |= {f"{i:04d}.txt": text.encode()} if text else {}
            files |= {} if text else {f"{i:04d}.json": json.dumps(rows[i]).encode()}
        tar(folder / f"train-{shard:03d}.tar", files)
    return folder / "train-*.tar"


LAYOUTS = {
    make.__name__: make
    for make in (
        as_csv,
        as_semicolons,
        as_tsv,
        as_jsonl,
        as_json,
        as_metadata,
        as_parquet,
        as_parquet_bytes,
        as_parquet_names,
        as_sidecars,
        as_shards,
    )
}
