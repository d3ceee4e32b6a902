"""Recipes: TOML <-> dataclasses, with overrides. Strict: an unknown key is an error."""

import json
import math
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field
from pydantic.dataclasses import dataclass

from seesay import problems
from seesay.fields import (
    STRICT,
    Activation,
    Count,
    Decay,
    Norm,
    NormOrNone,
    Positive,
    Share,
    Size,
    Weights,
    divides,
)
from seesay.footage import TimeConfig, VideoConfig, check_frames, check_pool
from seesay.overlay import as_table as as_table
from seesay.overlay import dump as dump
from seesay.overlay import load as load
from seesay.overlay import override as override
from seesay.overlay import shipped as shipped
from seesay.sight import MAX_PIXELS, MIN_PIXELS, Pixels, check_native, most_squares, square
from seesay.sight import VisionConfig as VisionConfig
from seesay.tuning import PartConfig, TeacherConfig, TuneConfig
from seesay.views import HeadConfig, SelfDistillConfig

# The least side of drawn pictures that a model is measured on.
DRAWN = 64


def _above_zero(weights: Weights) -> Weights:
    """What weighs nothing is left out: so a recipe takes away what the one below it has."""
    return {name: weight for name, weight in weights.items() if weight}


def _rises(numbers: Sequence[float], name: str) -> None:
    if list(numbers) != sorted(numbers):
        raise ValueError(f"{name} must not fall: {', '.join(str(n) for n in numbers)}")


@dataclass(config=STRICT, frozen=True, kw_only=True)
class ConnectorConfig:
    """What turns picture features into what the text side reads."""

    kind: Literal[
        "linear", "mlp", "pixel_shuffle", "resampler", "position_resampler", "qformer"
    ] = "pixel_shuffle"
    factor: Size = 2
    # Of those that ask: how many learned queries (of a `position_resampler` a square number), and
    # the blocks they go through; those of a `qformer` look at the picture in every so many-th.
    queries: Size = 16
    depth: Size = 2
    cross_every: Size = 2
    # Of a `qformer`, where it is not as the text side is.
    width: Size | None = None
    num_heads: Size | None = None
    mlp_ratio: Positive | None = None
    # Of a `qformer` before a decoder: the queries see the question's words (InstructBLIP).
    instructed: bool = False


@dataclass(config=STRICT, frozen=True, kw_only=True)
class TextConfig:
    """The text side. `context` is the longest sequence, picture tokens included."""

    width: Size = 192
    depth: Annotated[int, Field(ge=0, le=1000)] = 4
    num_heads: Size = 4
    num_kv_heads: Size | None = None
    mlp_ratio: Positive = 2.0
    activation: Activation = "silu"
    gated: bool = True
    norms: Norm = "plain"
    head_norm: NormOrNone = "plain"
    positions: Literal["rotary", "learned"] = "rotary"
    rotary_base: Positive = 10_000.0
    context: Annotated[int, Field(ge=2, le=10_000_000)] = 1024
    dropout: Decay = 0.0

    @pydantic.model_validator(mode="after")
    def _agree(self):
        divides(self.width, self.num_heads, "width", "num_heads")
        divides(self.num_heads, self.num_kv_heads or 1, "num_heads", "num_kv_heads")
        head_width = self.width // self.num_heads
        if self.positions == "rotary" and head_width % 2:
            raise ValueError(f"rotary positions turn pairs, but a head is {head_width} wide: "
                             "make width / num_heads even")  # fmt: skip
        return self


