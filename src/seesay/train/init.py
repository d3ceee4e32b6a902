"""First weights from other checkpoints: for parts of the model, or for all of it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seesay import config
from seesay.config import Recipe
from seesay.data.text import Text
from seesay.errors import CheckpointError, RecipeError
from seesay.model import adapt, checkpoint
from seesay.overlay import laid_over
from seesay.train import shrink
from seesay.train.parts import near

ALL = "all"
# Tables of words, by tokens: those that are written, and those that a connector is told.
_WORDS = ("text.embedding.weight", "connector.words.embedding.weight")
# What of `train` hangs on heads that may still be to come.
_OF_HEADS = ("patch_weight", "object_weight", "box_weight")
# What of `data` goes with a tokenizer, and what with a whole model.
_WITH_TEXT = ("tokenizer", "vocabulary")
_WITH_ALL = ("row_tokens", "fit", "box_text")
_WITH_TILES = ("tiles", "max_tiles", "picture_budget", "sequence_budget")


class Source(NamedTuple):
    """Where a part's first weights come from: a checkpoint, and what the part is called there."""

    part: str
    folder: Path
    named: str

    @classmethod
    def of(cls, part: str, said: str) -> "Source":
        """Of a line in `model.init`: "runs/clip", or "runs/clip:vision.blocks"."""
        run, colon, named = said.rpartition(":")
        if not colon or Path(said).exists():
            run, named = said, "" if part == ALL else part
        return cls(part, checkpoint.find(run), named)

    @property
    def where(self) -> str:
        """What an error points at."""
        return f"model.init.{self.part}: {self.folder}"

    def holds(self, name: str) -> bool:
        """Whether the part has a parameter of this name."""
        return self.part == ALL or adapt.begins(self.part, name)

    def there(self, name: str) -> str:
        """What a parameter of the part is called in the checkpoint."""
        rest = name if self.part == ALL else name[len(self.part) :]
        return f"{self.named}{rest}" if self.named else rest.lstrip(".")


def sources(init: Mapping[str, str]) -> list[Source]:
    """Where weights come from, `all` first: a part named by itself takes its place in it."""
    return [Source.of(part, init[part]) for part in sorted(init, key=lambda part: part != ALL)]


def _of_text(found: Sequence[Source]) -> Source | None:
    """The one whose words the model knows, and so whose tokenizer it needs."""
    giving = [_last(found, table) for table in _WORDS]
    return next((source for source in giving if source is not None), None)


def _last(found: Sequence[Source], name: str) -> Source | None:
    """The one that a parameter is taken from."""
    return next((source for source in reversed(found) if source.holds(name)), None)


def recipe_of(folder: Path) -> Recipe:
    """The recipe a checkpoint was made by.

    Raises:
        CheckpointError: it cannot be opened, or was made by another Seesay.
    """
    try:
        return config.recipe(checkpoint.open_config(folder)["recipe"])
    except (KeyError, RecipeError) as error:
        raise CheckpointError(
            f"config.json does not hold a recipe this Seesay knows: {error}",
            where=str(folder),
            fix="use the Seesay that wrote it, or copy the checkpoint folder again, whole",
        ) from None


def inherit(table: Mapping[str, Any], *, say: Callable[[str], None]) -> dict[str, Any]:
    """A recipe's table, with what it leaves open taken from the checkpoints it begins with.

    From `all`, the architecture; from there, from `text` or from a teacher, what belongs to the
    tokenizer.

    Raises:
        CheckpointError: one of them cannot be opened.
        RecipeError: the recipe asks for another tokenizer.
    """
    table = copy.deepcopy(dict(table))
    config.recipe(_known(table))  # What is wrong in it is said of what was given.
    model, data = table.setdefault("model", {}), table.setdefault("data", {})
    found = sources(model.get("init", {}))
    if found and found[0].part == ALL:
        theirs = recipe_of(found[0].folder)
        architecture = config.as_table(theirs.model)
        del architecture["init"], architecture["fresh"], architecture["shrink"]
        table["model"] = laid_over(architecture, model)
        _keep(data, theirs, _WITH_ALL)
        if "tiles" not in data:  # Of others, others are the limits.
            _keep(data, theirs, _WITH_TILES)
        if theirs.train.tune.method in adapt.STAYS and "tune" not in table.get("train", {}):
            table.setdefault("train", {})["tune"] = config.as_table(theirs.train.tune)
            say(f"{found[0].folder} was tuned by '{theirs.train.tune.method}': so is this")
    teacher = table.get("train", {}).get("teacher", {}).get("run")
    giving = _of_text(found) or (Source.of("teacher", teacher) if teacher else None)
    if giving is not None:
        _agree_on_words(data, giving)
        _keep(data, recipe_of(giving.folder), _WITH_TEXT)
    return table


