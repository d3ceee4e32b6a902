"""Prototypes: classes as vectors, from sentences that name them or from labelled examples.

For models that embed pictures, and, where sentences name the classes, texts in the same space.
Shapes: C classes, M examples, V width.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32

from seesay.errors import DataError, RecipeError
from seesay.records import Example, Picture
from seesay.tasks.turns import truth

# What a class is called where nothing else is said.
TEMPLATES = ("a picture of a {}",)
# What cosines are multiplied by to make probabilities: the most that CLIP's own scale may reach.
SCALE = 100.0
DECAY = 1e-3  # of a probe's weights
STEPS = 200
# Of nearest neighbours: how many vote, and by which temperature of their cosines.
NEIGHBOURS, WARMTH = 20, 0.07


@dataclass(frozen=True, slots=True)
class Head:
    """A linear classifier of pictures' vectors: softmax(weights · x + bias)."""

    classes: tuple[str, ...]
    weights_CV: Float[np.ndarray, "C V"]
    bias_C: Float[np.ndarray, " C"]

    def chances(
        self, picture: Float[np.ndarray, " V"], *, order: Sequence[str]
    ) -> Float[np.ndarray, " C"]:
        """Each class's probability, the classes in this order."""
        logits_C = (self.weights_CV @ picture + self.bias_C).astype(float)
        made = np.exp(logits_C - logits_C.max())
        made /= made.sum()
        return np.array([made[self.classes.index(name)] for name in order])


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The labelled pictures nearest to one: p(class) ∝ Σ exp(cosine / temperature) of its own.

    Source: DINO, arXiv:2104.14294, section 4.1, after arXiv:1805.01978, section 3.4.
    """

    labels: tuple[str, ...]
    vectors_MV: Float32[np.ndarray, "M V"]

    def chances(
        self, picture: Float[np.ndarray, " V"], *, order: Sequence[str]
    ) -> Float[np.ndarray, " C"]:
        """Each class's share of the votes, the classes in this order."""
        alike_M = (self.vectors_MV @ picture).astype(float)
        nearest = np.argsort(-alike_M, kind="stable")[:NEIGHBOURS]
        votes = np.exp((alike_M[nearest] - alike_M[nearest[0]]) / WARMTH)
        own = np.array([self.labels[i] for i in nearest])
        made = np.array([votes[own == name].sum() for name in order])
        return made / made.sum()


def sentences(classes: Sequence[str], templates: Sequence[str] = ()) -> list[list[str]]:
    """Each class in each template.

    Raises:
        RecipeError: a template without a place for the class.
    """
    templates = templates or TEMPLATES
    for template in templates:
        if template.count("{}") != 1:
            what = f"'{template}' has {template.count('{}')} places for the class"
            raise RecipeError(what, where="templates", fix="write one {}: 'a picture of a {}'")
    # Folders are called ankle_boot.
    names = [name.replace("_", " ") for name in classes]
    return [[template.replace("{}", name) for template in templates] for name in names]


def zero_shot(classes: Sequence[str], vectors: Sequence[Float32[np.ndarray, "_ V"]]) -> Head:
    """The nearest class by its sentences: their mean, of unit length (one array a class).

    Source: CLIP, arXiv:2103.00020, section 3.1.4.
    """
    return _cosine(classes, [several.mean(axis=0) for several in vectors])


def means(
    classes: Sequence[str], pictures: Float32[np.ndarray, "M V"], labels: Sequence[str]
) -> Head:
    """The nearest class by the mean of its pictures. Source: arXiv:1703.05175, equation 1."""
    rows = {name: [i for i, label in enumerate(labels) if label == name] for name in classes}
    return _cosine(classes, [pictures[rows[name]].mean(axis=0) for name in classes])


def _cosine(classes: Sequence[str], centres: Sequence[np.ndarray]) -> Head:
    centres_CV = np.stack(centres).astype(np.float32)
    centres_CV = centres_CV / np.maximum(np.linalg.norm(centres_CV, axis=1, keepdims=True), 1e-12)
    return Head(tuple(classes), SCALE * centres_CV, np.zeros(len(centres_CV), np.float32))


def neighbours(
    classes: Sequence[str], pictures: Float32[np.ndarray, "M V"], labels: Sequence[str]
) -> Neighbours:
    """The pictures themselves, to look the nearest up among."""
    del classes
    return Neighbours(tuple(labels), pictures)


def probe(
    classes: Sequence[str], pictures: Float32[np.ndarray, "M V"], labels: Sequence[str]
) -> Head:
    """A linear probe: logistic regression, decayed a little, by L-BFGS from zero.

    Source: CLIP, arXiv:2103.00020, appendix A.3. The decay is fixed: nothing is left to tune it on.
    """
    x_MV = torch.from_numpy(pictures).double()
    y_M = torch.tensor([list(classes).index(label) for label in labels])
    weights_CV = torch.zeros(len(classes), x_MV.shape[1], dtype=torch.double, requires_grad=True)
    bias_C = torch.zeros(len(classes), dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights_CV, bias_C], max_iter=STEPS, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x_MV @ weights_CV.T + bias_C, y_M)
        loss = loss + DECAY / 2 * weights_CV.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[arg-type]
    weights, bias = weights_CV.detach().numpy(), bias_C.detach().numpy()
    return Head(tuple(classes), weights.astype(np.float32), bias.astype(np.float32))


def shots(
    examples: Sequence[Example], classes: Sequence[str], *, count: int, seed: int = 0
) -> list[Example]:
    """`count` labelled examples of each class, drawn by `seed`; all of them where it is 0.

    Raises:
        DataError: a class with fewer.
    """
    own: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        own[truth(example)].append(example)
    random = np.random.default_rng(seed)
    chosen = []
    for name in classes:
        if len(own[name]) < max(1, count):
            what = f"class '{name}' has {len(own[name])} labelled examples; {max(1, count)} wanted"
            raise DataError(what, where="dev", fix="give more of them, or fewer shots")
        order = random.permutation(len(own[name]))[: count or None]
        chosen += [own[name][i] for i in sorted(order)]
    return chosen


def single(images: Sequence[Picture], *, where: str = "") -> Picture:
    """The one picture that is embedded.

    Raises:
        DataError: several, or none.
    """
    if len(images) == 1:
        return images[0]
    what = f"{len(images)} pictures in one example; a vector is of 1"
    raise DataError(what, where=where, fix="give each picture a row of its own")
