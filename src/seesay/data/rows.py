"""Rows of a source: drawn without end, or read from files, in orders of their own.

Shapes: N pictures, H W pixels, A attributes, P patches, R regions.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from einops import rearrange

from seesay.config import SourceConfig, StageConfig
from seesay.coordinates import boxes_in
from seesay.data import captions, clips, counted, order
from seesay.data.augment import Augment
from seesay.data.boxes import located
from seesay.data.claims import claimed_by, claims
from seesay.data.collate import Row
from seesay.data.fit import Fit
from seesay.data.groups import Groups, grouped, mark, parted
from seesay.data.look import Look
from seesay.data.packing import fill, split
from seesay.data.plan import Plan
from seesay.data.seen import PLAIN, Sight
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
        from seesay.scenes import panels

        self._check(config, fit)
        self.config, self.text, self.fit, self.seed = config, text, fit, seed
        # Drawn pictures are all of one size, and square unless they are of boxes side by side.
        whole = fit.size if config.frames and not fit.cut_frames else fit.whole
        self.side = whole[0] if config.panels else max(whole)
        wide = panels.width(config.panels, self.side) if config.panels else self.side
        self.size = self.side, wide
        self.look = Look(fit, (fit.plan(self.size),))

    @staticmethod
    def _check(config: SourceConfig, fit: Fit) -> None:
        """See that what is drawn can be labelled and held against as the recipe wants it."""
        drawn = f"scenes that move ({config.frames} frames)" if config.frames else ""
        drawn = f"pictures of {config.panels} boxes" if config.panels else drawn
        drawn = f"pictures of {config.grid}² cells" if config.grid else drawn
        if drawn and fit.claimed:
            raise RecipeError(
                f"{drawn} have no captions to hold against them",
                where="data.sources",
                fix="draw others, or leave 'contrastive' and 'matching' out of the objectives",
            )
        if fit.regions and (config.panels or config.grid):
            raise RecipeError(
                f"{drawn} come without boxes around what is in them",
                where="data.sources",
                fix="draw others, or set model.vision.kind to 'vit'",
            )

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
            made = replace(self._row([self._alone(world, index)]), **claimed)
            return greyed(made) if grey else made
        for attempt in range(TRIES):
            examples = self._drawn(world, index + (attempt << 40), rules)
            if examples:
                about = self.fit.about and (stage is None or stage.about)
                return replace(self._row(examples, about=about), **claimed)
        raise RecipeError(
            f"{TRIES} scenes gave no caption and no question of the kinds asked for",
            where="data.sources",
            fix="raise captions or objects, or allow more kinds",
        )

    def _drawn(self, world: Any, index: int, rules: SourceConfig) -> Sequence[Example]:
        """What is said of one picture."""
        from seesay import scenes

        how = {"captions": rules.captions, "kinds": rules.kinds, "height": self.side}
        if rules.panels:
            how |= {"boxes": rules.panels, "statements": rules.questions}
            return scenes.judged(world, index, **how)
        if rules.grid:
            return scenes.asked(world, index, side=rules.grid, questions=rules.questions, **how)
        draw = partial(scenes.examples, caption_styles=rules.caption_styles)
        if rules.frames:
            draw = partial(scenes.moving, frames=rules.frames)
        return draw(
            world,
            index,
            questions=rules.questions,
            captions=rules.captions,
            kinds=rules.kinds,
            resolution=self.side,
        )

    def _alone(self, world: Any, index: int) -> Example:
        """A picture without a word."""
        from seesay import scenes

        if self.config.panels or self.config.grid:
            return self._drawn(world, index, replace(self.config, questions=0, captions=0))[0]
        return scenes.picture(world, index, resolution=self.side)

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
        told = tuple(e for i in kept for e in asked[i]) or tuple(examples[:1])
        return Row(
            pixels,
            tuple(documents[i] for i in kept),
            origin,
            self.labels(examples[0]) if shown else None,
            tuple(objects) or None,
            timing=clips.timing(images, plans),
            instructed=self.fit.instructed,
            boxes=self._boxes(examples[0]) * len(pixels) if self.fit.regions else None,
            grids=self.fit.grids(plans),
            located=tuple(
                located(asked[i][-1], documents[i], view=self.look.views[0]) for i in kept
            )
            if self.fit.located and shown
            else None,
            examples=told,
            sights=look.sights(*told) if shown else (),
        )

    def _look(self, images: Sequence[Picture]) -> Look:
        """How drawn pictures are shown, or the frames of a film."""
        plans = tuple(self.fit.plan(self.size, cut=self.fit.cuts(picture)) for picture in images)
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
        return np.concatenate([self._patches(scene, plan) for scene in shown])

    def _patches(self, scene: Any, plan: Plan) -> np.ndarray:
        """What is in each patch of one picture's tiles (n, A, P)."""
        from seesay import scenes

        assert self.fit.patches is not None
        (high, wide), (rows, columns) = self.fit.patches, plan.grid
        if self.fit.native:
            ((rows, columns),) = self.fit.grids((plan,))
        small = scenes.patches(scene, (high, wide))[None]
        if rows * columns == 1:
            return small
        every = scenes.patches(scene, (rows * high, columns * wide))
        cut = rearrange(every, "A (r h c w) -> (r c) A (h w)", r=rows, h=high, c=columns)
        return cut if self.fit.native else np.concatenate((cut, small))


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
        say: Callable[[str], None] = lambda text: None,
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
        self._captions: dict[int, list[int]] = {}
        self.rows = self._planned(examples, say)

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

    def _planned(self, examples: Sequence[Example], say: Callable[[str], None]) -> Groups:
        """The rows as they were counted before, or counted now and kept."""
        how = {"reasoning": self.reasoning, "mixed": self.mixed}
        path = counted.place(examples, text=self.text, fit=self.fit, **how)
        before = counted.load(path, len(examples)) if path else None
        if before is not None:
            self._captions = {own[0]: own for own in before.turns}
            say(f"{len(examples)} examples make {len(before.rows)} rows: counted before ({path})")
            return before.rows
        rows = self._plan(examples)
        if path:
            turns = Groups.of(list(self._captions.values()))
            counted.save(path, counted.Counted(rows, turns))
        return rows

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
            if len(own) > 1:
                self._captions[members[own[0]]] = [members[i] for i in own]
        return [members[own[0]] for own in several]

    def _length(self, number: int, tokens: Sequence[int]) -> int:
        """Positions that an example may take, or the longest of captions that take turns."""
        several = self._captions.get(number, [])
        if not several:
            return self._document(self.examples[number], tokens).num_inputs
        lengths = [self._document(self.examples[i], tokens).num_inputs for i in several]
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

    def _document(self, example: Example, tokens: Sequence[int]) -> Document:
        turns = example.turns if self.reasoning else straight(example.turns)
        how = {"limit": self.fit.room_of(example, tokens), "where": str(example.origin)}
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
        each = [*range(front, len(tiles))] * (len(documents) if inside else 1)
        places = [*range(front), *each]
        none = np.zeros((0, *self.fit.size, 3), np.uint8)
        shown = np.concatenate([none, *(tiles[i] for i in places)])
        view = look.views[0] if look.plans else PLAIN
        made = Row(
            shown,
            documents,
            str(examples[0].origin),
            instructed=self.fit.instructed,
            boxes=tuple(self.fit.boxes() for _ in shown) if self.fit.regions else None,
            grids=self.fit.grids([look.plans[i] for i in places]),
            located=tuple(
                located(*pair, view=view) for pair in zip(examples, documents, strict=True)
            )
            if self.fit.located
            else None,
            timing=clips.timing([images[i] for i in places], [look.plans[i] for i in places]),
            examples=tuple(examples),
            sights=_sights(look, examples, inside=inside),
        )
        # What is said among pictures is not said of all of them.
        spoken = changed if self.fit.claimed and not inside else ()
        said = [each for e in spoken for each in claimed_by(e)]
        return replace(made, **claims(said, self.text, limit=self.fit.row_tokens))

    def _example(self, number: int, index: int) -> Example:
        """An example of a row, or the caption whose turn it is."""
        several = self._captions.get(number, [number])
        own = [self.examples[i] for i in several]
        return captions.mixed(own, self.seed, index, number, how=self.mixed)

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


def _sights(look: Look, examples: Sequence[Example], *, inside: int) -> tuple[Sight, ...]:
    """How the pictures of a row are seen: those in front by all examples, those inside by each."""
    front = len(look.plans) - inside
    own = [each for example in examples for each in look.sights(example)[front:]]
    return (*look.sights(*examples)[:front], *own) if inside else look.sights(*examples)


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
