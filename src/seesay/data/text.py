"""Text: the tokenizer, the one template renderer, and the loss mask from character offsets.

Shapes: T positions of one document.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from seesay.errors import CheckpointError, DataError, LengthError
from seesay.records import Turn

PICTURE, USER, ASSISTANT, END, PAD = "<picture>", "<user>", "<assistant>", "<end>", "<pad>"
THINK = "</think>"  # between what the assistant says to itself and its answer
MASK = "<mask>"  # stands where a word is to be filled in
SPECIALS = (PAD, PICTURE, USER, ASSISTANT, END, THINK, MASK)
UNKNOWN = "<unknown>"  # what a character tokenizer reads a character as that it never saw


@dataclass(frozen=True, slots=True)
class Template:
    """How turns become text; stored in the checkpoint, which is asked as it was trained."""

    user: str = USER
    assistant: str = ASSISTANT
    end: str = END
    picture: str = PICTURE
    think: str = THINK  # ends the reasoning; "" where a model was made without any

    def __post_init__(self) -> None:
        for mark in self._own():
            if not isinstance(mark, str) or len(mark) < 2 or len(mark.split()) != 1:
                raise ValueError(f"{mark!r} is no mark: two characters or more, without spaces")

    @lru_cache(maxsize=64)  # noqa: B019 - templates are few, small and equal by value
    def marks(self) -> tuple[str, ...]:
        """What people's own text must not be read as."""
        return tuple(dict.fromkeys((*SPECIALS, UNKNOWN, *self._own())))

    def _own(self) -> tuple[str, ...]:
        think = (self.think,) if self.think else ()
        return (self.user, self.assistant, self.end, self.picture, *think)

    def render(self, turns: Sequence[Turn]) -> tuple[str, list[tuple[int, int]]]:
        """The text of a document, and the (start, end) characters that are to be learned.

        A mark stands where each picture is shown that a turn shows. Every assistant turn is to be
        learned, with its reasoning and the mark that ends it, but for the pictures. Where
        the user speaks last, the text ends with the assistant's opening: what comes next is the
        answer, or the reasoning before it.

        Raises:
            DataError: a role that is neither the user's nor the assistant's; a picture outside of
                its turn's text.
        """
        text, spans = "", []
        for turn in turns:
            pieces = self._pieces(turn)
            if turn.role == "user":
                text += self.user + self.picture.join(pieces)
                continue
            if turn.role != "assistant":
                raise DataError(f"unknown role '{turn.role}'", fix="use 'user' or 'assistant'")
            text += self.assistant
            if turn.reasoning and self.think:
                first = turn.pictures.count(0)
                words = disarm(turn.reasoning, self.marks()) + self.think
                pieces[first] = words + pieces[first]
            for piece in pieces[:-1]:
                spans += [(len(text), len(text) + len(piece))] if piece else []
                text += piece + self.picture
            spans.append((len(text), len(text) + len(pieces[-1]) + len(self.end)))
            text += pieces[-1] + self.end
        if turns and turns[-1].role == "user":
            text += self.assistant
        return text, spans

    def _pieces(self, turn: Turn) -> list[str]:
        """A turn's words, cut where pictures are shown."""
        cuts = (0, *turn.pictures, len(turn.text))
        if list(cuts) != sorted(cuts):
            raise DataError(
                f"pictures at characters {', '.join(map(str, turn.pictures))} of a text of "
                f"{len(turn.text)}",
                fix="give rising places within the text",
            )
        pieces = zip(cuts, cuts[1:], strict=False)
        return [disarm(turn.text[start:end], self.marks()) for start, end in pieces]


