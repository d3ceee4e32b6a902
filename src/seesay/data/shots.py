"""Shots: examples one after another as one conversation, the last of them to be asked.

Shapes: N pictures, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from seesay.config import SourceConfig, StageConfig
from seesay.data import clips, order
from seesay.data.augment import Augment, Change
from seesay.data.collate import Row
from seesay.data.look import Look
from seesay.data.rows import TRIES, FileRows, SceneRows, staged, straight
from seesay.records import Example, Turn


def conversation(example: Example) -> Example:
    """An example behind its shots: each one's pictures, words and answer (Flamingo,
    arXiv:2204.14198, section 2.4), as one conversation; without any, as it is."""
    if not example.shots:
        return example
    several = [_shown(each) for each in (*example.shots, example)]
    return replace(
        example,
        images=tuple(picture for each in several for picture in each.images),
        turns=tuple(turn for each in several for turn in each.turns),
        shots=(),
    )


def _shown(example: Example) -> Example:
    """An example whose pictures in front are shown before its first words."""
    front = len(example.images) - sum(len(turn.pictures) for turn in example.turns)
    turns = example.turns
    if not turns or turns[0].role != "user":
        turns = (Turn("user", ""), *turns)
    first = replace(turns[0], pictures=(0,) * front + turns[0].pictures)
    return replace(example, turns=(first, *turns[1:]))


def kind_of(example: Example) -> tuple[str, str]:
    """What examples must have in common for one to be a shot of the other."""
    return example.task, example.labels.get("kind", "")


class ShotRows:
    """A source's rows, some of them of several examples of one kind, each with its own pictures.

    `config.shots`: the least and the most that stand before the last one. How many and which is a
    function of (seed, index). Those that do not fit a row are left out; without any, the row is
    the source's own.
    """

    def __init__(self, plain: SceneRows | FileRows, *, config: SourceConfig) -> None:
        self.plain, self.config = plain, config
        self.text, self.fit, self.seed = plain.text, plain.fit, plain.seed
        self._pools: dict[tuple[str, str], list[int]] = {}
        if isinstance(plain, FileRows):
            for i, example in enumerate(plain.examples):
                self._pools.setdefault(kind_of(example), []).append(i)

    def __len__(self) -> int:
        """Rows of an epoch."""
        assert isinstance(self.plain, FileRows)
        return len(self.plain)

    def row(self, index: int, stage: StageConfig | None) -> Row:
        """The row at an index."""
        random = np.random.Generator(np.random.PCG64([self.seed, index, _SHOTS]))
        low, high = self.config.shots
        count = int(random.integers(low, high + 1))
        drawn = self._drawn if isinstance(self.plain, SceneRows) else self._read
        examples = drawn(index, count, random, stage) if count else []
        if self.config.told:
            from seesay import scenes

            examples = [scenes.told(e, language=self.config.language) for e in examples]
        about = self.fit.about and (stage is None or stage.about)
        made = self._fitting(examples, index, about=about)
        return self.plain.row(index, stage) if made is None else made

    def _fitting(self, examples: Sequence[Example], index: int, *, about: bool) -> Row | None:
        """As many of the examples as fit a row, the last of them for certain."""
        augment = getattr(self.plain, "augment", None) or Augment()
        changes = [augment.drawn(self.seed, index, i) for i in range(len(examples))]
        for first in range(len(examples) - 1):
            some = examples[first:]
            looks = self._looks(some, changes[first:])
            told = [
                replace(e, turns=tuple(self._told(look.told(e).turns)))
                for e, look in zip(some, looks, strict=True)
            ]
            whole = conversation(replace(told[-1], shots=tuple(told[:-1])))
            tokens = [each for look in looks for each in look.tokens]
            document = self.fit.document(
                self.text, whole.turns, tokens=tokens, where=str(whole.origin)
            )
            if document.num_inputs <= self.fit.row_tokens:
                tiles = [np.zeros((0, *self.fit.size, 3), np.uint8)]
                for pair in zip(some, looks, strict=True):
                    tiles += self._tiles(*pair)
                return Row(
                    np.concatenate(tiles),
                    (document,),
                    str(whole.origin),
                    self._labels(some),
                    self._about(some) if about else None,
                    timing=clips.timing(whole.images, [p for look in looks for p in look.plans]),
                    examples=tuple(some),
                    sights=tuple(
                        each for e, look in zip(some, looks, strict=True) for each in look.sights(e)
                    ),
                    grids=self.fit.grids([plan for look in looks for plan in look.plans]),
                )
        return None

    def _looks(self, examples: Sequence[Example], changes: Sequence[Change]) -> list[Look]:
        """How the pictures of each example are shown, all of them in one conversation."""
        pictures = [picture for example in examples for picture in example.images]
        plans = iter(self.fit.plans(pictures, where=str(examples[-1].origin)))
        own = [tuple(islice(plans, len(example.images))) for example in examples]
        return [
            Look(self.fit, some, change).fitting([example])
            for example, some, change in zip(examples, own, changes, strict=True)
        ]

    def _told(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        return turns if self.config.reasoning else straight(turns)

    def _tiles(self, example: Example, look: Look) -> list[np.ndarray]:
        if isinstance(self.plain, FileRows):
            return self.plain.tiles(example, look)
        return look.tiles(self.fit.pixels(example.images, plans=look.shown))

    def _labels(self, examples: Sequence[Example]) -> np.ndarray | None:
        if isinstance(self.plain, FileRows) or not self.fit.patches or self.config.told:
            return None
        several = [self.plain.labels(example) for example in examples]
        return np.concatenate([labels for labels in several if labels is not None])

    def _about(self, examples: Sequence[Example]) -> tuple[np.ndarray] | None:
        from seesay import scenes

        if isinstance(self.plain, FileRows):
            return None
        return (np.stack([scenes.about(e.scene, e.objects) for e in examples]),)

    def _read(
        self, index: int, count: int, random: np.random.Generator, stage: StageConfig | None
    ) -> list[Example]:
        """The next example of a file, after others of its kind on other pictures."""
        del stage
        assert isinstance(self.plain, FileRows)
        examples = self.plain.examples
        last = examples[order.permuted(index, size=len(examples), seed=self.seed)]
        pool, found = self._pools[kind_of(last)], {_name(last): last}
        for _ in range(TRIES * count):
            other = examples[pool[int(random.integers(len(pool)))]]
            found.setdefault(_name(other), other)
            if len(found) > count:
                break
        return [*list(found.values())[1:], last]

    def _drawn(
        self, index: int, count: int, random: np.random.Generator, stage: StageConfig | None
    ) -> list[Example]:
        """Questions of one kind on drawn pictures, or captions of one style; or bound names."""
        from seesay import scenes

        rules = self.config if stage is None else staged(self.config, stage)
        world = scenes.World(
            seed=self.seed, split="train", objects=rules.objects, language=rules.language
        )
        assert isinstance(self.plain, SceneRows)
        resolution = self.plain.side
        if random.random() < rules.bind:
            last = scenes.bound(world, index, shots=count, resolution=resolution)
            return [*last.shots, last]
        how = _wanted(rules, random)
        made: list[Example] = []
        for attempt in range(1, count + 1 + TRIES if how else 0):
            place = index + (attempt << _APART)
            made += scenes.examples(world, place, resolution=resolution, **how)[:1]
            if len(made) > count:
                break
        return made


def _wanted(rules: SourceConfig, random: np.random.Generator) -> dict[str, Any]:
    """What the examples of one row of scenes are: one kind of question or style of caption."""
    from seesay.scenes.language import STYLES
    from seesay.scenes.questions import chosen

    if not rules.questions and not rules.captions:
        return {}
    if random.random() * (rules.questions + rules.captions) < rules.questions:
        names, sums = chosen(rules.kinds)
        at = random.random() * sums[-1]
        kind = next((n for n, end in zip(names, sums, strict=True) if at < end), names[-1])
        return {"questions": 1, "captions": 0, "kinds": {kind: 1.0}}
    styles = rules.caption_styles or STYLES
    style = styles[int(random.random() * len(styles))]
    return {"questions": 0, "captions": 1, "caption_styles": (style,)}


def _name(example: Example) -> str:
    return example.group or str(example.origin)


# Sets these draws apart from others of one seed and index.
_SHOTS = 0x5407
# Where the scenes of one row lie in the world: beyond those that are passed over for another.
_APART = 48
