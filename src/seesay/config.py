"""Recipes: TOML <-> dataclasses, overrides, strict: an unknown key is an error with the nearest name."""

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic.dataclasses import dataclass

from seesay.errors import RecipeError, nearest

_STRICT = pydantic.ConfigDict(extra="forbid")


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class VisionConfig:
    """The vision side. `stem_widths` sets the patch of a `conv` stem: 2 ** their number."""

    kind: Literal["vit", "resnet"] = "vit"
    image_size: int | tuple[int, int] = 64
    width: int = 192
    depth: int = 2
    num_heads: int = 4
    mlp_ratio: float = 3.0
    stem: Literal["patch", "conv"] = "conv"
    patch: int = 8
    stem_widths: tuple[int, ...] = (32, 64, 128)
    stem_residuals: tuple[int, ...] = (0, 1, 1)
    activation: str = "relu_squared"
    norms: Literal["plain", "layer", "rms"] = "plain"
    head_norm: Literal["plain", "layer", "rms"] | None = "plain"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        side = self.image_size
        return (side, side) if isinstance(side, int) else side


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class ConnectorConfig:
    """What turns picture features into what the text side reads."""

    kind: Literal["linear", "mlp", "pixel_shuffle"] = "pixel_shuffle"
    factor: int = 2


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class TextConfig:
    """The text side. `context` is the longest sequence, picture tokens included."""

    width: int = 192
    depth: int = 4
    num_heads: int = 4
    num_kv_heads: int | None = None
    mlp_ratio: float = 3.0
    activation: str = "relu_squared"
    gated: bool = False
    norms: Literal["plain", "layer", "rms"] = "plain"
    head_norm: Literal["plain", "layer", "rms"] | None = "plain"
    positions: Literal["rotary", "learned"] = "rotary"
    rotary_base: float = 10_000.0
    context: int = 1024
    dropout: float = 0.0


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class ModelConfig:
    """Which family, and its parts."""

    family: Literal["prefix"] = "prefix"
    vision: VisionConfig = field(default_factory=VisionConfig)
    connector: ConnectorConfig = field(default_factory=ConnectorConfig)
    text: TextConfig = field(default_factory=TextConfig)


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class SourceConfig:
    """One source of a mixture: `scenes`, or a path; what is None is left to the source itself."""

    path: str = "scenes"
    weight: float = 1.0
    columns: dict[str, str] = field(default_factory=dict)
    # For `scenes`:
    objects: tuple[int, int] = (1, 6)
    language: Literal["en", "zh"] = "en"
    questions: int = 8
    captions: int = 1
    kinds: dict[str, float] | None = None
    caption_styles: dict[str, float] | None = None


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class StageConfig:
    """One stage of a curriculum: up to this share of training, sources are overridden so."""

    until: float
    objects: tuple[int, int] | None = None
    questions: int | None = None
    captions: int | None = None
    kinds: dict[str, float] | None = None
    caption_styles: dict[str, float] | None = None


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class DataConfig:
    """What to train on. `row_tokens` is how long a packed row may be, picture tokens included."""

    sources: tuple[SourceConfig, ...] = (SourceConfig(),)
    stages: tuple[StageConfig, ...] = ()
    dev: str | None = None
    tokenizer: Literal["bpe", "character"] = "bpe"
    vocabulary: int = 1024
    row_tokens: int = 192
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    flip: bool = False
    shift: int = 0
    limit_broken: float = 0.05
    workers: int = 1

    @property
    def is_scenes(self) -> bool:
        """Whether all pictures are drawn."""
        return all(source.path == "scenes" for source in self.sources)


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class TrainConfig:
    """How to train: for `minutes` of wall-clock time, or for exactly `steps` (which resumes bit for bit)."""

    minutes: float | None = None
    steps: int | None = None
    batch: int = 64
    accumulate: int = 1
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 0.01
    adamw_learning_rate: float = 0.003
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01
    warmup: float = 0.02
    decay: float = 0.6
    final: float = 0.02
    clip: float = 1.0
    ema: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    fused: bool | None = None
    compile: bool = False
    seed: int = 0
    preflight: int = 30
    log_every: int = 20
    sample_every: float = 30.0
    save_every: float = 60.0
    tensorboard: bool = False


@dataclass(config=_STRICT, frozen=True, kw_only=True)
class Recipe:
    """A whole training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def load(path: Path | str) -> dict[str, Any]:
    """The table in a TOML file, unchecked: `recipe` checks it once overrides are in."""
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError("no such recipe", where=str(path), fix="see recipes/*.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML: {error}", where=str(path), fix="mend that line") from None


def override(table: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """`a.b=c` assignments laid over a table; values are read as TOML, else as plain text."""
    for assignment in assignments:
        key, found, value = assignment.partition("=")
        if not found:
            raise RecipeError("not an assignment", where=assignment, fix="write --set a.b=value")
        *parents, last = key.strip().split(".")
        place = table
        for parent in parents:
            place = _enter(place, parent, key)
        place[last] = _value(value.strip())
    return table


def _enter(place: Any, name: str, key: str) -> Any:
    child = place.setdefault(name, {}) if isinstance(place, dict) else None
    if not isinstance(child, dict):
        raise RecipeError(f"'{name}' is not a table", where=key, fix="name a key inside a table")
    return child


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe(table: dict[str, Any], *, where: str = "recipe") -> Recipe:
    """Check a table and make the recipe of it."""
    try:
        return pydantic.TypeAdapter(Recipe).validate_python(table)
    except pydantic.ValidationError as error:
        raise _mend(error.errors()[0], where) from None


def _mend(problem: Any, where: str) -> RecipeError:
    """The first problem pydantic found, in Seesay's terms."""
    path = [part for part in problem["loc"] if not str(part).startswith("function-")]
    key = ".".join(str(part) for part in path)
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return RecipeError(
            f"unknown key '{key}'", where=where, fix=nearest(str(path[-1]), _known(path[:-1]))
        )
    said = f"'{key}' is {problem.get('input')!r}: {problem['msg']}"
    return RecipeError(said, where=where, fix="give a value of that kind")


def _known(path: Sequence[Any]) -> list[str]:
    """The keys that may stand at a place of a recipe."""
    at: Any = Recipe
    for part in path:
        if isinstance(part, str):
            hint = {f.name: f.type for f in dataclasses.fields(at)}[part]
            at = next((a for a in _inside(hint) if dataclasses.is_dataclass(a)), at)
    return [f.name for f in dataclasses.fields(at)]


def _inside(hint: Any) -> list[Any]:
    """A type hint and the hints within it (`tuple[X, ...]` holds X)."""
    return [hint, *(inner for arg in getattr(hint, "__args__", ()) for inner in _inside(arg))]


def as_table(settings: Any) -> dict[str, Any]:
    """A recipe (or a part of one) as plain tables, without what is None, as TOML can hold."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if v is not None}
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return plain(dataclasses.asdict(settings))


def dump(settings: Recipe) -> str:
    """A recipe as TOML text, whole: every default is written out."""
    import tomli_w

    return tomli_w.dumps(as_table(settings))
