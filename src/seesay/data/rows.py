"""Rows of a source: drawn without end, or read from files, in orders of their own.

Shapes: N pictures, H W pixels, A attributes, P patches, R regions.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from einops import rearrange

from seesay.config import SourceConfig, StageConfig
from seesay.data import order
from seesay.data.augment import Augment, Change
from seesay.data.boxes import located
from seesay.data.claims import claimed_by, claims
from seesay.data.collate import Row, fill, split
from seesay.data.fit import Fit
from seesay.data.text import Document, Text
from seesay.errors import DataError, RecipeError
from seesay.records import Example, Turn, parts

# A file source keeps decoded pictures up to this many bytes in each process that reads it: small
# sets are decoded once.
KEPT_BYTES = 1 << 29
# A scene that no wanted kind of question can ask about is passed over for another, so many times.
TRIES = 16


class SceneRows:
    """Rows drawn without end: a picture, or a film, with its caption and as many questions as fit.
    """

    def __init__(self, config: SourceConfig, *, text: Text, fit: Fit, seed: int) -> None:
        if config.frames and fit.claimed:
            raise RecipeError(
                f"scenes that move ({config.frames} frames) have no captions to hold against them",
                where="data.sources",
                fix="set frames to 0, or leave 'contrastive' and 'matching' out of the objectives",
            )
        self.config, self.text, self.fit, self.seed = config, text, fit, seed

    def row(self, index: int, stage: StageConfig | None) -> Row:
        """The row at an index, by the rules of a stage of the curriculum."""
        from seesay import scenes

        rules = self.config if stage is None else staged(self.config, stage)
        world = scenes.World(
            seed=self.seed, split="train", objects=rules.objects, language=rules.language
        )
        claimed = self._claims(world, index, rules)
        silent = not self.fit.spoken or (not rules.questions and not rules.captions)
        if not self.fit.spoken or (silent and (claimed or self.fit.labelled)):
            # The golden ratio spreads any share evenly over indices.
            grey = stage is not None and index * 0.6180339887498949 % 1 < stage.grey
            picture = scenes.picture(world, index, resolution=max(self.fit.whole))
            made = replace(self._row([picture]), **claimed)
            return greyed(made) if grey else made
        for attempt in range(TRIES):
            draw = scenes.examples
            more: dict[str, Any] = {"caption_styles": rules.caption_styles}
            if rules.frames:
                draw, more = scenes.moving, {"frames": rules.frames}
            examples = draw(
                world,
                index + (attempt << 40),
                questions=rules.questions,
                captions=rules.captions,
                kinds=rules.kinds,
                resolution=max(self.fit.whole),
                **more,
            )
            if examples:
                about = self.fit.about and (stage is None or stage.about)
                return replace(self._row(examples, about=about), **claimed)
        raise RecipeError(
            f"{TRIES} scenes gave no caption and no question of the kinds asked for",
            where="data.sources",
            fix="raise captions or objects, or allow more kinds",
        )

    def _claims(self, world: Any, index: int, rules: SourceConfig) -> dict[str, tuple]:
        """A row's claims, and whether each is true."""
        if not self.fit.claimed or not rules.claims:
            return {}
        from seesay import scenes

        made = scenes.claims(
            world, index, rules.claims, wrong=rules.wrong, caption_styles=rules.caption_styles
        )
        return claims(made, self.text, limit=self.fit.row_tokens)

    def _row(self, examples: Sequence[Example], *, about: bool = False) -> Row:
        from seesay import scenes

        origin, shown = str(examples[0].origin), int(self.config.pictures)
        images, _ = self.fit.pooled(examples[0].images if shown else (), ())
        number = len(images)
        room = self.fit.beside(max(1, number))
        if room < 2:
            raise RecipeError(
                f"{number} pictures take {number * self.fit.each} tokens, a row holds "
                f"{self.fit.row_tokens}",
                where="data.sources",
                fix="raise data.row_tokens, model.connector.factor or model.time.pool, or lower "
                "frames",
            )
        asked = self._asked([e for e in examples if e.turns])
        mark = self.text.picture
        turns = [[turn for e in several for turn in e.turns] for several in asked]
        documents = [
            self.fit.shown(self.text.encode(s, limit=room, where=origin), number,
                           picture_token=mark)
            for s in turns
        ]  # fmt: skip
        kept = fill(documents, room=self.fit.shared(max(1, number)))
        objects = [
            np.stack([scenes.about(e.scene, e.objects) for e in asked[i]]) for i in kept if about
        ]
        return Row(
            # As they are drawn, unless the model takes in oblong pictures.
            self.fit.cut(self.fit.frames(images)),
            tuple(documents[i] for i in kept),
            origin,
            self.labels(examples[0]) if shown else None,
            tuple(objects) or None,
            timing=self.fit.timing(images),
            instructed=self.fit.instructed,
            boxes=self._boxes(examples[0], len(images)) if self.fit.regions else None,
            located=tuple(located(asked[i][-1], documents[i]) for i in kept)
            if self.fit.located and shown
            else None,
        )

    def _asked(self, spoken: Sequence[Example]) -> list[list[Example]]:
        """The examples of each document: one, or all that fit behind the picture told in words."""
        if not self.config.reasoning:
            spoken = [replace(e, turns=straight(e.turns)) for e in spoken]
        if not (self.config.told and spoken):
            return [[e] for e in spoken]
        from seesay import scenes

        # Any of them may be the first.
        first = (spoken[0].origin.row or 0) % len(spoken)
        spoken = [*spoken[first:], *spoken[:first]]
        talk = [scenes.told(spoken[0], language=self.config.language), *spoken[1:]]
        lengths = [len(self.text.encode(e.turns)) for e in talk]
        # Of its last turn's last token alone nothing is read.
        taken, *_ = split(lengths, room=max(self.fit.shared(1) + 1, lengths[0]))
        return [[talk[i] for i in taken]]

    def _boxes(self, example: Example, number: int) -> tuple[np.ndarray, ...]:
        from seesay import scenes

        side = max(self.fit.size)
        return (self.fit.boxes(scenes.regions(example), width=side, height=side),) * number

    def labels(self, example: Example) -> np.ndarray | None:
        """What is in each patch of pictures' tiles (n, A, P), or in each of one's boxes (1, A, R),
        where that is wanted.
        """
        from seesay import scenes

        shown = example.scene.scenes if isinstance(example.scene, scenes.Film) else (example.scene,)
        if self.fit.things:
            # Of scenes that move, nobody says what is in the boxes of a grid.
            return scenes.things(shown[0])[None] if len(shown) == 1 else None
        if not self.fit.patches:
            return None
        return np.concatenate([self._patches(scene) for scene in shown])

    def _patches(self, scene: Any) -> np.ndarray:
        """What is in each patch of one picture's tiles (n, A, P)."""
        from seesay import scenes

        assert self.fit.patches is not None
        (rows, columns), (high, wide) = self.fit.tiles, self.fit.patches
        small = scenes.patches(scene, (high, wide))[None]
        if rows * columns == 1:
            return small
        every = scenes.patches(scene, (rows * high, columns * wide))
        cut = rearrange(every, "A (r h c w) -> (r c) A (h w)", r=rows, h=high, c=columns)
        return np.concatenate((cut, small))


