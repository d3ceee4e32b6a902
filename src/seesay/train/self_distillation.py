"""Self-distillation: a teacher that is the running average of its pupil, and what it is taught by.

Shapes: N pictures, G views that both see, V views of the pupil, C H W channels and pixels, K
prototypes.
"""

import copy
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor

from seesay import objectives
from seesay.config import Recipe
from seesay.data import crops
from seesay.errors import CheckpointError, RecipeError
from seesay.model import checkpoint
from seesay.model.alone import Vision
from seesay.model.contract import Model
from seesay.model.parts import patch_grid
from seesay.train import parallel

if TYPE_CHECKING:
    from seesay.train.losses import Step

NAME = "self_distill"
# Below this share of what a batch could tell at most, the teacher tells pictures apart no more.
COLLAPSED = 0.02


class SelfDistillation:
    """A pupil's teacher (DINO, arXiv:2104.14294, algorithm 1): its weights, its centre.

    teacher ← m·teacher + (1 − m)·pupil; centre ← c·centre + (1 − c)·mean of the teacher's scores.
    Running statistics of its batch norms are its own: it sees the larger views alone.
    """

    def __init__(self, pupil: Vision, recipe: Recipe, *, twin: Vision | None = None) -> None:
        self.how = recipe.train.self_distill
        self.size = recipe.model.vision.size
        self.small = _small(recipe)
        self.model = (twin or copy.deepcopy(pupil)).train().requires_grad_(False)
        device = next(pupil.parameters()).device
        self.centre_K = torch.zeros(recipe.model.head.prototypes, device=device)
        # The share of training done: schedules go by it.
        self.progress = 0.0
        self._means: list[Tensor] = []
        self._warned = False

    @property
    def temperature(self) -> float:
        """The teacher's: from the first to the second over the warm-up."""
        first, last = self.how.teacher_temperatures
        done = min(1.0, self.progress / self.how.warmup) if self.how.warmup else 1.0
        return first + (last - first) * done

    @property
    def momentum(self) -> float:
        """m: from the recipe's to 1, by a cosine."""
        return 1 - (1 - self.how.momentum) * (math.cos(math.pi * self.progress) + 1) / 2

    def loss(self, step: "Step") -> Tensor:
        """Cross-entropy between the teacher's and the pupil's views of each picture."""
        assert isinstance(step.model, Vision)
        pictures, how = step.batch.pictures_NCHW, self.how
        large = crops.views(
            pictures, count=how.globals, size=self.size, area=how.global_area, how=how
        )
        said = [step.model(large, fused=step.fused)]
        if how.locals:
            small = crops.views(
                pictures, count=how.locals, size=self.small, area=how.local_area, how=how
            )
            said.append(step.model(small, fused=step.fused))
        with torch.no_grad():
            taught_MK = self.model(large, fused=step.fused).float()
            self._means.append(taught_MK.mean(dim=0))
            aims_MK = self._aims(taught_MK)
            step.facts |= told(aims_MK)
        pupil_VNK = rearrange(torch.cat(said), "(V N) K -> V N K", N=len(pictures))
        aims_GNK = rearrange(aims_MK, "(G N) K -> G N K", N=len(pictures))
        return objectives.self_distillation(pupil_VNK / how.temperature, aims_GNK)

    def _aims(self, taught_MK: Tensor) -> Tensor:
        """What the pupil is to say: probabilities."""
        if self.how.balance == "sinkhorn":
            return shared_out(taught_MK / self.temperature)
        return ((taught_MK - self.centre_K) / self.temperature).softmax(dim=-1)

    @torch.no_grad()
    def follow(self, pupil: Model) -> None:
        """After a step of the pupil's: a little of it, and of what was scored, is taken in."""
        own = dict(self.model.named_parameters())
        for name, value in pupil.named_parameters():
            own[name].lerp_(value, 1 - self.momentum)
        mean_K = torch.stack(self._means).mean(dim=0)
        parallel.average([mean_K])
        self.centre_K.lerp_(mean_K, 1 - self.how.centre)
        self._means.clear()

    def state(self) -> dict[str, Tensor]:
        """What a killed run needs of it."""
        held = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        return held | {"centre": self.centre_K}

    def restore(self, tensors: Mapping[str, Tensor], *, where: str) -> None:
        """Put back what `state` gave.

        Raises:
            CheckpointError: it is of another model, or not there.
        """
        held = {k.removeprefix("model."): v for k, v in tensors.items() if k != "centre"}
        checkpoint.fill(self.model, held, where=where)
        centre = tensors.get("centre", torch.empty(0))
        if centre.shape != self.centre_K.shape:
            raise CheckpointError(
                f"the saved centre is of {len(centre)} prototypes, this teacher's of "
                f"{len(self.centre_K)}",
                where=where,
                fix="resume with the recipe the run was started with",
            )
        self.centre_K = centre.to(self.centre_K.device)

    def warning(self, row: Mapping[str, Any]) -> str | None:
        """What is to be said of a log row, once: that the teacher says the same of all pictures."""
        tells, most = row["teacher_tells"], row["teacher_most"]
        collapsed = tells < COLLAPSED * most
        if collapsed == self._warned or not collapsed:
            self._warned = collapsed
            return None
        self._warned = True
        uniform = row["teacher_uniform"] < row["teacher_entropy"]
        how, mend = "always one prototype", "lower the centre's memory, or raise its temperatures"
        if uniform:
            how, mend = "nearly uniform", "lower its temperatures"
        return (
            f"warning: collapsed: the teacher tells pictures apart by {tells:.3f} of {most:.2f} "
            f"nats, its output is {how} (entropy {row['teacher_entropy']:.2f}, "
            f"{row['teacher_uniform']:.2f} from uniform): {mend} (train.{NAME})"
        )


