"""Teacher: a model whose opinion is learned from: another run's, or the average of this one's own.

Shapes: B rows of pictures, M texts, E width of the common space, Q pairs kept from steps before.
"""

import contextlib
import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from seesay.config import Recipe
from seesay.data.text import Text
from seesay.errors import CheckpointError, RecipeError
from seesay.model import adapt, checkpoint, families
from seesay.model.contract import Model
from seesay.sight import square
from seesay.train import init
from seesay.train.contrast import Kept, Pairs, Vectors, joined
from seesay.train.optim import Average
from seesay.tuning import TeacherConfig

# What learns from a teacher, and what that must be able to do.
TAUGHT = {"contrastive": "embed", "affinity": "embed", "masked_lm": "fill"}


class Teacher:
    """A model that is asked and not trained: in evaluation mode, without gradients.

    alpha: what its opinion weighs now. contrasts: whether it is asked for vectors.
    """

    def __init__(
        self,
        model: Model,
        settings: TeacherConfig,
        *,
        contrasts: bool,
        seal: str = "",
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.settings, self.contrasts, self.seal = settings, contrasts, seal
        self.alpha = 0.0
        self.average: Average | None = None
        if settings.momentum:
            self.average = Average(model, settings.momentum)
            # The average's own tensors: what moves there moves here.
            self.average.weights = dict(self.model.state_dict())
        self.kept: Kept | None = None
        self._fresh: list[Kept] = []

    def hold(self, progress: float) -> None:
        """Weigh as is due at this share of training."""
        ramp = self.settings.ramp
        self.alpha = self.settings.weight * (min(1.0, progress / ramp) if ramp else 1.0)

    def take(self, vectors: Vectors, pairs: Pairs) -> None:
        """Its vectors of a batch, whose true pairs are kept from the next step on."""
        if self.settings.queue:
            row, true = pairs.row[pairs.true], pairs.true
            self._fresh.append(Kept(vectors.pictures[row], vectors.texts[true], pairs.marks[true]))

    def follow(self, model: Model) -> None:
        """A step was made."""
        if self.average is not None:
            self.average.update(model)
        for fresh in self._fresh:
            both = [fresh] if self.kept is None else [fresh, self.kept]
            sides = (joined(side) for side in zip(*both, strict=True))
            self.kept = Kept(*(side[: self.settings.queue].clone() for side in sides))
        self._fresh = []

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs."""
        if self.average is None:
            return {"seal": torch.tensor(list(self.seal.encode()), dtype=torch.uint8)}
        held = {f"weights.{name}": value for name, value in self.average.weights.items()}
        kept = {} if self.kept is None else self.kept._asdict()
        held |= {f"kept.{name}": value for name, value in kept.items()}
        return held | {"count": torch.tensor(self.average.count)}

    def restore(self, held: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            CheckpointError: it is of another teacher, or of none.
        """
        if self.average is None:
            before = bytes(held["seal"].tolist()).decode() if "seal" in held else "another"
            if before != self.seal:
                what = f"the teacher's weights are {self.seal[:12]}… (SHA-256), not {before[:12]}…"
                raise CheckpointError(what)
            return
        if "count" not in held:
            raise CheckpointError("no teacher's average was saved (train.teacher.momentum)")
        own = {f"weights.{name}": name for name in self.average.weights}
        checkpoint.fill(self.model, {own[k]: v for k, v in held.items() if k in own}, where="")
        self.average.count = int(held["count"])
        device = next(self.model.parameters()).device
        names = [f"kept.{name}" for name in Kept._fields]
        if names[0] in held:
            self.kept = Kept(*(held[name].to(device) for name in names))


def text(recipe: Recipe) -> Text | None:
    """The tokenizer of the run that teaches; None where none does."""
    run = recipe.train.teacher.run
    return None if run is None else Text.open(checkpoint.find(run))


def prepare(recipe: Recipe, model: Model, words: Text) -> Teacher | None:
    """The teacher a recipe asks for, of a model about to be trained; None where it asks for none.

    Raises:
        RecipeError: nothing is learned from it, it cannot do what is asked, or it does not see the
            same pictures and words.
        CheckpointError: it cannot be opened.
    """
    settings = recipe.train.teacher
    wanted = _wanted(recipe)
    if settings.run is None and not settings.momentum:
        if "affinity" in wanted:
            raise RecipeError(
                "'affinity' is learned from a teacher, and there is none",
                where="train.objectives",
                fix="name one: train.teacher.run = 'runs/big'",
            )
        return None
    if not wanted:
        raise RecipeError(
            f"nothing is learned from the teacher: alpha is {settings.weight}",
            where="train.teacher",
            fix="learn by 'contrastive' or 'masked_lm' with an alpha above 0, or by 'affinity'",
        )
    if settings.queue and recipe.model.contrast == "sigmoid":
        raise RecipeError(
            f"a queue of {settings.queue} is for the softmax, and the model has the sigmoid",
            where="train.teacher.queue",
            fix="set it to 0, or model.contrast = 'softmax'",
        )
    contrasts = _contrasts(wanted)
    if settings.run is None:
        return Teacher(copy.deepcopy(model), settings, contrasts=contrasts)
    folder = checkpoint.find(settings.run)
    theirs, stored = init.recipe_of(folder), checkpoint.open_config(folder)
    _check_sees(folder, theirs, recipe, words)
    shape = {"vocabulary": len(words), "picture_token": words.picture}
    teaching = adapt.rebuilt(families.build(theirs.model, **shape), theirs.train.tune)
    checkpoint.fill(
        teaching, checkpoint.open_tensors(folder / checkpoint.WEIGHTS), where=str(folder)
    )
    lacking = sorted(name for name in wanted if TAUGHT[name] not in teaching.can)
    if lacking:
        raise RecipeError(
            f"a teacher of family '{theirs.model.family}' cannot {TAUGHT[lacking[0]]}, which "
            f"'{lacking[0]}' asks of it",
            where=f"train.teacher.run: {folder}",
            fix="name another, or set train.teacher.alpha to 0",
        )
    device = next(model.parameters()).device
    seal = stored["sha256"][checkpoint.WEIGHTS]
    return Teacher(teaching.to(device), settings, contrasts=contrasts, seal=seal)


def rehearsed(recipe: Recipe, build: Callable[[Recipe], Model]) -> Teacher | None:
    """The teacher a recipe asks for, made anew; of the pupil's size where its run is not there."""
    settings = recipe.train.teacher
    if settings.run is None and not settings.momentum:
        return None
    theirs = recipe
    if settings.run is not None:
        with contextlib.suppress(CheckpointError):
            theirs = init.recipe_of(checkpoint.find(settings.run))
    made = Teacher(build(theirs), settings, contrasts=_contrasts(_wanted(recipe)))
    made.hold(1.0)
    return made


def _contrasts(wanted: set[str]) -> bool:
    return bool(wanted & {"contrastive", "affinity"})


def _wanted(recipe: Recipe) -> set[str]:
    """The objectives that a teacher is asked for."""
    settings, objectives = recipe.train.teacher, recipe.train.objectives
    asked = TAUGHT.keys() & objectives if settings.weight else {"affinity"} & objectives.keys()
    return asked | ({"contrastive"} & objectives.keys() if settings.queue else set())


def _check_sees(folder: Path, theirs: Recipe, ours: Recipe, words: Text) -> None:
    """See that a teacher is shown what it was taught by: pictures of its size, its own tokens."""
    where = f"train.teacher.run: {folder}"
    text = Text.open(folder)
    if (text.tokenizer.to_str(), text.template) != (words.tokenizer.to_str(), words.template):
        raise RecipeError(
            f"the teacher's tokenizer ({len(text)} tokens) is not the run's ({len(words)})",
            where=where,
            fix="begin the run anew without other first weights for its text: it then takes over "
            "the teacher's",
        )
    if theirs.data.native != ours.data.native:
        how = ["in their own shapes" if r.data.native else "of one size" for r in (theirs, ours)]
        raise RecipeError(
            f"the teacher looks at pictures {how[0]}, and the run {how[1]}",
            where=where,
            fix=f"set data.tiles to {theirs.data.tiles!r}",
        )
    if theirs.data.native and square(theirs.model) != square(ours.model):
        sides = square(theirs.model), square(ours.model)
        raise RecipeError(
            "a token of the teacher's stands for {0}×{0} pixels, and one of the run's for "
            "{1}×{1}".format(*sides),
            where=where,
            fix="give model.vision the same patches, and model.connector the same factor",
        )
    if not ours.data.native and theirs.model.vision.size != ours.model.vision.size:
        (height, width), (high, wide) = theirs.model.vision.size, ours.model.vision.size
        raise RecipeError(
            f"the teacher looks at pictures of {height}×{width}, and the run at {high}×{wide}",
            where=where,
            fix=f"set model.vision.image_size to [{height}, {width}]",
        )
    if theirs.model.text.context < ours.data.row_tokens:
        raise RecipeError(
            f"the teacher reads {theirs.model.text.context} tokens, and a row has "
            f"{ours.data.row_tokens}",
            where=where,
            fix=f"set data.row_tokens to {theirs.model.text.context} or less",
        )