def _known(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table without what cannot be judged before its architecture is there."""
    train = table.get("train")
    if not isinstance(train, Mapping):
        return dict(table)
    return {**table, "train": {k: v for k, v in train.items() if k not in _OF_HEADS}}


def _keep(data: dict[str, Any], theirs: Recipe, keys: Sequence[str]) -> None:
    for key in keys:
        data.setdefault(key, getattr(theirs.data, key))


def _agree_on_words(data: Mapping[str, Any], source: Source) -> None:
    theirs = recipe_of(source.folder).data
    for key in _WITH_TEXT:
        given, there = data.get(key), getattr(theirs, key)
        if given is not None and given != there:
            raise RecipeError(
                f"{key} is {given!r} here but {there!r} in the checkpoint, whose tokenizer goes "
                "with its words",
                where=f"data.{key}",
                fix=f"leave it out, or take '{source.part}' from another checkpoint",
            )


def text(recipe: Recipe) -> Text | None:
    """The tokenizer of the checkpoint that the words come from; None where none does.

    Raises:
        CheckpointError: its numbers of tokens disagree.
    """
    giving = _of_text(sources(recipe.model.init))
    if giving is None:
        return None
    said = checkpoint.open_config(giving.folder).get("vocabulary")
    words = Text.open(giving.folder)
    if len(words) != said:
        raise CheckpointError(
            f"tokenizer.json has {len(words)} tokens, config.json says {said}",
            where=giving.where,
            fix="copy the checkpoint folder again, whole",
        )
    return words


def begin(model: nn.Module, recipe: Recipe, *, say: Callable[[str], None]) -> None:
    """Put first weights (`model.init`), and what fine-tuning trains, into a model just built.

    Raises:
        RecipeError: a part is none of the model's, or its shapes are others there.
        CheckpointError: a checkpoint cannot be opened, or lacks what the part needs.
    """
    found, names = sources(recipe.model.init), list(model.state_dict())
    _check_names([(f"init.{s.part}", s.part) for s in found if s.part != ALL], names)
    _check_names([(f"fresh.{i}", name) for i, name in enumerate(recipe.model.fresh)], names)
    _check_words([s for table in _WORDS if table in names if (s := _last(found, table))])
    tuned = {source: _tuned(source, recipe) for source in found}
    # What fine-tuning puts in changes names: to those of checkpoints that were tuned the same way.
    for source in found:
        if not tuned[source]:
            _load(model, source, found, recipe, say=say)
    adapt.apply(model, recipe.train.tune)
    for source in found:
        if tuned[source]:
            _load(model, source, found, recipe, say=say)


def _load(
    model: nn.Module,
    source: Source,
    found: Sequence[Source],
    recipe: Recipe,
    *,
    say: Callable[[str], None],
) -> None:
    own, later = model.state_dict(), found[found.index(source) + 1 :]
    names = [
        name
        for name in own
        if source.holds(name) and not any(other.holds(name) for other in later)
        if not any(adapt.begins(pattern, name) for pattern in recipe.model.fresh)
    ]
    weights = checkpoint.open_tensors(source.folder / checkpoint.WEIGHTS)
    called, how, told = {name: source.there(name) for name in names}, recipe.model.shrink, []
    if how != "none":
        shrink.check(recipe_of(source.folder), recipe, where=source.where)
        called = shrink.blocks(called, model, weights, say=told.append)
    _check_there(called, weights, source)
    taken = {name: weights[there] for name, there in called.items()}
    if how != "none":
        taken = shrink.cut(taken, model, largest=how == "largest", say=told.append)
    for name, value in taken.items():
        _check_fits(name, own[name], value, source)
    model.load_state_dict(taken, strict=False)
    _tell(source, called, weights, recipe, told, say=say)


def _check_names(given: Sequence[tuple[str, str]], names: Sequence[str]) -> None:
    for key, pattern in given:
        if not any(adapt.begins(pattern, name) for name in names):
            what = f"'{pattern}' names no part of the model"
            raise RecipeError(what, where=f"model.{key}", fix=near(pattern, names))


def _check_words(giving: Sequence[Source]) -> None:
    """A token must be the same word in all the tables that are taken."""
    for source in giving[1:]:
        ours, theirs = (Text.open(s.folder).tokenizer.to_str() for s in (giving[0], source))
        if ours != theirs:
            raise RecipeError(
                f"'{giving[0].part}' and '{source.part}' know words by two tokenizers",
                where=source.where,
                fix="train one of them with the other's words: model.init.\"text.embedding\"",
            )


def _tuned(source: Source, recipe: Recipe) -> bool:
    """Whether a checkpoint holds what fine-tuning put in: the same that this recipe puts in."""
    theirs, ours = recipe_of(source.folder).train.tune, recipe.train.tune
    if theirs.method in adapt.STAYS and theirs != ours:
        raise RecipeError(
            f"the checkpoint holds what '{theirs.method}' put in, and this recipe is for "
            f"'{ours.method}', or for other settings of it",
            where=source.where,
            fix=f"give train.tune as it is there: {config.as_table(theirs)}",
        )
    return theirs.method in adapt.STAYS


def _check_there(
    called: Mapping[str, str], weights: Mapping[str, Tensor], source: Source
) -> None:
    absent = [name for name, there in called.items() if there not in weights]
    if absent:
        known = list(weights)
        fix = f"to begin it anew: model.fresh = ['{absent[0].rpartition('.')[0] or absent[0]}']"
        if len(absent) == len(called):
            fix = near(source.named or absent[0], known)
        raise CheckpointError(
            f"{len(absent)} of the {len(called)} tensors of '{source.part}' are not in it, "
            f"'{called[absent[0]]}' first",
            where=source.where,
            fix=fix,
        )


def _check_fits(name: str, here: Tensor, there: Tensor, source: Source) -> None:
    if here.shape != there.shape:
        raise RecipeError(
            f"'{name}' is {tuple(here.shape)} in this recipe's model but {tuple(there.shape)} in "
            "the checkpoint",
            where=source.where,
            fix="give the architecture that it has (its config.json), or name it in model.fresh; a "
            "smaller one can take some of it: model.shrink",
        )
    kind = there.dtype
    if kind.is_floating_point != here.is_floating_point() or kind.is_complex:
        raise CheckpointError(
            f"'{name}' is {here.dtype} in the model but {kind} in the weights",
            where=source.where,
            fix="copy the checkpoint folder again, whole",
        )
    if not torch.isfinite(there.float()).all():
        raise CheckpointError(
            f"'{name}' holds values that are not finite", where=source.where, fix="train it again"
        )


def _tell(
    source: Source,
    called: Mapping[str, str],
    weights: Mapping[str, Tensor],
    recipe: Recipe,
    told: Sequence[str],
    *,
    say: Callable[[str], None],
) -> None:
    """What was taken, what was left there, and what shapes cannot show: other settings."""
    say(f"{source.part} from {source.folder}: {len(called)} tensors")
    for line in told:
        say(line)
    taken = set(called.values())
    held = [name for name in weights if not source.named or adapt.begins(source.named, name)]
    left = [name for name in held if name not in taken]
    if left:
        say(f"  not taken: {left[0]}" + (f" and {len(left) - 1} more" if left[1:] else ""))
    theirs, ours = (config.as_table(r.model) for r in (recipe_of(source.folder), recipe))
    for part in ("vision", "connector", "text"):
        if not any(adapt.begins(part, name) for name in taken & called.keys()):
            continue
        for key, value in ours[part].items():
            there = theirs[part].get(key)
            if key != "init" and there != value:
                say(f"  model.{part}.{key} is {value} here but {there} there")