@dataclass(config=STRICT, frozen=True, kw_only=True)
class ModelConfig:
    """Which family, and its parts."""

    family: str = "prefix"  # of the table in model/families.py
    # Classes of each attribute of a patch, where patches have labels (`scenes`: 9, 8, 2, 3, 2; of
    # regions 8, 8, 2, 3, 9).
    patch_classes: tuple[Size, ...] = ()
    # The same of the objects an answer is about (`scenes`: 8, 8, 2, 3, 9), and their most.
    object_classes: tuple[Size, ...] = ()
    num_objects: Size = 2
    # A head that says where in the picture an answer is, as a box.
    box_head: bool = False
    # The words of a question see each other both ways.
    prefix_lm: bool = False
    # `recurrent`: every word looks at the patches; else the picture comes once, before the words.
    attend: bool = True
    # `dual`: the width of the common space, patches -> one vector, how texts and pictures are set
    # against each other, and whether words see only those before them.
    space: Size = 256
    pool: Literal["mean", "class", "attention"] = "attention"
    contrast: Literal["softmax", "sigmoid"] = "softmax"
    causal: bool = True
    # `fusion`: what is added to `dual`: a reader (ALBEF) or a teller (CoCa) of so many blocks that
    # look at the pictures, or both, which share all they can with the text side (BLIP).
    fusion: Literal["reader", "teller", "shared"] = "shared"
    fusion_depth: Count = 2
    # `cross`: 0 where every block looks across; else every so many-th, behind a gate (Flamingo).
    gate_every: Count = 0
    # Part -> run or checkpoint its first weights come from; `all` for the whole model.
    init: dict[str, str] = field(default_factory=dict)
    # Of such parts, what begins anew all the same: names, or patterns of them.
    fresh: tuple[str, ...] = ()
    # What a smaller model takes of a larger one: its first channels and heads, or the largest.
    shrink: Literal["none", "leading", "largest"] = "none"
    vision: VisionConfig = field(default_factory=VisionConfig)
    connector: ConnectorConfig = field(default_factory=ConnectorConfig)
    text: TextConfig = field(default_factory=TextConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    time: TimeConfig = field(default_factory=TimeConfig)


@dataclass(config=STRICT, frozen=True, kw_only=True)
class SourceConfig:
    """One source of a mixture: `scenes`, or a path; what is None is left to the source itself."""

    path: str = "scenes"
    weight: Annotated[float, Field(ge=0)] = 1.0
    # Of a file: at most so many of its examples, drawn by the seed.
    limit: Size | None = None
    columns: dict[str, str] = field(default_factory=dict)
    # Whether the reasoning before an answer is learned too, where the source has any.
    reasoning: bool = True
    # What numbers its texts give boxes in: thousandths of a picture's sides, or pixels of it.
    boxes: Literal["thousandths", "pixels"] = "thousandths"
    # For `scenes`:
    objects: tuple[Size, Size] = (1, 6)
    language: Literal["en", "zh"] = "en"
    questions: Count = 8
    captions: Count = 1
    kinds: Weights | None = None
    caption_styles: tuple[str, ...] | None = None
    # Whether the pictures are shown, or the words alone are learned.
    pictures: bool = True
    # Instead of the picture, all there is to say of it stands before its questions.
    told: bool = False
    # Least and most examples that stand before another of their kind, in one conversation.
    shots: tuple[Count, Count] = (0, 0)
    # Of `scenes` with shots, the share of rows whose answers are names made up for that row.
    bind: Share = 0.0
    # Of `scenes`: pictures of so many boxes side by side, and statements true or false of them.
    panels: Annotated[int, Field(ge=0, le=9)] = 0
    # Of `scenes`: grids of so many cells across and down, and questions from cell to cell.
    grid: Annotated[int, Field(ge=0, le=9)] = 0
    # Of `scenes`: scenes that move, in so many frames; 0: pictures.
    frames: Annotated[int, Field(ge=0, le=64)] = 0
    # Captions to hold against pictures, and the same with a word changed, which makes them false.
    claims: Count = 1
    wrong: Count = 0

    @pydantic.model_validator(mode="after")
    def _agree(self):
        _rises(self.objects, "objects")
        _rises(self.shots, "shots")
        if self.bind and not (self.path == "scenes" and self.shots[1]):
            raise ValueError(f"bind is {self.bind}: names are only bound by shots, of scenes")
        self._check_other_worlds()
        plain = not (self.shots[1] or self.told)
        check_frames(self.frames, drawn=self.path == "scenes", plain=plain)
        if self.limit is not None and self.path == "scenes":
            raise ValueError(f"limit is {self.limit}: scenes are drawn without end")
        if self.told and (self.path != "scenes" or self.pictures):
            raise ValueError("told is true: only scenes are told, and in place of their pictures "
                             "(pictures = false)")  # fmt: skip
        return self

    def _check_other_worlds(self) -> None:
        """See that grids, and boxes side by side, are drawn as they can be."""
        for name in ("panels", "grid"):
            if not (count := getattr(self, name)):
                continue
            if self.path != "scenes" or self.told or self.shots[1]:
                raise ValueError(f"{name} is {count}: they are only drawn, as scenes that are "
                                 "neither told nor shots")  # fmt: skip
            if self.language != "en":
                raise ValueError(f"{name} is {count}: what is said of them is said in English")
        if self.panels and self.grid:
            raise ValueError(f"panels is {self.panels} and grid is {self.grid}: give each a source")


@dataclass(config=STRICT, frozen=True, kw_only=True)
class StageConfig:
    """One stage of a curriculum: up to this share of training, sources are overridden so."""

    until: Annotated[float, Field(gt=0, le=1)]
    # One for each source, in place of theirs.
    weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None
    objects: tuple[Size, Size] | None = None
    questions: Count | None = None
    captions: Count | None = None
    kinds: Weights | None = None
    caption_styles: tuple[str, ...] | None = None
    claims: Count | None = None
    wrong: Count | None = None
    # Whether what answers are about is labelled, where `train.object_weight` asks for it.
    about: bool = True
    # Of drawn pictures without a word, the share shown in grey, where shape is learned by itself.
    grey: Share = 0.0

    @pydantic.model_validator(mode="after")
    def _agree(self):
        if self.objects is not None:
            _rises(self.objects, "objects")
        return self


@dataclass(config=STRICT, frozen=True, kw_only=True)
class DataConfig:
    """What to train on. `row_tokens` is how long a packed row may be, picture tokens included."""

    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)] = (SourceConfig(),)
    stages: tuple[StageConfig, ...] = ()
    # Of files: weights times rows ** (1 / temperature), so that 1 makes every row as likely.
    temperature: Positive | None = None
    dev: str | None = None
    tokenizer: Literal["bpe", "character"] = "bpe"
    vocabulary: Annotated[int, Field(ge=300, le=1_000_000)] = 1024
    row_tokens: Annotated[int, Field(ge=2)] = 192
    # Pictures share a row with others and theirs, where there is room and the family reads it so.
    pack: bool = True
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    # A picture is cut into so many rows and columns of model.vision.image_size, and a small one; or
    # each into as many as suit it (data/resolution.py), which a budget of picture tokens may limit;
    # or it is looked at whole, in its own shape, of so many pixels.
    tiles: Size | tuple[Size, Size] | Literal["best", "split", "native"] = 1
    max_tiles: Size = 4
    min_pixels: Pixels = MIN_PIXELS
    max_pixels: Pixels = MAX_PIXELS
    picture_budget: Count = 0
    sequence_budget: Count = 0
    # How the model reads and says boxes: as shares of what it sees, or its pixels.
    box_text: Literal["thousandths", "pixels"] = "thousandths"
    # Pictures of files changed at random, and their words and boxes with them: data/augment.py.
    flip: bool = False
    turn: bool = False
    recolour: bool = False
    shift: Count = 0
    random_crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    jitter: Share = 0.0
    rand_augment: Count = 0
    magnitude: Annotated[int, Field(ge=0, le=10)] = 5
    # Parts of a picture side by side, as shares of its width: they change places.
    reorder: tuple[tuple[Share, Share], ...] = ()
    # Of several captions of a picture: all, one a visit, or two joined.
    captions: Literal["all", "one", "joined"] = "all"
    limit_broken: Share = 0.05
    video: VideoConfig = field(default_factory=VideoConfig)
    # None: 1, or 0 where it would take a core from the training (two cores or fewer, and no GPU).
    workers: Annotated[int, Field(ge=0, le=1024)] | None = None

    @property
    def chosen(self) -> bool:
        """Whether pictures differ in their tiles, or in their shapes."""
        return isinstance(self.tiles, str)

    @property
    def native(self) -> bool:
        """Whether pictures are looked at in their own shapes."""
        return self.tiles == "native"

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of tiles; of a square picture, where pictures differ in them."""
        tiles = math.isqrt(self.max_tiles) if isinstance(self.tiles, str) else self.tiles
        return (tiles, tiles) if isinstance(tiles, int) else tiles

    def _check_parts(self) -> None:
        """See that what changes places can: parts of one width, in pictures shown whole."""
        ends = [end for part in self.reorder for end in part]
        if ends != sorted(ends) or len(self.reorder) == 1:
            raise ValueError(f"reorder is {self.reorder}: give two parts or more, from left to "
                             "right, as shares of the width")  # fmt: skip
        widths = [end - start for start, end in self.reorder]
        if widths and max(widths) - min(widths) > 1e-3:
            raise ValueError(f"reorder has parts of {min(widths):.3f} and {max(widths):.3f} of the "
                             "width: only parts alike change places")  # fmt: skip
        if widths and (self.fit != "stretch" or self.random_crop < 1 or self.turn):
            raise ValueError("reorder is of pictures shown whole and upright: fit = 'stretch', "
                             "random_crop = 1, turn = false")  # fmt: skip

    @pydantic.model_validator(mode="after")
    def _agree(self):
        endless = any(source.path == "scenes" for source in self.sources)
        if self.temperature is not None and endless:
            raise ValueError("temperature weighs sources by their sizes, and scenes have none")
        if not any(source.weight for source in self.sources):
            raise ValueError("the weights of all sources are 0: give one a share")
        budget = self.picture_budget or self.sequence_budget
        if budget and not self.chosen:
            raise ValueError(f"a budget of {budget} picture tokens is kept by choosing tiles, but "
                             f"tiles is {self.tiles}: write 'best', 'split' or 'native'"
                             )  # fmt: skip
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels is {self.min_pixels}, more than max_pixels, "
                             f"{self.max_pixels}")  # fmt: skip
        self._check_parts()
        _rises([stage.until for stage in self.stages], "until of the stages")
        for number, stage in enumerate(self.stages):
            if stage.weights is None:
                continue
            if len(stage.weights) != len(self.sources):
                raise ValueError(
                    f"stages.{number} has {len(stage.weights)} weights for "
                    f"{len(self.sources)} sources: give one for each"
                )
            if not any(stage.weights):
                raise ValueError(f"the weights of stages.{number} are all 0: give one a share")
        return self


@dataclass(config=STRICT, frozen=True, kw_only=True)
class TrainConfig:
    """How to train: for `minutes` of wall-clock time, or for exactly `steps`.

    With `steps`, a run that was killed and resumed ends bit for bit as one that was not.
    """

    minutes: Positive | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    batch: Size = 64
    chunk: Count = 0  # rows of which features are held at a time; 0: of all
    accumulate: Size = 1
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: Positive = 0.005
    convolution_learning_rate: Positive = 0.05
    adamw_learning_rate: Positive = 0.003
    momentum: Decay = 0.95
    betas: tuple[Decay, Decay] = (0.9, 0.95)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Share = 0.02
    decay: Share = 0.6
    final: Share = 0.02
    clip: Annotated[float, Field(ge=0)] = 1.0
    # What is learned, and how much each weighs: see train/losses.py.
    objectives: Annotated[Weights, pydantic.AfterValidator(_above_zero)] = field(
        default_factory=lambda: {"caption": 1.0}
    )
    patch_weight: Annotated[float, Field(ge=0)] = 0.0
    object_weight: Annotated[float, Field(ge=0)] = 0.0
    box_weight: Annotated[float, Field(ge=0)] = 0.0
    ema: Decay = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    fused: bool | None = None
    compile: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    preflight: Count = 30
    # Whether a run that memory is too small for is refused before it begins.
    check_memory: bool = True
    log_every: Size = 20
    sample_every: Annotated[float, Field(ge=0)] = 30.0
    save_every: Annotated[float, Field(ge=0)] = 60.0
    tensorboard: bool = False
    self_distill: SelfDistillConfig = field(default_factory=SelfDistillConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    parts: tuple[PartConfig, ...] = ()


@dataclass(config=STRICT, frozen=True, kw_only=True)
class Recipe:
    """A whole training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def picture_size(self) -> tuple[int, int]:
        """(height, width) of a picture in pixels, all its tiles together; of a square one, where
        pictures differ."""
        if self.data.native:
            side = math.isqrt(most_squares(self.model, self.data)) * square(self.model)
            return side, side
        (height, width), (rows, columns) = self.model.vision.size, self.data.grid
        return height * rows, width * columns

    @property
    def resolution(self) -> int:
        """The side of drawn pictures to measure on: what the model takes in, or more."""
        return max(DRAWN, *self.picture_size)

    @pydantic.model_validator(mode="after")
    def _agree(self):
        for kind, things in (("patch", "patches"), ("object", "objects")):
            if getattr(self.train, f"{kind}_weight") and not getattr(self.model, f"{kind}_classes"):
                raise ValueError(f"train.{kind}_weight weighs labels of {things}, but "
                                 f"model.{kind}_classes names none")  # fmt: skip
        if self.train.box_weight and not self.model.box_head:
            raise ValueError("train.box_weight weighs boxes told by a head, but model.box_head is "
                             "false")  # fmt: skip
        check_pool(self.model.time, self.data.video, tiles=self.data.tiles)
        high, wide = self.model.vision.size
        if self.data.tiles == "split" and high != wide:
            raise ValueError(f"tiles = 'split' cuts squares, but model.vision.image_size is "
                             f"{high}×{wide}")  # fmt: skip
        if self.data.native:
            check_native(self.model, self.data)
            if self.train.compile:
                raise ValueError("train.compile is true, but with tiles = 'native' no two batches "
                                 "have one shape to compile for: set it to false")  # fmt: skip
        if self.data.row_tokens > self.model.text.context:
            raise ValueError(f"data.row_tokens is {self.data.row_tokens}, more than the "
                             f"{self.model.text.context} of model.text.context")  # fmt: skip
        return self


def recipe(table: dict[str, Any], *, where: str = "recipe") -> Recipe:
    """Check a table and make the recipe of it.

    Raises:
        RecipeError: an unknown key, with the nearest known one; a value of the wrong kind or out
            of range; values that do not go together.
    """
    # Through JSON, because pydantic is strict about numbers and text there, yet takes lists.
    try:
        return _RECIPE.validate_json(json.dumps(table, default=str), strict=True)
    except pydantic.ValidationError as error:
        raise problems.told(error.errors()[0], table, of=Recipe, where=where) from None


_RECIPE = pydantic.TypeAdapter(Recipe)