def disarm(text: str, marks: Sequence[str] = (*SPECIALS, UNKNOWN)) -> str:
    """Text in which none of the marks can be read as one, nor half a character break a tokenizer.

    A space after a mark's first character takes it apart. Only spaces are put in, so that no new
    mark can come about, however marks are nested.
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates
    for mark in marks:
        # Once is not enough where a mark overlaps itself ("aXaXa").
        while mark in text:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """A conversation as tokens: int64 (T,), and which of them are to be predicted (bool, T).

    pictured: how many of the tokens are those of pictures shown inside it.
    lost: the tokens that did not fit behind them.
    """

    tokens: np.ndarray
    learned: np.ndarray
    pictured: int = 0
    lost: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def num_inputs(self) -> int:
        """Positions it takes in a row: a learned last token is predicted, and never read."""
        return max(1, len(self.tokens) - int(len(self.learned) and self.learned[-1]))


class Text:
    """A tokenizer with its template."""

    def __init__(self, tokenizer: Tokenizer, *, template: Template | None = None) -> None:
        self.tokenizer, self.template = tokenizer, template or Template()
        template = self.template
        self.picture, self.end, self.pad = (
            self._mark(mark) for mark in (template.picture, template.end, PAD)
        )
        self.think = self._mark(template.think) if template.think else None
        # Tokenizers of before there was one lack it; their models fill nothing in.
        self.mask = tokenizer.token_to_id(MASK)
        for mark in (template.user, template.assistant):
            self._mark(mark)
        # What is asked again and again is kept; of a million texts that differ, not much.
        self._cached = lru_cache(maxsize=1 << 16)(self._encode)

    def _mark(self, mark: str) -> int:
        """The token of a mark, which must be one token wherever it stands."""
        number = self.tokenizer.token_to_id(mark)
        if number is not None and self.tokenizer.encode(mark, add_special_tokens=False).ids == [
            number
        ]:
            return number
        raise CheckpointError(
            f"the tokenizer lacks '{mark}', or reads it as other than one token",
            where="tokenizer.json",
            fix="use the tokenizer.json that was saved with this checkpoint",
        )

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def __reduce__(self):
        return _reopen, (self.tokenizer.to_str(), self.template)

    def encode(
        self,
        turns: Sequence[Turn],
        *,
        limit: int | None = None,
        where: str = "",
        picture_tokens: int | Sequence[int] = 1,
    ) -> Document:
        """Turns as a document of at most `limit` tokens.

        picture_tokens: of each picture that is shown inside, or of all of them.

        Raises:
            LengthError: where nothing to learn, or not every picture, would be left within the
                limit: text is cut, pictures never.
        """
        document = self._spread(self._cached(tuple(turns)), picture_tokens)
        if limit is None or len(document) <= limit:
            return document
        limit = max(limit, 0)
        if (document.tokens[limit:] == self.picture).any():
            raise LengthError(
                f"text and the {document.pictured} tokens of the pictures in it take "
                f"{len(document)} tokens but there is room for {limit}",
                where=where,
                fix="show fewer pictures, or raise model.text.context and data.row_tokens",
            )
        learned = document.learned[:limit]
        if not learned.any():
            raise LengthError(
                f"the text takes {len(document)} tokens but there is room for {limit}",
                where=where,
                fix="shorten the question, or raise model.text.context and data.row_tokens",
            )
        kept, lost = document.tokens[:limit], document.tokens[limit:]
        return Document(kept, learned, document.pictured, lost)

    def _spread(self, document: Document, picture_tokens: int | Sequence[int]) -> Document:
        """A document in which every picture's mark stands as often as the picture has tokens."""
        if not document.pictured or picture_tokens == 1:
            return document
        times = np.ones(len(document.tokens), np.int64)
        times[document.tokens == self.picture] = picture_tokens
        tokens, learned = document.tokens.repeat(times), document.learned.repeat(times)
        return Document(tokens, learned, int(times[document.tokens == self.picture].sum()))

    def _encode(self, turns: tuple[Turn, ...]) -> Document:
        text, spans = self.template.render(turns)
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        starts = np.array([start for start, _ in encoding.offsets], dtype=np.int64)
        learned = np.zeros(len(starts), dtype=bool)
        for start, end in spans:
            learned |= (starts >= start) & (starts < end)
        tokens = np.array(encoding.ids, dtype=np.int64)
        for kept in (tokens, learned):
            kept.setflags(write=False)  # Whoever asks for these turns gets the same arrays.
        return Document(tokens, learned, sum(len(turn.pictures) for turn in turns))

    def claim(self, words: str, *, limit: int | None = None) -> np.ndarray:
        """A text to hold against pictures, as tokens: what the assistant would say, and its end.

        Of one longer than `limit`, as many tokens as there is room for, and the end.
        """
        tokens = self._cached((Turn("assistant", words),)).tokens
        if limit is None or len(tokens) <= limit:
            return tokens
        return np.append(tokens[: limit - 1], self.end)

    def decode(self, tokens: Iterable[int]) -> str:
        """Tokens as text, without special tokens."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()

    def read(self, tokens: Sequence[int]) -> Turn:
        """What the assistant said: its reasoning up to the last mark that ends it, then its answer.

        Where it never came to an answer, there is none.
        """
        said = list(tokens)
        at = max((i for i, token in enumerate(said) if token == self.think), default=-1)
        reasoning = self.decode(said[:at]) if at > 0 else ""
        return Turn("assistant", self.decode(said[at + 1 :]), reasoning)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `template.json`."""
        # Not by the tokenizer itself: on a full disk that raises a bare Exception.
        whole = self.tokenizer.to_str(pretty=True)
        (folder / "tokenizer.json").write_text(whole, encoding="utf-8")
        template = asdict(self.template)
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
            if sorted(tokenizer.get_vocab().values()) != [*range(tokenizer.get_vocab_size())]:
                raise ValueError("its tokens are not numbered from 0 without gaps")
            return cls(tokenizer, template=Template(**{"think": ""} | stored))
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

    A character tokenizer reads a character it never saw as `UNKNOWN`, which `decode` leaves out.
    """
    if kind == "character":
        characters = sorted({c for text in texts for c in disarm(text)})
        tokens = {name: i for i, name in enumerate((*SPECIALS, UNKNOWN, *characters))}
        tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        tokenizer.add_special_tokens([*SPECIALS, UNKNOWN])
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
    tokenizer.train_from_iterator(map(disarm, texts), trainer)
    return Text(tokenizer)
