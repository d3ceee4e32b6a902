"""Rows of a source: drawn without end, or read from files, in orders of their own.

Shapes: N pictures, H W pixels, A attributes, P patches, R regions.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from einops import rearrange

from seesay.config import SourceConfig, StageConfig
from seesay.coordinates import boxes_in
from seesay.data import captions, clips, order
from seesay.data.augment import Augment
from seesay.data.boxes import located
from seesay.data.claims import claimed_by, claims
from seesay.data.collate import Row
from seesay.data.fit import Fit
from seesay.data.groups import Groups, grouped, mark, parted
from seesay.data.look import Look
from seesay.data.packing import fill, split
from seesay.data.plan import Plan, Size
from seesay.data.seen import PLAIN
from seesay.data.store import Changed
from seesay.data.text import Document, Text
from seesay.errors import DataError, PictureError, RecipeError
from seesay.records import Example, Picture, Turn

# A file source keeps decoded pictures up to this many bytes in each process that reads it: small
# sets are decoded once.
KEPT_BYTES = 1 << 29
# And what becomes of so many pictures, where that has to be read from their headers.
KEPT_PLANS = 1 << 17
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
        # Drawn pictures are square, and all of one size.
        self.side = max(fit.size if config.frames and not fit.cut_frames else fit.whole)
        self.look = Look(fit, (fit.plan((self.side, self.side)),))

    @property
    def plan(self) -> Plan:
        """What becomes of a drawn picture."""
        return self.look.plans[0]

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
            picture = scenes.picture(world, index, resolution=self.side)
            made = replace(self._row([picture]), **claimed)
            return greyed(made) if grey else made
        draw = partial(scenes.examples, caption_styles=rules.caption_styles)
        if rules.frames:
            draw = partial(scenes.moving, frames=rules.frames)
        for attempt in range(TRIES):
            examples = draw(
                world,
                index + (attempt << 40),
                questions=rules.questions,
                captions=rules.captions,
                kinds=rules.kinds,
                resolution=self.side,
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
        images, _ = clips.pooled(examples[0].images, (), pool=self.fit.pool)
        look = self._look(images)
        tokens = sum(look.tokens)
        room, mark, marks = self.fit.beside(tokens), self.text.picture, tokens * shown
        if room < 2:
            raise RecipeError(
                f"{len(images)} pictures take {tokens} tokens, a row holds {self.fit.row_tokens}",
                where="data.sources",
                fix="raise data.row_tokens, model.connector.factor or model.time.pool, or lower "
                "frames",
            )
        asked = self._asked([e for e in examples if e.turns])
        turns = [[turn for e in several for turn in self._told(e).turns] for several in asked]
        documents = [
            self.fit.shown(self.text.encode(s, limit=room, where=origin), marks, picture_token=mark)
            for s in turns
        ]
        kept = fill(documents, room=self.fit.shared(tokens))
        objects = [
            np.stack([scenes.about(e.scene, e.objects) for e in asked[i]]) for i in kept if about
        ]
        images, plans = (images, look.plans) if shown else ((), ())
        # As they are drawn, unless the model takes in oblong pictures.
        tiles = look.tiles(self.fit.pixels(images, plans=plans))
        pixels = np.concatenate([np.zeros((0, *self.fit.size, 3), np.uint8), *tiles])
        return Row(
            pixels,
            tuple(documents[i] for i in kept),
            origin,
            self.labels(examples[0]) if shown else None,
            tuple(objects) or None,
            timing=clips.timing(images, plans),
            instructed=self.fit.instructed,
            boxes=self._boxes(examples[0]) * len(pixels) if self.fit.regions else None,
            located=tuple(
                located(asked[i][-1], documents[i], view=self.look.views[0]) for i in kept
            )
            if self.fit.located and shown
            else None,
        )

    def _look(self, images: Sequence[Picture]) -> Look:
        """How drawn pictures are shown, or the frames of a film."""
        size = (self.side, self.side)
        plans = tuple(self.fit.plan(size, cut=self.fit.cuts(picture)) for picture in images)
        return Look(self.fit, plans)

    def _told(self, example: Example) -> Example:
        """An example with its boxes in terms of what is shown."""
        return self.look.told(example) if self.config.pictures else example

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
        room = self.fit.shared(self.plan.tokens) + 1
        taken, *_ = split(lengths, room=max(room, lengths[0]))
        return [[talk[i] for i in taken]]

    def _boxes(self, example: Example) -> tuple[np.ndarray, ...]:
        from seesay import scenes

        how = {"width": self.side, "height": self.side, "map": self.look.views[0].map}
        return (self.fit.boxes(scenes.regions(example), **how),)

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
        (plan, *_) = self._look(example.images).plans
        return np.concatenate([self._patches(scene, plan.grid) for scene in shown])

    def _patches(self, scene: Any, grid: Size) -> np.ndarray:
        """What is in each patch of one picture's tiles (n, A, P)."""
        from seesay import scenes

        assert self.fit.patches is not None
        (rows, columns), (high, wide) = grid, self.fit.patches
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
        mixed: str = "all",
    ) -> None:
        self.text, self.fit, self.seed = text, fit, seed
        self.augment, self.reasoning, self.mixed = augment or Augment(), reasoning, mixed
        if not len(examples):
            raise DataError("a source without examples", fix="run `seesay data check` on it")
        self._kept: dict[str, np.ndarray] = {}
        self._kept_bytes = 0
        self._plans: dict[str, tuple[Plan, ...]] = {}
        self.augment.check(examples, size=None if fit.chosen else fit.whole)
        if fit.pool > 1:
            examples = Changed(examples, partial(clips.of, pool=fit.pool))
        self.examples = examples
        self._check_boxes()
        # Of captions that take turns, the first stands for all.
        self._captions: dict[int, list[Example]] = {}
        self.rows = self._plan(examples)

    def _check_boxes(self) -> None:
        """See that boxes can be said, and read again, in terms of what is shown."""
        for example in () if self.fit.says_as_given else self.examples:
            texts = [turn.text for turn in example.turns]
            if any(map(boxes_in, texts)):
                with contextlib.suppress(PictureError):  # which training tells of
                    self.look(example).told(example)
            elif example.task == "ground" and boxes_in(example.answer, bare=True):
                raise DataError(
                    f"the box '{example.answer}' has no brackets: said of what the model is shown, "
                    "it could not be told from other numbers",
                    where=str(example.origin),
                    fix="write it as (left,top),(right,bottom), or data.fit = 'stretch' and "
                    "data.box_text = 'thousandths'",
                )

    def __len__(self) -> int:
        """Rows of an epoch."""
        return len(self.rows)

    def _plan(self, examples: Sequence[Example]) -> Groups:
        """Indices of the examples of each row."""
        marks = np.fromiter(map(self._mark, examples), np.uint64, len(examples))
        groups = grouped(marks)
        if self.mixed != "all":
            groups = Groups.of([self._in_turn(members) for members in groups])
        if not self.fit.spoken:
            return groups
        lengths, rooms = np.zeros(len(examples), np.int32), np.zeros(len(examples), np.int32)
        for members in groups:
            tokens = self._tokens(examples[members[0]])
            lengths[members] = [self._length(i, tokens) for i in members]
            rooms[members] = self.fit.shared(sum(tokens))
        return parted(groups, lengths, rooms)

    def _mark(self, example: Example) -> int:
        """What examples have in common that share a picture, and show as many inside."""
        return mark(f"{self.fit.inside(example.turns)} {_name(example)}")

    def _in_turn(self, members: Sequence[int]) -> list[int]:
        """The examples of a picture, of captions that take turns only the first."""
        several = captions.alike([self.examples[i] for i in members])
        for own in several:
            self._captions[members[own[0]]] = [self.examples[members[i]] for i in own]
        return [members[own[0]] for own in several]

    def _length(self, number: int, tokens: Sequence[int]) -> int:
        """Positions that an example may take, or the longest of captions that take turns."""
        several = self._captions.get(number, [])
        if not several:
            return self._document(self.examples[number], tokens).num_inputs
        lengths = [self._document(each, tokens).num_inputs for each in several]
        # What is too long for a row is cut.
        return min(captions.longest(lengths, how=self.mixed), self.fit.shared(sum(tokens)))

    def look(self, example: Example) -> Look:
        """How an example's pictures are shown, unchanged."""
        key = _name(example)
        if key not in self._plans:
            plans = self.fit.plans(example.images, where=str(example.origin))
            if not self.fit.measures or len(self._plans) >= KEPT_PLANS:
                return Look(self.fit, plans)
            self._plans[key] = plans
        return Look(self.fit, self._plans[key])

    def _tokens(self, example: Example) -> Sequence[int]:
        """Of each of its pictures; the least where a size cannot be read: that one is skipped."""
        if not self.fit.chosen:
            return self.fit.tokens(example.images)
        try:
            return self.look(example).tokens
        except PictureError:
            return (self.fit.picture_tokens,) * len(example.images)

    def _room(self, example: Example, tokens: Sequence[int]) -> int:
        """Tokens that a document may have, those of the pictures inside it included."""
        number, inside = len(example.images), self.fit.inside(example.turns)
        if inside > number:
            raise DataError(
                f"{inside} pictures are shown in a conversation with {number}",
                where=str(example.origin),
                fix="give every picture that a turn shows",
            )
        room = self.fit.beside(sum(tokens))
        if room < 2:
            fewer = ", or set data.sequence_budget" if self.fit.chosen else ""
            raise DataError(
                f"{number} pictures take {sum(tokens)} tokens, a row holds {self.fit.row_tokens}",
                where=str(example.origin),
                fix=f"raise data.row_tokens, or model.connector.factor{fewer}",
            )
        return room + sum(tokens[number - inside :])

    def _document(self, example: Example, tokens: Sequence[int]) -> Document:
        turns = example.turns if self.reasoning else straight(example.turns)
        how = {"limit": self._room(example, tokens), "where": str(example.origin)}
        document = self.fit.document(self.text, turns, tokens=tokens, **how)
        return self.fit.shown(document, sum(tokens), picture_token=self.text.picture)

    def row(self, index: int, stage: StageConfig | None) -> Row:
        """The `index`-th row read; epochs follow each other in orders of their own."""
        del stage
        place = order.permuted(index, size=len(self.rows), seed=self.seed)
        examples = [self._example(i, index) for i in self.rows[place]]
        look = replace(self.look(examples[0]), change=self.augment.drawn(self.seed, index))
        look = look.fitting(examples)
        # A word for another may take a token more than was planned: a row may be that much longer.
        changed = [look.told(example) for example in examples]
        documents: tuple[Document, ...] = ()
        if self.fit.spoken:
            documents = tuple(self._document(example, look.tokens) for example in changed)
        tiles, inside = self.tiles(examples[0], look), self.fit.inside(examples[0].turns)
        front, images = len(tiles) - inside, examples[0].images
        # Each document shows anew what is inside of it.
        places = [*range(front), *[*range(front, len(tiles))] * len(documents)]
        none = np.zeros((0, *self.fit.size, 3), np.uint8)
        shown = np.concatenate([none, *(tiles[i] for i in places)])
        view = look.views[0] if look.plans else PLAIN
        made = Row(
            shown,
            documents,
            str(examples[0].origin),
            instructed=self.fit.instructed,
            boxes=tuple(self.fit.boxes() for _ in shown) if self.fit.regions else None,
            located=tuple(
                located(*pair, view=view) for pair in zip(examples, documents, strict=True)
            )
            if self.fit.located
            else None,
            timing=clips.timing([images[i] for i in places], [look.plans[i] for i in places]),
        )
        # What is said among pictures is not said of all of them.
        spoken = changed if self.fit.claimed and not inside else ()
        said = [each for e in spoken for each in claimed_by(e)]
        return replace(made, **claims(said, self.text, limit=self.fit.row_tokens))

    def _example(self, number: int, index: int) -> Example:
        """An example of a row, or the caption whose turn it is."""
        several = self._captions.get(number, [self.examples[number]])
        return captions.mixed(several, self.seed, index, number, how=self.mixed)

    def tiles(self, example: Example, look: Look) -> list[np.ndarray]:
        """The tiles of each of an example's pictures (N, H, W, 3), those of a clip's frames too."""
        return look.tiles(self._pixels(example, look.shown))

    def _pixels(self, example: Example, plans: Sequence[Plan]) -> list[np.ndarray]:
        """Its pictures before they are cut; they are kept, unless a part of them is shown."""
        whole, made = self.look(example).plans, {}
        keys = [f"{_name(example)}#{i}" for i in range(len(plans))]
        for i, key in enumerate(keys):
            if plans[i] == whole[i] and key in self._kept:
                made[i] = self._kept[key]
        wanted = [i for i in range(len(plans)) if i not in made]
        images, where = [example.images[i] for i in wanted], str(example.origin)
        read = self.fit.pixels(images, plans=[plans[i] for i in wanted], where=where)
        for i, pixels in zip(wanted, read, strict=True):
            made[i] = pixels
            if plans[i] == whole[i] and self._kept_bytes + pixels.nbytes <= KEPT_BYTES:
                self._kept[keys[i]] = pixels
                self._kept_bytes += pixels.nbytes
        return [made[i] for i in range(len(plans))]


def _name(example: Example) -> str:
    return example.group or str(example.origin)


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