class FileRows:
    """Rows of a finite source: each group of pictures with its questions, split where too long."""

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        text: Text,
        fit: Fit,
        seed: int,
        augment: Augment | None = None,
        reasoning: bool = True,
    ) -> None:
        self.text, self.fit, self.seed = text, fit, seed
        self.augment, self.reasoning = augment or Augment(), reasoning
        if not len(examples):
            raise DataError("a source without examples", fix="run `seesay data check` on it")
        self.augment.check(examples, size=fit.whole)
        examples = [_pooled(example, fit) for example in examples]
        self.examples = examples
        self.rows = self._plan(examples)
        self._kept: dict[str, np.ndarray] = {}
        self._kept_bytes = 0

    def _plan(self, examples: Sequence[Example]) -> list[list[int]]:
        """Indices of the examples of each row."""
        groups: dict[Any, list[int]] = {}
        for i, example in enumerate(examples):
            name = example.group or str(example.origin), self.fit.inside(example.turns)
            groups.setdefault(name, []).append(i)
        rows: list[list[int]] = []
        for members in groups.values():
            if not self.fit.spoken:
                rows.append(members)
                continue
            room = self._room(examples[members[0]])
            lengths = [self._document(examples[i], room).num_inputs for i in members]
            shared = self.fit.shared(len(examples[members[0]].images))
            rows += [[members[i] for i in row] for row in split(lengths, room=shared)]
        return rows

    def _room(self, example: Example) -> int:
        number, inside = len(example.images), self.fit.inside(example.turns)
        if inside > number:
            raise DataError(
                f"{inside} pictures are shown in a conversation with {number}",
                where=str(example.origin),
                fix="give every picture that a turn shows",
            )
        room = self.fit.beside(number)
        if room < 2:
            raise DataError(
                f"{number} pictures take {number * self.fit.each} tokens, a row holds "
                f"{self.fit.row_tokens}",
                where=str(example.origin),
                fix="raise data.row_tokens, or model.connector.factor",
            )
        return room + inside * self.fit.each

    def _document(self, example: Example, room: int) -> Document:
        turns = example.turns if self.reasoning else straight(example.turns)
        document = self.fit.document(self.text, turns, limit=room, where=str(example.origin))
        return self.fit.shown(document, len(example.images), picture_token=self.text.picture)

    def row(self, index: int, stage: StageConfig | None) -> Row:
        """The `index`-th row read; epochs follow each other in orders of their own."""
        del stage
        place = order.permuted(index, size=len(self.rows), seed=self.seed)
        examples = [self.examples[i] for i in self.rows[place]]
        room = self._room(examples[0])
        change = self.augment.drawn(self.seed, index)
        # A word for another may take a token more than was planned: a row may be that much longer.
        changed = [replace(example, turns=change.turns(example.turns)) for example in examples]
        documents: tuple[Document, ...] = ()
        if self.fit.spoken:
            documents = tuple(self._document(example, room) for example in changed)
        pixels, inside = self.pictures(examples[0]), self.fit.inside(examples[0].turns)
        images = examples[0].images
        front = sum(len(parts(picture)) for picture in images[: len(images) - inside])
        if inside:
            # Each document shows anew what is inside of it.
            pixels = np.concatenate((pixels[:front], *[pixels[front:]] * len(documents)))
            images = (*images[:-inside], *images[-inside:] * len(documents))
        shown = self.fit.cut(change.picture(pixels))
        boxes = tuple(self.fit.boxes() for _ in shown) if self.fit.regions else None
        made = Row(
            shown,
            documents,
            str(examples[0].origin),
            instructed=self.fit.instructed,
            boxes=boxes,
            located=self._located(examples, documents, change) if self.fit.located else None,
            timing=self.fit.timing(images),
        )
        # What is said among pictures is not said of all of them.
        spoken = changed if self.fit.claimed and not inside else ()
        said = [each for e in spoken for each in claimed_by(e)]
        return replace(made, **claims(said, self.text, limit=self.fit.row_tokens))

    def _located(
        self, examples: Sequence[Example], documents: Sequence[Document], change: Change
    ) -> tuple[np.ndarray, ...]:
        """Where each document's last answer is, in the picture as it was changed."""
        pairs = zip(examples, documents, strict=True)
        size = self.fit.whole
        return tuple(located(*each, change=change, size=size) for each in pairs)

    def pictures(self, example: Example) -> np.ndarray:
        """An example's pictures and frames (N, H, W, 3), before they are cut into tiles."""
        key = example.group or str(example.origin)
        if key in self._kept:
            return self._kept[key]
        pixels = self.fit.frames(example.images, where=str(example.origin))
        if self._kept_bytes + pixels.nbytes <= KEPT_BYTES:
            self._kept[key] = pixels
            self._kept_bytes += pixels.nbytes
        return pixels


