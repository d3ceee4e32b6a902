"""Bootstrap: captions of pictures weeded by a filter, and new ones said by a captioner (BLIP).

What the web says of a picture is often not in it. A model that can say what is there and one that
can judge whether it is make cleaner pairs of the same pictures (CapFilt, arXiv:2201.12086, 3.3).
"""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from seesay import writing
from seesay.data import decode, images
from seesay.errors import DataError
from seesay.predict import Answer, Prompt
from seesay.records import Clip, Example, Frame, Picture, identity

TABLE = "captions.jsonl"
Progress = Callable[[int, int], None]


@runtime_checkable
class Captioner(Protocol):
    """Whatever says captions."""

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """A caption for each prompt without a question."""
        ...


@runtime_checkable
class Filter(Protocol):
    """Whatever judges captions."""

    def match(self, images: Sequence[Picture], texts: Sequence[str]) -> np.ndarray:
        """How likely each text is true of its picture."""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """A caption of a picture, how likely the filter holds it, and whether it was `made` here."""

    picture: Picture
    caption: str
    made: bool
    match: float
    origin: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How many captions were given and made, how many of each are kept, and of what pictures."""

    pictures: int
    pictures_left: int
    given: int
    given_kept: int
    made: int
    made_kept: int


def bootstrap(
    examples: Sequence[Example],
    *,
    filter: Filter,
    captioner: Captioner | None = None,
    samples: int = 1,
    batch: int = 64,
    progress: Progress | None = None,
) -> Iterator[Pair]:
    """Each picture's captions, those given and those made, and how likely each is.

    Args:
        captioner: says `samples` new captions of each picture; None: nothing is made. One that
            draws its words says others each time, which tells the filter more than the likeliest.

    Raises:
        DataError: no example is a caption of one picture.
    """
    groups = _by_picture(examples)
    for start in range(0, len(groups), batch):
        some = groups[start : start + batch]
        pictures = [own[0].images[0] for own in some]
        pairs = [(e.images[0], e.answer, False, str(e.origin)) for own in some for e in own]
        if captioner is not None:
            prompts = [Prompt((picture,), ()) for picture in pictures for _ in range(samples)]
            said = [answer.text for answer in captioner.answer(prompts)]
            for place, own in enumerate(some):
                new = dict.fromkeys(said[place * samples : (place + 1) * samples])
                pairs += [(pictures[place], text, True, str(own[0].origin)) for text in new if text]
        likely = filter.match([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        for (picture, caption, made, origin), share in zip(pairs, likely.tolist(), strict=True):
            yield Pair(picture, caption, made, share, origin)
        if progress is not None:
            progress(min(start + batch, len(groups)), len(groups))


def _by_picture(examples: Sequence[Example]) -> list[list[Example]]:
    """The captions of each picture, in the order of the pictures."""
    groups: dict[object, list[Example]] = defaultdict(list)
    for example in examples:
        if example.task == "caption" and len(example.images) == 1:
            groups[identity(example.images[0])].append(example)
    if not groups:
        raise DataError(
            f"none of {len(examples)} examples is a caption of one picture",
            fix="give data with captions; see `seesay data check`",
        )
    return list(groups.values())


def write(pairs: Iterator[Pair], folder: Path, *, threshold: float = 0.5) -> Counts:
    """Leave the pairs that the filter holds likely enough: `captions.jsonl` and `images/`.

    The folder has its own copy of each picture that is left, and can be trained on like any other.

    Raises:
        DataError: the folder is not empty or cannot be written, or no pair is likely enough.
    """
    seen: set[object] = set()
    names: dict[object, str] = {}
    count: Counter[str] = Counter(given=0, given_kept=0, made=0, made_kept=0)
    with writing.new_folder(folder) as unfinished:
        (unfinished / "images").mkdir()
        with (unfinished / TABLE).open("w", encoding="utf-8") as table:
            for pair in pairs:
                kind = "made" if pair.made else "given"
                key = identity(pair.picture)
                seen.add(key)
                count[kind] += 1
                if pair.match < threshold:
                    continue
                count[f"{kind}_kept"] += 1
                if key not in names:
                    names[key] = _copy(pair.picture, unfinished / "images", len(names))
                row = {
                    "image": f"images/{names[key]}",
                    "caption": pair.caption,
                    "made": pair.made,
                    "match": round(pair.match, 4),
                    "origin": pair.origin,
                }
                table.write(json.dumps(row, ensure_ascii=False) + "\n")
        if not names:
            raise DataError(
                f"0 of {sum(count[kind] for kind in ('given', 'made'))} captions are held to be "
                f"true with {threshold} or more",
                fix="lower the threshold, or see with `seesay eval` what the filter knows",
            )
    return Counts(pictures=len(seen), pictures_left=len(names), **count)


def _copy(picture: Picture, folder: Path, number: int) -> str:
    """A copy of a picture, as it is; its name."""
    if isinstance(picture, np.ndarray | Frame | Clip):
        name = f"{number:06d}.png"
        images.load(picture).save(folder / name)
    elif isinstance(picture, Path):
        name = f"{number:06d}{picture.suffix.lower()}"
        shutil.copyfile(picture, folder / name)
    else:
        name = f"{number:06d}.{(decode.sniff(picture) or 'png').lower()}"
        (folder / name).write_bytes(picture)
    return name
