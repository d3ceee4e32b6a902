"""What a run's checkpoint holds: weights, text, golden outputs, model card, resume state."""

import copy
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from seesay import __version__
from seesay.config import as_table
from seesay.model import adapt, checkpoint, golden
from seesay.train import card, optim, state

if TYPE_CHECKING:
    from seesay.train.loop import Run


# Squares down and across of the picture that is replayed, where pictures keep their shapes.
OBLONG = (2, 3)


def write(
    run: "Run", *, optimizers: list[torch.optim.Optimizer], average: optim.Average | None
) -> Path:
    """Write the checkpoint of this moment and remove the one before; its folder."""
    model = averaged(run, average)
    fit = run.stream.fit
    shown = {"size": fit.size, "picture_tokens": fit.picture_tokens}
    recorded = golden.record(model, **shown, grid=OBLONG if fit.native else None)

    def extras(folder: Path) -> None:
        run.text.save(folder)
        (folder / "golden.json").write_text(json.dumps(recorded), encoding="utf-8")
        (folder / "README.md").write_text(card.text(run), encoding="utf-8")
        state.save(
            folder / "resume",
            model=run.model,
            optimizers=optimizers,
            average=average,
            clock=run.clock,
            teacher=run.teacher,
            self_teacher=run.self_teacher,
        )

    kept = run.out / "checkpoints"
    folder = kept / f"{run.clock.step:08}"
    checkpoint.save(folder, weights=model.state_dict(), config=config(run), write=extras)
    for older in kept.iterdir():
        if older != folder and (older.name < folder.name or older.name.startswith(".")):
            shutil.rmtree(older, ignore_errors=True)
    return folder


def averaged(run: "Run", average: optim.Average | None):
    """The model that is saved: averaged weights where there are such, LoRA merged into the rest.

    Of a pupil and its teacher, the teacher, which is the better one throughout (arXiv:2104.14294,
    figure 6).
    """
    if run.self_teacher is not None:
        return adapt.merged(run.self_teacher.model)
    if average is None:
        return adapt.merged(run.model)
    model = copy.deepcopy(run.model)
    model.load_state_dict(average.weights)
    return adapt.merged(model)


def config(run: "Run") -> dict[str, Any]:
    """What `config.json` says."""
    return {
        "model_type": "seesay",
        "architectures": [f"Seesay{run.recipe.model.family.capitalize()}"],
        "seesay_version": __version__,
        "vocabulary": len(run.text),
        "step": run.clock.step,
        "recipe": as_table(run.recipe),
    }
