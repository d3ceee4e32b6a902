"""The stream: (place, progress) -> Batch, from mixtures of sources, through a curriculum."""

import os
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch.utils.data import Dataset

from seesay.config import DataConfig, StageConfig
from seesay.data import order
from seesay.data.collate import Row, collate
from seesay.data.fit import Fit
from seesay.data.text import Text
from seesay.errors import DataError, PictureError, SeesayError
from seesay.records import Batch

# A batch none of whose pictures can be read is made of a later one's, at most so many steps on.
LATER = 16


@runtime_checkable
class Rows(Protocol):
    """A source: the row at an index, by the rules of a stage of the curriculum."""

    def row(self, index: int, stage: StageConfig | None) -> Row:
        """The same for the same index and stage."""
        ...


class Stream(Dataset):
    """Batches by (place, progress): the same pair gives the same batch on every machine."""

    def __init__(
        self,
        sources: Sequence[Rows],
        *,
        config: DataConfig,
        text: Text,
        fit: Fit,
        batch: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.sources, self.config, self.text, self.fit = sources, config, text, fit
        self.batch, self.rank, self.ranks = batch, rank, ranks
        self.weights = tuple(source.weight for source in config.sources)
        if config.temperature is not None:
            sizes = [len(rows) for rows in sources if isinstance(rows, Sized)]
            grown = [size ** (1 / config.temperature) for size in sizes]
            self.weights = tuple(w * g for w, g in zip(self.weights, grown, strict=True))

    def stage(self, progress: float) -> StageConfig | None:
        """The stage of the curriculum at a share of training; one until 1.0 holds there too."""
        return next((s for s in self.config.stages if progress < s.until or s.until == 1.0), None)

    @property
    def together(self) -> int:
        """Rows that a step takes, of all processes."""
        return self.batch * self.ranks

    def mixture(self, progress: float) -> tuple[float, ...]:
        """The sources' weights at a share of training."""
        stage = self.stage(progress)
        return self.weights if stage is None or stage.weights is None else stage.weights

    def steps(
        self,
        *,
        total: int | None,
        progress: Callable[[int], float],
        start: int = 0,
        place: order.Place | None = None,
    ) -> order.Steps:
        """The steps from number `start` on, which begins at `place` (None: with the first row)."""
        first = order.Place.first(self.mixture(0.0)) if place is None else place
        return order.Steps(start, total, progress, first, self.together, self.mixture)

    def step(self, number: int, progress: float) -> Batch:
        """The batch of a step, had sources their weights of that progress from the first row on."""
        first = order.Place.first(self.mixture(progress))
        return self[first.after(number * self.together), progress]

    def __getitem__(self, key: tuple[order.Place, float]) -> Batch:
        place, progress = key
        rows, skipped = self._rows(place, self.stage(progress))
        if not rows:
            rows = self._instead(place, self.stage(progress), skipped)
        made = collate(
            rows,
            picture_token=self.text.picture,
            picture_tokens=self.fit.picture_tokens,
            pad=self.text.pad,
            room=self.fit.row_tokens if self.fit.packed else None,
        )
        return replace(made, skipped=tuple(skipped))

    def _rows(self, place: order.Place, stage: StageConfig | None) -> tuple[list[Row], list[str]]:
        """This process's rows of a step, and why others that belong to it are not there."""
        # A stretch, not every n-th row: sources take turns, and each process needs its mix of them.
        own = place.after(self.rank * self.batch).read(self.batch)
        rows, skipped = [], []
        for source, index in own:
            row = self._row(source, index, stage, skipped)
            if row is not None:
                rows.append(row)
        return rows, skipped

    def _instead(
        self, place: order.Place, stage: StageConfig | None, skipped: Sequence[str]
    ) -> list[Row]:
        """Rows of a later step. How much may be broken is for training to say, which counts it."""
        steps = (place.after(ahead * self.together) for ahead in range(1, LATER + 1))
        later = (self._rows(each, stage)[0] for each in steps)
        rows = next(filter(None, later), None)
        if rows is None:
            raise DataError(
                f"none of the {len(skipped)} pictures of a batch could be read, nor any of the "
                f"{LATER} batches after it",
                where=skipped[0].splitlines()[0],
                fix="run `seesay data check` on the data",
            )
        return rows

    def _row(
        self, source: int, index: int, stage: StageConfig | None, skipped: list[str]
    ) -> Row | None:
        try:
            return self.sources[source].row(index, stage)
        except PictureError as error:
            skipped.append(str(error))
            return None


@dataclass(frozen=True, slots=True)
class _Made:
    """A batch and where the next step begins. No tuple: torch would make lists of all in it."""

    after: order.Place
    batch: Batch

    def pin_memory(self) -> "_Made":
        return _Made(self.after, self.batch.pin_memory())


class _Told(Dataset):
    """A stream whose errors come as items: torch would rewrap what a worker raises, as text."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __getitem__(self, key: tuple[order.Place, float]) -> _Made | SeesayError:
        try:
            return _Made(key[0].after(self.stream.together), self.stream[key])
        except SeesayError as error:
            return error


def loader(
    stream: Stream, steps: order.Steps, *, workers: int
) -> Iterator[tuple[order.Place, Batch]]:
    """Batches in order, made ahead by worker processes (none: in this one).

    With each comes the place where the step after it begins.

    Raises:
        SeesayError: as the stream does, when the batch's turn comes.
    """
    # Forked workers tokenise on one thread each; unsaid, the tokenizers complain of the fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    made = torch.utils.data.DataLoader(
        _Told(stream),
        batch_size=None,
        sampler=steps,  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread if workers else None,
        pin_memory=torch.cuda.is_available(),
        # Its own, so that resuming does not draw from the random numbers training draws from.
        generator=torch.Generator(),
    )
    for item in made:
        if isinstance(item, SeesayError):
            raise item
        yield item.after, item.batch


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
