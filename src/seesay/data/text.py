"""Text: the tokenizer, the one template renderer, and the loss mask from character offsets.

Shapes: T positions of one document.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from seesay.errors import CheckpointError, LengthError
from seesay.records import Turn

PICTURE, USER, ASSISTANT, END, PAD = "<picture>", "<user>", "<assistant>", "<end>", "<pad>"
SPECIALS = (PAD, PICTURE, USER, ASSISTANT, END)


@dataclass(frozen=True, slots=True)
class Template:
    """How turns become text. Stored in the checkpoint: what it was trained with is what it is asked with."""

    user: str = USER
    assistant: str = ASSISTANT
    end: str = END
    picture: str = PICTURE

    def render(self, turns: Sequence[Turn]) -> tuple[str, list[tuple[int, int]]]:
        """The text of a document, and the (start, end) characters that are to be learned.

        Every assistant turn is to be learned, with the mark that ends it. Where the user speaks last,
        the text ends with the assistant's opening: what comes next is the answer.
        """
        text, spans = "", []
        for turn in turns:
            words = disarm(turn.text)
            if turn.role == "user":
                text += self.user + words
                continue
            text += self.assistant
            spans.append((len(text), len(text) + len(words) + len(self.end)))
            text += words + self.end
        if turns and turns[-1].role == "user":
            text += self.assistant
        return text, spans


def disarm(text: str) -> str:
    """Text in which none of the special tokens can be read as one."""
    if "<" not in text:
        return text
    for special in SPECIALS:
        text = text.replace(special, special.replace("<", "< "))
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """A conversation as tokens: int64 (T,), and which of them are to be predicted (bool, T)."""

    tokens: np.ndarray
    learned: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)


class Text:
    """A tokenizer with its template."""

    def __init__(self, tokenizer: Tokenizer, *, template: Template | None = None) -> None:
        self.tokenizer, self.template = tokenizer, template or Template()
        ids = {name: tokenizer.token_to_id(name) for name in SPECIALS}
        missing = [name for name, number in ids.items() if number is None]
        if missing:
            raise CheckpointError(
                f"the tokenizer lacks {', '.join(missing)}",
                where="tokenizer.json",
                fix="use the tokenizer.json that was saved with this checkpoint",
            )
        self.picture, self.end, self.pad = ids[PICTURE], ids[END], ids[PAD]
        self._cached = lru_cache(maxsize=200_000)(self._encode)

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def __reduce__(self):
        return _reopen, (self.tokenizer.to_str(), self.template)

    def encode(
        self, turns: Sequence[Turn], *, limit: int | None = None, where: str = ""
    ) -> Document:
        """Turns as a document of at most `limit` tokens.

        Raises:
            LengthError: where nothing to learn, or no room to answer, would be left within the limit.
        """
        document = self._cached(tuple(turns))
        if limit is None or len(document) <= limit:
            return document
        learned = document.learned[:limit]
        if not learned.any():
            raise LengthError(
                f"the text takes {len(document)} tokens but there is room for {limit}",
                where=where,
                fix="shorten the question, or raise model.text.context and data.row_tokens",
            )
        return Document(document.tokens[:limit], learned)

    def _encode(self, turns: tuple[Turn, ...]) -> Document:
        text, spans = self.template.render(turns)
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        starts = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
        learned = np.zeros(len(starts), dtype=bool)
        for start, end in spans:
            learned |= (starts >= start) & (starts < end)
        return Document(np.array(encoding.ids, dtype=np.int64), learned)

    def decode(self, tokens: Iterable[int]) -> str:
        """Tokens as text, without special tokens."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `template.json`."""
        self.tokenizer.save(str(folder / "tokenizer.json"))
        template = {name: getattr(self.template, name) for name in Template.__slots__}
        (folder / "template.json").write_text(json.dumps(template, indent=2), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "Text":
        """Read what `save` wrote.

        Raises:
            CheckpointError: where either file is missing or cannot be read.
        """
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            stored = json.loads((folder / "template.json").read_text(encoding="utf-8"))
            return cls(tokenizer, template=Template(**stored))
        except CheckpointError:
            raise
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(
                f"the tokenizer or its template cannot be read: {error}",
                where=str(folder),
                fix="copy the checkpoint folder again, whole",
            ) from None


def _reopen(text: str, template: Template) -> Text:
    return Text(Tokenizer.from_str(text), template=template)


def learn(texts: Iterable[str], *, kind: str = "bpe", vocabulary: int = 1024) -> Text:
    """Train a tokenizer on texts: byte-level BPE (any language) or one token a character.

    A character tokenizer reads a character it never saw as the nearest thing it has: nothing.
    """
    if kind == "character":
        characters = sorted({c for text in texts for c in text})
        tokens = {name: i for i, name in enumerate((*SPECIALS, "<unknown>", *characters))}
        tokenizer = Tokenizer(models.WordLevel(tokens, unk_token="<unknown>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens([*SPECIALS, "<unknown>"])
        return Text(tokenizer)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Text(tokenizer)
