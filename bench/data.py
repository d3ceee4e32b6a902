"""Reading: pictures per second from JPEG files to batches, beside what else people read with.

python bench/data.py [--data FOLDER] [--pictures 2000] [--size 224] [--workers 0] [--rounds 3]

The same pictures and captions, in one run, in turns: Seesay from a folder and from tar shards;
`datasets` (imagefolder, Pillow in a transform, torch's loader); webdataset (Pillow), where it is
installed. Without `--data`, pictures of 640 × 480 are made that compress as photos do.
"""

import argparse
import csv
import io
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

BATCH = 32


def photo(seed: int) -> bytes:
    """A JPEG whose detail falls off with frequency as that of photos does (1 / f), 640 × 480."""
    noise = np.random.default_rng(seed).standard_normal((480, 640, 3))
    across, down = np.fft.fftfreq(640)[None, :, None], np.fft.fftfreq(480)[:, None, None]
    fall = 1 / np.maximum(np.hypot(across, down), 1 / 640)
    shades = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) * fall, axes=(0, 1)).real
    shades = 128 + 48 * (shades - shades.mean()) / shades.std()
    held = io.BytesIO()
    Image.fromarray(shades.clip(0, 255).astype(np.uint8)).save(held, "JPEG", quality=90)
    return held.getvalue()


def laid_out(folder: Path, pictures: list[bytes]) -> None:
    """As a folder with `metadata.csv`, and as tar shards of 250."""
    (folder / "files").mkdir()
    with open(folder / "files" / "metadata.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file_name", "text"))
        for i, data in enumerate(pictures):
            (folder / "files" / f"{i:06}.jpg").write_bytes(data)
            rows.writerow((f"{i:06}.jpg", f"a picture of number {i}"))
    for shard, first in enumerate(range(0, len(pictures), 250)):
        with tarfile.open(folder / f"train-{shard:03}.tar", "w") as tar:
            for i in range(first, min(first + 250, len(pictures))):
                for ending, data in (("jpg", pictures[i]), ("txt", f"number {i}".encode())):
                    member = tarfile.TarInfo(f"{i:06}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def ours(source: str, *, size: int, workers: int) -> Iterator[int]:
    """Pictures of each batch of one epoch, as training reads them: decoded, fitted, tokenised."""
    from seesay.config import DataConfig, SourceConfig
    from seesay.data import sources
    from seesay.data.fit import Fit
    from seesay.data.rows import FileRows
    from seesay.data.stream import Stream, loader
    from seesay.data.text import learn

    examples = sources.read(source).examples
    text = learn([example.answer for example in examples[:500]], vocabulary=400)
    fit = Fit(size=(size, size), picture_tokens=16, row_tokens=96)
    rows = FileRows(examples, text=text, fit=fit, seed=0)
    config = DataConfig(sources=(SourceConfig(path=source),))
    stream = Stream([rows], config=config, text=text, fit=fit, batch=BATCH)
    steps = stream.steps(total=len(rows) // BATCH, progress=lambda step: 0.0)
    for _, batch in loader(stream, steps, workers=workers):
        yield len(batch.pictures_NCHW)


def transformed(picture: Image.Image, size: int) -> torch.Tensor:
    """What people write: RGB, bicubic, channels first."""
    small = picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1)


def theirs(folder: str, *, size: int, workers: int) -> Iterator[int]:
    """`datasets`, shuffled, its pictures decoded by Pillow in a transform."""
    import datasets  # pyright: ignore[reportMissingImports]

    datasets.disable_progress_bars()
    cache = str(Path(folder).parent / "cache")
    found = datasets.load_dataset("imagefolder", data_dir=folder, split="train", cache_dir=cache)

    def made(rows: dict[str, list[Any]]) -> dict[str, Any]:
        return {"pixels": [transformed(each, size) for each in rows["image"]]}

    shuffled = found.shuffle(seed=0).with_transform(made)
    for batch in DataLoader(shuffled, batch_size=BATCH, num_workers=workers, drop_last=True):  # type: ignore[arg-type]
        yield len(batch["pixels"])


def webdataset(folder: str, *, size: int, workers: int) -> Iterator[int]:
    """webdataset, with its shuffle buffer, its pictures decoded by Pillow."""
    import webdataset as wds  # pyright: ignore[reportMissingImports]

    shards = sorted(str(path) for path in Path(folder).parent.glob("train-*.tar"))
    opened = wds.WebDataset(shards, shardshuffle=100, seed=0)  # pyright: ignore
    samples = opened.shuffle(1000).decode("pil").to_tuple("jpg")
    pairs = samples.map(lambda sample: transformed(sample[0], size))
    for batch in DataLoader(pairs, batch_size=BATCH, num_workers=workers, drop_last=True):
        yield len(batch)


def rate(read: Callable[[], Iterator[int]]) -> float:
    """Pictures per second after the first batch, which pays for what is set up once."""
    batches = read()
    next(batches)
    start = time.perf_counter()
    return sum(batches) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of JPEG files, looked through")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.data:
        paths = sorted(given.data.rglob("*.jp*g"))
        random.Random(0).shuffle(paths)
        pictures = [path.read_bytes() for path in paths[: given.pictures]]
    else:
        pictures = [photo(i % 200) for i in range(given.pictures)]
    with tempfile.TemporaryDirectory() as folder:
        laid_out(Path(folder), pictures)
        how = {"size": given.size, "workers": given.workers}
        files, tars = str(Path(folder) / "files"), str(Path(folder) / "train-*.tar")
        readers: dict[str, Callable[[], Iterator[int]]] = {
            "seesay, files": lambda: ours(files, **how),
            "seesay, tar shards": lambda: ours(tars, **how),
            "datasets, files": lambda: theirs(files, **how),
            "webdataset, tar shards": lambda: webdataset(files, **how),
        }
        found: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(given.rounds):
            for name, read in readers.items():
                try:
                    found[name].append(rate(read))
                except ImportError as error:
                    print(f"{name}: {error}")
        best = statistics.median(found["seesay, files"])
        for name, several in found.items():
            if several:
                middle, least, most = statistics.median(several), min(several), max(several)
                print(f"{name:24} {middle:7.0f} pictures/s ({least:.0f} - {most:.0f}), "
                      f"files of seesay's {best / middle:.2f} times as fast")  # fmt: skip


if __name__ == "__main__":
    main()