def shared_out(scores_MK: Tensor, *, rounds: int = 3) -> Tensor:
    """Probabilities under which all prototypes are wanted alike (Sinkhorn-Knopp; SwAV,
    arXiv:2006.09882, equation 3; in DINO's place of the centre, appendix D).

    Over the views of this batch and process.
    """
    log_MK = scores_MK
    for _ in range(rounds):
        log_MK = log_MK.log_softmax(dim=0).log_softmax(dim=1)
    return log_MK.exp()


def told(aims_MK: Tensor) -> dict[str, Tensor]:
    """What shows a collapse (section 5.3), in nats, of the teacher's outputs.

    Their entropy, and their KL from uniform: one of them nears 0 in a collapse. And how much they
    tell of which picture it is, entropy of the mean − mean entropy, which does so in any, beside
    the most that it could be.
    """
    number, prototypes = aims_MK.shape
    entropy = torch.special.entr(aims_MK).sum(dim=-1).mean()
    whole = torch.special.entr(aims_MK.mean(dim=0)).sum()
    return {
        "teacher_entropy": entropy,
        "teacher_uniform": math.log(prototypes) - entropy,
        "teacher_tells": whole - entropy,
        "teacher_most": entropy.new_tensor(math.log(min(number, prototypes))),
    }


def begin(
    model: Model, recipe: Recipe, *, build: Callable[[Recipe], Model] | None = None
) -> SelfDistillation | None:
    """The teacher of a run that is to have one; `build` where the model cannot be copied.

    Raises:
        RecipeError: a running average is asked for besides; views do not divide into patches.
    """
    if not recipe.train.objectives.get(NAME):
        return None
    if recipe.train.ema:
        raise RecipeError(
            f"train.ema is {recipe.train.ema}, but the teacher is a running average already, and "
            "is what is saved",
            where="train.ema",
            fix=f"leave it out; its memory is train.{NAME}.momentum",
        )
    twin = None if build is None else build(recipe)
    assert isinstance(model, Vision) and isinstance(twin, Vision | None)
    return SelfDistillation(model, recipe, twin=twin)


def _small(recipe: Recipe) -> tuple[int, int]:
    """The size of smaller views."""
    vision, side = recipe.model.vision, recipe.train.self_distill.local_size
    (height, width), (down, across) = vision.size, patch_grid(vision)
    patch = -(-height // down), -(-width // across)
    if side and vision.kind == "vit" and (side % patch[0] or side % patch[1]):
        raise RecipeError(
            f"views of {side}×{side} do not divide into patches of {patch[0]}",
            where=f"train.{NAME}.local_size",
            fix=f"use a multiple of {patch[0]}",
        )
    half = -(-down // 2) * patch[0], -(-across // 2) * patch[1]
    return (side, side) if side else half
