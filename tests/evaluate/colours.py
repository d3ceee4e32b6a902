"""Predictors that see a picture's mean colour and know texts by the colours they name."""

import numpy as np

from seesay.errors import CapabilityError
from seesay.predict import Answer
from seesay.records import Example, Origin, Turn

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "pink": (255, 128, 255),
}
NAMES = tuple(COLOURS)


def picture(colour, *, noise=0, seed=0, size=(4, 6)):
    """A plain picture, its pixels a little off."""
    shift = np.random.default_rng(seed).integers(-noise, noise + 1, size=(*size, 3))
    return np.clip(np.array(COLOURS[colour]) + shift, 0, 255).astype(np.uint8)


def example(colour, *texts, task="caption", group="", seed=0, options=(), question="", labels=None):
    """Examples of one picture, one a text."""
    asked = (Turn("user", question),) if question else ()
    pixels = picture(colour, noise=9, seed=seed)
    return [
        Example(
            (pixels,),
            (*asked, Turn("assistant", text)),
            Origin("data.csv", seed),
            task=task,
            group=group or str(seed),
            options=tuple(options),
            labels=labels or {},
        )
        for text in texts
    ]


def unit(rows):
    x = np.asarray(rows, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


class Dual:
    """Embeds: a picture as its mean colour, a text as the mean of the colours that it names."""

    def __init__(self):
        self.embedded = []

    def embed(self, images=(), *, texts=()):
        self.embedded.append(len(images) or len(texts))
        if len(images):
            return unit([np.asarray(image).reshape(-1, 3).mean(axis=0) - 100 for image in images])
        return unit([self.told(text) for text in texts])

    def told(self, text):
        named = [np.array(rgb) - 100.0 for name, rgb in COLOURS.items() if name in text]
        return np.mean(named, axis=0) if named else np.full(3, -100.0)

    def answer(self, prompts):
        raise CapabilityError("this one cannot write")

    def choose(self, prompts, options):
        raise CapabilityError("this one cannot choose")


class Pairs(Dual):
    """Reads a picture with a text: chooses by the same likeness, but has no vectors."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def choose(self, prompts, options):
        self.most = max(self.most, *map(len, options))
        return [self.likely(p.images[0], o) for p, o in zip(prompts, options, strict=True)]

    def likely(self, image, options):
        likeness = 20 * Dual.embed(self, texts=options) @ Dual.embed(self, [image])[0]
        chances = np.exp(likeness - likeness.max())
        return chances / chances.sum()

    def embed(self, images=(), *, texts=()):
        raise CapabilityError("this one has no vectors")


class Both(Pairs):
    """Embeds with one colour blind spot, which choosing does not have."""

    def embed(self, images=(), *, texts=()):
        x = Dual.embed(self, images, texts=texts)
        return unit(np.concatenate([x[:, :1], x[:, 1:].mean(axis=1, keepdims=True)], axis=1))


class Writer(Pairs):
    """Chooses, and says why."""

    def answer(self, prompts):
        return [Answer(f"{p.turns[-1].text} {p.turns[-2].text}") for p in prompts]
