"""Measuring: every run on the same examples, task by task; what a model cannot do, and why."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from seesay import evaluate as evaluation
from seesay import predict
from seesay.errors import CapabilityError
from seesay.evaluate.test import fingerprint
from seesay.metrics.evaluation import Evaluation, Scores, merge
from seesay.metrics.intervals import Score
from seesay.records import Example
from seesay.tasks.recast import recast

# In this order scores are shown, the first one first.
ORDER = ("vqa", "caption", "match", "classify", "dialogue", "retrieve", "moderate", "ground")
# Pair by pair it takes the square of the pictures, so only models with vectors are asked.
NO_VECTORS = (
    "the model has no vectors to compare all by; pair by pair: `seesay eval --task retrieve`"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's scores; which task each belongs to; the tasks its model cannot do, and why."""

    evaluation: Evaluation = field(default_factory=Evaluation)
    tasks: dict[str, str] = field(default_factory=dict)

    @property
    def skipped(self) -> dict[str, str]:
        """Task -> why the model was not asked."""
        return self.evaluation.skipped

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return self.evaluation.as_dict() | {"skipped": self.skipped, "tasks": self.tasks}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Measured":
        """What `as_dict` made plain."""
        made = Evaluation(
            scores=_scores(stored["scores"]),
            controls=_scores(stored["controls"]),
            slices={label: _scores(scores) for label, scores in stored["slices"].items()},
            skipped=dict(stored["skipped"]),
        )
        return cls(made, dict(stored["tasks"]))


@dataclass(frozen=True)
class Yardstick:
    """The examples that all are measured on, and what to call them."""

    examples: Sequence[Example]
    name: str

    @cached_property
    def digest(self) -> str:
        """The same for the same examples."""
        made = hashlib.sha256()
        for example in self.examples:
            said = (example.task, example.question, example.answer, example.options)
            made.update(f"{said!r} {fingerprint(example)}\0".encode())
        return made.hexdigest()[:16]

    @cached_property
    def tasks(self) -> dict[str, list[Example]]:
        """The examples by task; captions are also to be retrieved by."""
        found: dict[str, list[Example]] = {}
        for example in self.examples:
            found.setdefault(example.task, []).append(example)
        captions = found.get("caption", [])
        if "retrieve" not in found and len({fingerprint(e) for e in captions}) > 1:
            found["retrieve"] = recast(captions, "retrieve")
        return {task: found[task] for task in ORDER if task in found}

    @property
    def counts(self) -> dict[str, int]:
        """Examples of each task."""
        return {task: len(several) for task, several in self.tasks.items()}

    def measure(self, run: Path) -> Measured:
        """Scores of a run's model.

        Raises:
            CheckpointError: it is not whole.
        """
        predictor = predict.load(run, precision="auto")
        parts: list[Evaluation] = []
        tasks: dict[str, str] = {}
        skipped: dict[str, str] = {}
        for task, examples in self.tasks.items():
            if task == "retrieve" and "embed" not in predictor.model.can:
                skipped[task] = NO_VECTORS
                continue
            try:
                made = evaluation.evaluate(predictor, examples, keep=0)
            except CapabilityError as error:
                skipped[task] = f"{error.what} ({error.fix})" if error.fix else error.what
                continue
            parts.append(made)
            tasks |= dict.fromkeys(made.scores, task)
        del predictor
        if torch.cuda.is_available():  # The next run wants that memory.
            torch.cuda.empty_cache()
        whole = merge(parts)
        return Measured(
            Evaluation(whole.scores, whole.controls, whole.slices, skipped=skipped), tasks
        )


def _scores(stored: Mapping[str, Mapping[str, Any]]) -> Scores:
    return {name: Score(**score) for name, score in stored.items()}
