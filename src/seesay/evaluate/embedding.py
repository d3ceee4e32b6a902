"""Embedding: pictures and texts as vectors of unit length, each embedded once.

Shapes: N items, V width.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from seesay.errors import SeesayError
from seesay.predict import Predictor
from seesay.records import Picture

# How far from 1 a length may be: a model may have normalised in bfloat16.
SLACK = 0.02


class Vectors:
    """A predictor's vectors, in batches; a picture that is held in memory is known again."""

    def __init__(self, predictor: Predictor, *, batch: int) -> None:
        self.predictor, self.batch = predictor, batch
        # The picture is kept beside its vector: another must not come to have its id.
        self._known: dict[int, tuple[Picture, np.ndarray]] = {}

    def of(
        self, pictures: Sequence[Picture], *, tell: Callable[[int], None] | None = None
    ) -> Float32[np.ndarray, "N V"]:
        """Vectors of pictures; `tell` is called with how many more are done."""
        new = list({id(p): p for p in pictures if id(p) not in self._known}.values())
        for start in range(0, len(new), self.batch):
            some = new[start : start + self.batch]
            found = _checked(self.predictor.embed(some), len(some))
            self._known |= {id(p): (p, v) for p, v in zip(some, found, strict=True)}
            if tell:
                tell(len(some))
        return np.stack([self._known[id(picture)][1] for picture in pictures])

    def texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "N V"]:
        """Vectors of texts."""
        return np.concatenate([
            _checked(self.predictor.embed(texts=texts[start : start + self.batch]),
                     len(texts[start : start + self.batch]))
            for start in range(0, len(texts), self.batch)
        ])  # fmt: skip


def _checked(found: np.ndarray, count: int) -> Float32[np.ndarray, "N V"]:
    found = np.asarray(found, dtype=np.float32)
    if found.ndim != 2 or len(found) != count:
        raise SeesayError(f"the predictor gave vectors of shape {found.shape} for {count} items")
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    wrong = ~(np.abs(lengths[:, 0] - 1) < SLACK)  # NaN too
    if wrong.any():
        raise SeesayError(
            f"the predictor gave a vector of length {lengths[wrong][0, 0]:.4g}, not 1"
        )
    return found / lengths
