"""Watch: what goes wrong in training without a word: collapse, chance, gates that stay shut.

Shapes: Y vocabulary.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seesay.records import Batch

if TYPE_CHECKING:
    from seesay.train.loop import Run

# Before this share of training and so many steps nothing is said, and nothing that was not so in so
# many log rows, one after the other.
SETTLED, STEPS, LOOKS = 0.2, 50, 3
# Vectors whose mean is so long (squared) are nearly one; 1 over their number where they are not.
ALIKE = 0.95
# A gate of tanh less than this lets nothing through.
SHUT = 0.01
# Shares right below so many times those by chance are no better, where that leaves room below 1.
BARELY, ROOM = {"contrastive": 1.5, "matching": 1.04}, 0.1
# Losses of words, which must come to lie below what knowing how often each comes gives.
_WORDS = ("caption", "masked_lm")
# Batches whose words are counted for that.
COUNTED = 50


class Watch:
    """Looks at log rows and at the model, and says each thing once.

    Args:
        before: the rows of the log so far, where a run goes on.
    """

    def __init__(self, run: "Run", *, before: Iterable[Mapping[str, Any]] = ()) -> None:
        self.run, self.said = run, {row["warning"] for row in before if "warning" in row}
        self.warmup = max(SETTLED, run.recipe.train.warmup)
        self._bad: dict[str, int] = {}
        self._first: dict[str, float] = {}
        for row in before:
            self._begin(row)
        self._counts: dict[str, Tensor] = {}
        self._batches = 0

    def count(self, batch: Batch) -> None:
        """Take in how often words come."""
        self._batches += 1
        if self._batches > COUNTED:
            return
        words = {"caption": batch.targets_BT[batch.targets_BT >= 0]}
        if batch.claims_Mt is not None and batch.claims_real_Mt is not None:
            tokens = batch.claims_Mt[:, 1:][batch.claims_real_Mt[:, 1:]]
            words["masked_lm"] = tokens[tokens != self.run.text.end]  # Those that may be hidden.
        for name, tokens in words.items():
            counted = tokens.flatten().bincount(minlength=len(self.run.text))
            self._counts[name] = self._counts.get(name, torch.zeros_like(counted)) + counted

    def look(self, row: Mapping[str, Any], model: nn.Module) -> Iterator[tuple[str, str]]:
        """The name and the words of what is wrong in a log row, once it was so for some rows."""
        self._begin(row)
        if row["progress"] < self.warmup or row["step"] < STEPS:
            return
        for name, words in (*self._rows(row), ("gates", self._gates(model))):
            self._bad[name] = self._bad.get(name, 0) + 1 if words else 0
            if words and self._bad[name] >= LOOKS and name not in self.said:
                self.said.add(name)
                yield name, f"warning: {words}"

    def _begin(self, row: Mapping[str, Any]) -> None:
        for name in _WORDS:
            if name in row:
                self._first.setdefault(name, row[name])

    def _rows(self, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        alike = row.get("contrastive_alike", 0.0)
        same = f"all pictures have nearly one and the same vector (alike {alike:.3f}, at most 1)"
        yield "contrastive_alike", same if alike > ALIKE else ""
        for name, times in BARELY.items():
            right, chance = row.get(f"{name}_right", 1.0), row.get(f"{name}_chance", 0.0)
            least = min(times * chance, chance + ROOM * (1 - chance))
            words = f"'{name}' is right for {right:.2%}, and by chance would be for {chance:.2%}"
            yield f"{name}_right", words if right < least else ""
        for name in _WORDS:
            yield name, self._words(name, row.get(name, 0.0))

    def _words(self, name: str, loss: float) -> str:
        """What is wrong with a loss of words."""
        counts = self._counts.get(name)
        if name in self._first and loss >= self._first[name]:
            return f"the loss of '{name}' is {loss:.2f}, and began at {self._first[name]:.2f}"
        # How often words come is known of what this process has seen: the whole of it, or much.
        # What objects are adds a loss of its own to the words'.
        more = name == "caption" and self.run.recipe.train.object_weight
        if counts is None or more or not counts.sum():
            return ""
        share_Y = counts / counts.sum()
        often = float(-(share_Y * share_Y.clamp(min=1e-12).log()).sum())
        if loss < often:
            return ""
        return (
            f"the loss of '{name}' is {loss:.2f}; to know no more than how often each word comes "
            f"would give {often:.2f}"
        )

    @torch.no_grad()
    def _gates(self, model: nn.Module) -> str:
        """What is wrong with gates that begin at zero."""
        gates = {n: p for n, p in model.named_parameters() if n.endswith("gate")}
        widest = max((float(p.tanh().abs().max()) for p in gates.values()), default=1.0)
        if widest >= SHUT:
            return ""
        return (
            f"all {len(gates)} gates are still shut (the widest lets {widest:.4f} through): the "
            "text side sees no picture; give them a higher rate (train.parts)"
        )