def _pooled(example: Example, fit: Fit) -> Example:
    """An example whose neighbouring frames are one picture, where the model takes them in so."""
    images, turns = fit.pooled(example.images, example.turns)
    if len(images) == len(example.images):
        return example
    return replace(example, images=images, turns=turns)


def greyed(row: Row) -> Row:
    """A row of drawn pictures in grey, whose colours are then unknown."""
    from seesay.scenes.view import COLOUR

    grey_NHW = row.pictures @ np.array([0.299, 0.587, 0.114])  # luma, as JPEG weighs it
    pictures = np.repeat(grey_NHW[..., None], 3, axis=-1).round().astype(np.uint8)
    labels = row.labels
    if labels is not None:
        labels = labels.copy()
        labels[:, COLOUR] = -1
    return replace(row, pictures=pictures, labels=labels)


def straight(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns that answer without reasoning."""
    return tuple(replace(turn, reasoning="") if turn.reasoning else turn for turn in turns)


def staged(source: SourceConfig, stage: StageConfig) -> SourceConfig:
    """A source's settings with a stage's laid over them."""
    names = ("objects", "questions", "captions", "kinds", "caption_styles", "claims", "wrong")
    changes = {name: getattr(stage, name) for name in names if getattr(stage, name) is not None}
    return replace(source, **changes)
