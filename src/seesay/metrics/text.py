"""Caption metrics: BLEU, ROUGE-L, CIDEr and CIDEr-D, equal to pycocoevalcap's on the same tokens.

Shapes: N captions, M the longest n-gram (4), K columns of a caption's counts (2M + 2).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from seesay.errors import DataError

Tokens = Sequence[str]
Ngrams = Counter[tuple[str, ...]]

# Characters written without spaces between words: kana, Han, Hangul. Each one is a token.
CJK = "\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
CJK += "\U00020000-\U000323af"
_TOKEN = re.compile(rf"[{CJK}]|[^\W_{CJK}]+(?:['.,:-][^\W_{CJK}]+)*")

# pycocoevalcap's guards against division by zero; they are part of its numbers.
_SMALL, _TINY = 1e-9, 1e-15
_BETA = 1.2
_SIGMA = 6.0


def tokenise(text: str) -> list[str]:
    """Lower-case words without punctuation; every Chinese, Japanese or Korean character by itself.

    In place of the Penn Treebank tokeniser (Java) that pycocoevalcap runs first. What differs:
    "don't" stays one word, and Chinese is split into characters instead of left as one word. As
    there, hyphenated words and numbers (`1,000`, `3.5`) stay whole and punctuation is dropped.
    """
    folded = unicodedata.normalize("NFKC", text).replace("\u2019", "'").lower()
    return _TOKEN.findall(folded)


def ngrams(tokens: Tokens, longest: int = 4) -> Ngrams:
    """How often each n-gram of 1 to `longest` tokens occurs."""
    spans = ((i, i + n) for n in range(1, longest + 1) for i in range(len(tokens) - n + 1))
    return Counter(tuple(tokens[start:end]) for start, end in spans)


def bleu_counts(
    hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], *, longest: int = 4
) -> Float[np.ndarray, "N K"]:
    """What BLEU needs of each caption; a corpus is the sum of its rows.

    Columns: n-grams found in a reference (clipped), n-grams said, for n = 1..M; then the caption's
    length and the length of its nearest reference (the shorter of two as near).
    """
    _check(hypotheses, references)
    pairs = zip(hypotheses, references, strict=True)
    rows = [_bleu_row(said, truths, longest) for said, truths in pairs]
    return np.array(rows, dtype=float)


def _bleu_row(said: Tokens, truths: Sequence[Tokens], longest: int) -> list[int]:
    most: Ngrams = Counter()
    for truth in truths:
        most |= ngrams(truth, longest)
    found = [0] * longest
    for gram, count in (ngrams(said, longest) & most).items():
        found[len(gram) - 1] += count
    tried = [max(0, len(said) - n) for n in range(longest)]
    nearest = min((abs(len(truth) - len(said)), len(truth)) for truth in truths)[1]
    return [*found, *tried, len(said), nearest]


def bleu_of_counts(sums: Float[np.ndarray, " K"]) -> Float[np.ndarray, " M"]:
    """BLEU-1..M of summed counts: brevity x (product of the n-gram precisions)^(1/n).

    From 0 to 1. Source: Papineni et al., ACL 2002, equation 1; reference length "closest".
    """
    longest = (len(sums) - 2) // 2
    found, tried = sums[:longest], sums[longest : 2 * longest]
    precision = np.cumprod((found + _TINY) / (tried + _SMALL))
    scores = precision ** (1 / np.arange(1, longest + 1))
    ratio = (sums[-2] + _TINY) / (sums[-1] + _SMALL)
    return scores * np.exp(1 - 1 / ratio) if ratio < 1 else scores


def bleu(
    hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], *, longest: int = 4
) -> Float[np.ndarray, " M"]:
    """Corpus BLEU-1..M, from 0 to 1 (see `bleu_of_counts`)."""
    return bleu_of_counts(bleu_counts(hypotheses, references, longest=longest).sum(axis=0))


def rouge_l(
    hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]
) -> Float[np.ndarray, " N"]:
    """ROUGE-L of each caption, from 0 to 1: F of the longest common subsequence, beta = 1.2.

    Best precision and best recall over the references, each by itself, as pycocoevalcap does.
    Source: Lin, ACL workshop 2004, equations 2-4.
    """
    _check(hypotheses, references)
    pairs = zip(hypotheses, references, strict=True)
    return np.array([_rouge(said, truths) for said, truths in pairs], dtype=float)


def _rouge(said: Tokens, truths: Sequence[Tokens]) -> float:
    # pycocoevalcap's split(" ") makes of nothing one empty token.
    said = said or [""]
    common = [(common_length(said, truth or [""]), len(truth or [""])) for truth in truths]
    precision = max(length for length, _ in common) / len(said)
    recall = max(length / total for length, total in common)
    if not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def common_length(left: Tokens, right: Tokens) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for token in left:
        above = row
        row = [0]
        for j, other in enumerate(right):
            row.append(above[j] + 1 if token == other else max(above[j + 1], row[j]))
    return row[-1]


def cider(
    hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], *, longest: int = 4
) -> Float[np.ndarray, " N"]:
    """CIDEr of each caption, from 0 to 10: mean cosine of tf-idf n-gram vectors, times ten.

    The paper's own; published tables mean `cider_d`. Document frequencies come from `references`,
    so a caption's score depends on the whole set, and a set of one picture scores 0. Source:
    Vedantam et al., CVPR 2015, equations 1-3.
    """
    return _consensus(hypotheses, references, longest=longest, guarded=False)


def cider_d(
    hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]], *, longest: int = 4
) -> Float[np.ndarray, " N"]:
    """CIDEr-D of each caption, from 0 to 10: what pycocoevalcap and published tables call CIDEr.

    `cider` with counts clipped to the reference's and a Gaussian penalty on the difference of
    length (sigma 6), so that long or repetitive captions gain nothing. Source: as above, section 6,
    equation 4.
    """
    return _consensus(hypotheses, references, longest=longest, guarded=True)


def _consensus(hypotheses, references, *, longest: int, guarded: bool) -> np.ndarray:
    _check(hypotheses, references)
    grams = [[ngrams(truth, longest) for truth in truths] for truths in references]
    pictures_with = Counter(gram for truths in grams for gram in set().union(*truths))
    weigh = _Weights(pictures_with, num_pictures=len(references), longest=longest)
    scores = []
    for said, truths in zip(hypotheses, grams, strict=True):
        vector = weigh(ngrams(said, longest))
        sims = [_similarity(vector, weigh(truth), guarded=guarded) for truth in truths]
        scores.append(10 * float(np.mean(sims)))
    return np.array(scores, dtype=float)


class _Weights:
    """n-gram counts -> (tf-idf by n, its norm by n, length)."""

    def __init__(self, pictures_with: Ngrams, *, num_pictures: int, longest: int):
        self.longest = longest
        self.log_pictures = np.log(num_pictures)
        self.log_with = {gram: np.log(count) for gram, count in pictures_with.items()}

    def __call__(self, counts: Ngrams):
        weights: list[dict] = [{} for _ in range(self.longest)]
        for gram, count in counts.items():
            weights[len(gram) - 1][gram] = count * (self.log_pictures - self.log_with.get(gram, 0))
        norms = [np.sqrt(sum(w * w for w in by_gram.values())) for by_gram in weights]
        # pycocoevalcap measures a caption's length in bigrams; published numbers rest on it.
        return weights, norms, sum(c for gram, c in counts.items() if len(gram) == 2)


def _similarity(said, truth, *, guarded: bool) -> float:
    cosines = []
    for ours, theirs, norm, other in zip(said[0], truth[0], said[1], truth[1], strict=True):
        shared = ours.keys() & theirs.keys()
        clipped = (min(ours[g], theirs[g]) if guarded else ours[g] for g in shared)
        dot = sum(c * theirs[g] for c, g in zip(clipped, shared, strict=True))
        cosines.append(dot / (norm * other) if norm and other else 0.0)
    penalty = np.exp(-((said[2] - truth[2]) ** 2) / (2 * _SIGMA**2)) if guarded else 1.0
    return float(np.mean(cosines) * penalty)


def _check(hypotheses: Sequence, references: Sequence[Sequence]) -> None:
    if len(hypotheses) != len(references):
        raise DataError(
            f"{len(hypotheses)} captions against {len(references)} sets of references",
            fix="give each caption its own list of references",
        )
    if bare := [i for i, truths in enumerate(references) if not truths]:
        raise DataError(f"{len(bare)} captions of {len(references)} have no reference to compare")
