"""Retrieval: every caption against every picture, by vectors, or pair by pair without any.

Shapes: P pictures, T different texts, V width of their vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seesay.errors import CapabilityError, DataError
from seesay.evaluate.asking import Instead, Meter, checked, replies_to
from seesay.evaluate.embedding import Vectors
from seesay.evaluate.test import Reply, Sections, Test
from seesay.metrics import ranking
from seesay.predict import Predictor, Prompt
from seesay.records import Picture
from seesay.tasks import retrieve
from seesay.tasks.prototypes import single
from seesay.tasks.turns import truth


@dataclass(frozen=True, slots=True)
class Found:
    """Of each picture, the place of its first own caption, and the text found nearest.

    Of each example, the place of its caption's first picture.
    """

    text: np.ndarray
    image: np.ndarray
    nearest: np.ndarray


class Retrieval:
    """A test's pictures and texts, and which belong together."""

    def __init__(
        self, predictor: Predictor, test: Test, vectors: Vectors, *, batch: int, meter: Meter
    ) -> None:
        self.predictor, self.test, self.vectors = predictor, test, vectors
        self.batch, self.meter, self.how, self.way = batch, meter, test.how, ""
        self.notes: dict[str, str] = {}
        number: dict[str, int] = {}
        self.picture_of = [number.setdefault(group, len(number)) for group in test.groups]
        texts: dict[str, int] = {}
        self.text_of = [texts.setdefault(truth(e), len(texts)) for e in test.examples]
        self.texts = list(texts)
        if len(number) < 2:
            what = f"{len(number)} picture to retrieve from; 2 or more are needed"
            raise DataError(what, where=test.examples[0].origin.file)
        self.examples_of: list[list[int]] = [[] for _ in number]
        self.texts_of: list[list[int]] = [[] for _ in number]
        self.pictures_of: list[list[int]] = [[] for _ in texts]
        for i, picture in enumerate(self.picture_of):
            self.examples_of[picture].append(i)
        for picture, text in dict.fromkeys(zip(self.picture_of, self.text_of, strict=True)):
            self.texts_of[picture].append(text)
            self.pictures_of[text].append(picture)
        self.first = [several[0] for several in self.examples_of]
        self.pools: list[list[int]] = []
        self._texts_TV: np.ndarray | None = None

    def begin(self) -> tuple[list[Reply], Sections]:
        """Each example's picture's nearest text, and the scores, by the best way the model has."""
        found = self._first()
        if len(self.pools) > 1:
            what = f"ranked among {len(self.pools[0])} pictures at a time, pair by pair"
            self.notes["retrieve"] = f"{what}: the model has no vectors to compare all by"
        replies = [Reply(self.texts[found.nearest[p]]) for p in self.picture_of]
        return replies, self._sections(found)

    def again(self, index: Sequence[int], *, instead: Instead) -> Sections:
        """The scores with the pictures `instead` has."""
        return self._sections(self.search(instead))

    def chances(self) -> Sections:
        """The scores were all in random order."""
        of_picture, of_example = self._counts()
        return [
            (retrieve.chance("text", of_picture), self.first),
            (retrieve.chance("image", of_example), self.test.index),
        ]

    def _sections(self, found: Found) -> Sections:
        of_picture, of_example = (min(counts)[0] for counts in self._counts())
        return [
            (retrieve.ranked("text", found.text.tolist(), items=of_picture), self.first),
            (retrieve.ranked("image", found.image.tolist(), items=of_example), self.test.index),
        ]

    def _first(self) -> Found:
        refused: CapabilityError | None = None
        for way in self.test.task.ASK:
            self.way, self.pools = way, self._pools(way)
            try:
                return self.search()
            except CapabilityError as error:
                refused = refused or error
        raise refused or CapabilityError("no way to retrieve")

    def _pools(self, way: str) -> list[list[int]]:
        """The pictures' numbers: all at once, or by lot in as few pools as are small enough."""
        count = len(self.first)
        if way == "embed" or count <= self.how.pool:
            return [list(range(count))]
        order = np.random.default_rng(self.test.seed).permutation(count)
        return [sorted(p.tolist()) for p in np.array_split(order, -(-count // self.how.pool))]

    def search(self, instead: Instead | None = None) -> Found:
        """The places found, with the pictures `instead` has for their groups."""
        pictures = [self._picture(i, instead or {}) for i in self.first]
        if self.way == "choose":
            return self._by_choosing(pictures)
        pictures_PV = self.vectors.of(pictures, tell=self.meter.add)
        if self._texts_TV is None:
            self._texts_TV = self.vectors.texts(self.texts)
        texts_TV = self._texts_TV
        self.meter.add(len(self.test.examples) - len(pictures))
        text = ranking.ranks(pictures_PV, texts_TV, self.texts_of)
        image = ranking.ranks(texts_TV, pictures_PV, self.pictures_of)
        near = ranking.nearest(pictures_PV, texts_TV, 1)[:, 0]
        if self.how.rerank:
            self._rerank_texts(text, near, pictures, vectors=(pictures_PV, texts_TV))
            self._rerank_pictures(image, pictures, vectors=(pictures_PV, texts_TV))
        return Found(text, image[self.text_of], near)

    def _picture(self, i: int, instead: Instead) -> Picture:
        example = self.test.examples[i]
        images = instead.get(self.test.groups[i], example.images)
        return single(images, where=str(example.origin))

    def _counts(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Of each picture how many texts it is among and how many are its own; of each example,
        the same of pictures."""
        of_picture = [(0, 0)] * len(self.first)
        of_example = [(0, 0)] * len(self.test.examples)
        for pool in self.pools:
            texts, members = self._texts_of_pool(pool), set(pool)
            for p in pool:
                of_picture[p] = len(texts), len(self.texts_of[p])
                for i in self.examples_of[p]:
                    own = members.intersection(self.pictures_of[self.text_of[i]])
                    of_example[i] = len(pool), len(own)
        return of_picture, of_example

    def _texts_of_pool(self, pool: Sequence[int]) -> list[int]:
        return sorted({text for p in pool for text in self.texts_of[p]})

    def _by_choosing(self, pictures: Sequence[Picture]) -> Found:
        """Places among a pool's, by log p(text | picture) as one of the pool's texts."""
        text = np.zeros(len(self.first), dtype=np.int64)
        image = np.zeros(len(self.test.examples), dtype=np.int64)
        near = np.zeros(len(self.first), dtype=np.int64)
        for pool in self.pools:
            texts = self._texts_of_pool(pool)
            scores = self._scores([(p, pictures[p], texts) for p in pool])
            near[pool] = [texts[best] for best in scores.argmax(axis=1)]
            column = {text: t for t, text in enumerate(texts)}
            row = {p: number for number, p in enumerate(pool)}
            own = [[column[t] for t in self.texts_of[p]] for p in pool]
            text[pool] = ranking.places(scores, own)
            asked = [i for p in pool for i in self.examples_of[p]]
            of_text = [self.text_of[i] for i in asked]
            own = [[row[p] for p in self.pictures_of[t] if p in row] for t in of_text]
            image[asked] = ranking.places(scores.T[[column[t] for t in of_text]], own)
        return Found(text, image, near)

    def _scores(self, asked: Sequence[tuple[int, Picture, Sequence[int]]]) -> np.ndarray:
        """Log-probabilities, a row for each (picture's number, picture shown, texts)."""
        parts = []
        for start in range(0, len(asked), self.batch):
            some = asked[start : start + self.batch]
            parts += self._log_chances(some)
            if self.way == "choose":
                self.meter.add(sum(len(self.examples_of[p]) for p, _, _ in some))
        return np.stack(parts)

    def _log_chances(self, asked: Sequence[tuple[int, Picture, Sequence[int]]]) -> list[np.ndarray]:
        orders = [
            np.random.default_rng((self.test.seed, p)).permutation(len(texts))
            for p, _, texts in asked
        ]
        prompts = [
            Prompt((picture,), self.test.task.prompt(self.test.examples[self.first[p]]))
            for p, picture, _ in asked
        ]
        options = [
            [self.texts[texts[j]] for j in order]
            for order, (_, _, texts) in zip(orders, asked, strict=True)
        ]
        chances = replies_to(prompts, self.predictor.choose(prompts, options))
        with np.errstate(divide="ignore"):
            logs = [np.log(checked(*pair)) for pair in zip(chances, options, strict=True)]
        return [log[np.argsort(order)] for log, order in zip(logs, orders, strict=True)]

    def _rerank_texts(
        self,
        places: np.ndarray,
        nearest: np.ndarray,
        pictures: Sequence[Picture],
        *,
        vectors: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Put each picture's nearest texts in the order in which it would choose them.

        As ALBEF (arXiv:2107.07651, section 5) and BLIP do. Texts that are not among the nearest
        stay where they were.
        """
        k = min(self.how.rerank, len(self.texts))
        candidates = ranking.nearest(*vectors, k).tolist()
        scores = self._scores([(p, pictures[p], near) for p, near in enumerate(candidates)])
        for p, near in enumerate(candidates):
            nearest[p] = near[int(scores[p].argmax())]
            places[p] = _place(scores[p], near, self.texts_of[p], before=int(places[p]))

    def _rerank_pictures(
        self,
        places: np.ndarray,
        pictures: Sequence[Picture],
        *,
        vectors: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Put each text's nearest pictures in the order of how likely they would choose it.

        What each chooses from is that text and a caption of each of the others, so that their
        probabilities compare.
        """
        k = min(self.how.rerank, len(self.first))
        pictures_PV, texts_TV = vectors
        for t, near in enumerate(ranking.nearest(texts_TV, pictures_PV, k).tolist()):
            options = [t, *sorted({self.texts_of[p][0] for p in near} - {t})]
            if len(options) > 1:
                scores = self._scores([(p, pictures[p], options) for p in near])[:, 0]
                places[t] = _place(scores, near, self.pictures_of[t], before=int(places[t]))


def _place(scores: np.ndarray, near: Sequence[int], own: Sequence[int], *, before: int) -> int:
    """The place of the first own among those near, or the one before where none is."""
    among = [place for place, item in enumerate(near) if item in own]
    return int(ranking.places(scores[None], [among])[0]) if among else before
