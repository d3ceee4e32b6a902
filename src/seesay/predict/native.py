"""Native: a Seesay model as a Predictor, whatever its family.

Shapes: N pictures, Q picture tokens, D their width, M texts, t positions of one, E width of the
common space, Y vocabulary, B prompts.
"""

import contextlib
from collections.abc import Sequence

import numpy as np
import torch

from seesay.data.collate import Row, collate
from seesay.data.fit import Fit
from seesay.data.plan import Plan
from seesay.data.text import Document, Text
from seesay.errors import CapabilityError, DataError, LengthError
from seesay.model import generate
from seesay.model.boxes import sides
from seesay.model.contract import Embedder, Model, Said, Speaker, Viewer
from seesay.model.reader import Reader
from seesay.model.rows import SLOTS, Asked, Context
from seesay.predict import choosing
from seesay.predict.pictures import Pictures
from seesay.predict.protocol import Answer, Decoding, Prompt
from seesay.predict.shown import Shown
from seesay.records import Batch, Box, Picture, Turn


class SeesayPredictor:
    """A Seesay model as a Predictor.

    Args:
        fit: the pictures and rows it takes in.
        context: the longest sequence it was made for, picture tokens included.
        most_rows: how many prompts pass at once.
    """

    def __init__(
        self,
        model: Model,
        text: Text,
        *,
        fit: Fit,
        context: int,
        dtype: torch.dtype = torch.float32,
        decoding: Decoding | None = None,
        most_rows: int = 128,
        name: str = "model",
    ) -> None:
        self.model, self.text, self.fit, self.context = model, text, fit, context
        self.device = next(model.parameters()).device
        self.fused = self.device.type != "cpu"
        self.dtype, self.decoding = dtype, decoding or Decoding()
        self.most_rows, self.name = most_rows, name

    def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Free text for each prompt, greedy unless `decoding` says otherwise.

        Raises:
            CapabilityError: a model that says nothing, or no more than short answers to questions.
        """
        self._able("answer", "says nothing by itself")
        if any(self.is_bare(prompt) for prompt in prompts):
            self._able("caption", f"says answers of up to {SLOTS} words, and no caption")
        answers: list[Answer] = []
        for start in range(0, len(prompts), self.most_rows):
            answers += self._answer(self.shown(prompts[start : start + self.most_rows]), start)
        return answers

    def shown(self, prompts: Sequence[Prompt]) -> list[Shown]:
        """Prompts as the model is shown them."""
        return [Shown.of(prompt, self.fit) for prompt in prompts]

    def choose(
        self, prompts: Sequence[Prompt], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        """What the model holds likely among the options.

        What is not asked for, by a match where the model has learned that. Else by words, p(option)
        ∝ the product of its tokens' probabilities after the prompt, end included; where the model
        says nothing, by the likeness of pictures and "question option" in the common space.
        """
        if len(prompts) != len(options):
            raise LengthError(
                f"{len(prompts)} prompts but {len(options)} lists of options", fix="give one each"
            )
        empty = next((i for i, those in enumerate(options) if not those), None)
        if empty is not None:
            raise DataError(f"prompt {empty} has 0 options to choose among", fix="give one or more")
        self._able("choose", "knows no words to choose among")
        chosen: list[np.ndarray] = []
        rows = max(1, self.most_rows // 4)
        for start in range(0, len(prompts), rows):
            end = start + rows
            chosen += self._choose(self.shown(prompts[start:end]), options[start:end])
        return chosen

    def embed(self, images: Sequence[Picture] = (), *, texts: Sequence[str] = ()) -> np.ndarray:
        """Vectors of unit length (items, E) in the common space, for pictures or for texts.

        Raises:
            CapabilityError: a model without such a space; one of pictures alone embeds these.
            LengthError: both are given, or neither.
        """
        if len(texts) or not isinstance(self.model, Viewer):
            self._able("embed", "has no common space of pictures and texts to embed in")
        if bool(len(images)) == bool(len(texts)):
            what = f"{len(images)} pictures and {len(texts)} texts to embed"
            raise LengthError(what, fix="give one or the other")
        each = self.most_rows
        made = [self._embed_pictures(images[i : i + each]) for i in range(0, len(images), each)]
        made += [self.embed_texts(texts[i : i + each]) for i in range(0, len(texts), each)]
        return torch.cat(made).float().cpu().numpy()

    def match(self, images: Sequence[Picture], texts: Sequence[str]) -> np.ndarray:
        """How likely each text is true of its picture: (items,), from 0 to 1.

        Raises:
            CapabilityError: a model that has not learned to judge texts.
            LengthError: not as many pictures as texts.
        """
        self._able("match", "does not judge whether a text is true")
        if len(images) != len(texts):
            what = f"{len(images)} pictures and {len(texts)} texts to hold against them"
            raise LengthError(what, fix="give a picture for each text")
        made: list[np.ndarray] = []
        for start in range(0, len(texts), self.most_rows):
            some = slice(start, start + self.most_rows)
            made.append(self._match(images[some], texts[some]))
        return np.concatenate(made) if made else np.zeros(0)

    @torch.inference_mode()
    def _match(self, images: Sequence[Picture], texts: Sequence[str]) -> np.ndarray:
        self.model.eval()
        asked = self.shown([Prompt((picture,), ()) for picture in images])
        said = [own.options([text]) for own, text in zip(asked, texts, strict=True)]
        scores = [own[0] for own in choosing.by_match(self, asked, said)]
        return torch.tensor(scores, dtype=torch.double).sigmoid().numpy()

    def locate(self, prompts: Sequence[Prompt]) -> list[Box | None]:
        """Where in its picture each prompt's answer is, in thousandths of the picture.

        Told by the head for boxes before a word is said; None where not one picture is shown.

        Raises:
            CapabilityError: a model without such a head.
        """
        self._able("locate", "has no head for boxes (model.box_head)")
        boxes: list[Box | None] = []
        for start in range(0, len(prompts), self.most_rows):
            boxes += self._locate(self.shown(prompts[start : start + self.most_rows]), start)
        return boxes

    @property
    def can(self) -> tuple[str, ...]:
        """What the model can do, by name."""
        return self.model.can

    def _able(self, what: str, else_: str) -> None:
        if what not in self.model.can:
            raise CapabilityError(
                f"a model of family '{type(self.model).__name__.lower()}' {else_}",
                where=self.name,
                fix=f"it can: {', '.join(self.model.can)}",
            )

    @torch.inference_mode()
    def _embed_pictures(self, several: Sequence[Picture]) -> torch.Tensor:
        assert isinstance(self.model, Viewer)
        self.model.eval()
        asked = self.shown([Prompt((picture,), ()) for picture in several])
        pictures = Pictures(self, asked, connect=False)
        with self.autocast():
            vectors = self.model.embed_pictures(pictures.context(range(len(several))))
            return self.model.centre(vectors)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts as vectors of unit length (M, E), at most `most_rows` at once."""
        assert isinstance(self.model, Embedder)
        self.model.eval()
        tokens_Mt, real_Mt = self.claims(texts)
        with self.autocast():
            return self.model.embed_texts(tokens_Mt, real_Mt, fused=self.fused)

    def claims(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Texts as tokens (M, t), and which of them are not padding."""
        claims = [torch.from_numpy(self.text.claim(words).copy()) for words in texts]
        longest = max(claims, key=len, default=())
        if len(longest) > self.context:
            raise LengthError(
                f"a text takes {len(longest)} tokens, more than the {self.context} of the model's "
                "context",
                where=self.name,
                fix="shorten it",
            )
        tokens_Mt = torch.nn.utils.rnn.pad_sequence(
            claims, batch_first=True, padding_value=self.text.pad
        )
        length_M = torch.tensor([len(claim) for claim in claims])
        real_Mt = torch.arange(tokens_Mt.shape[1]) < length_M[:, None]
        return tokens_Mt.to(self.device), real_Mt.to(self.device)

    @torch.inference_mode()
    def _answer(self, prompts: Sequence[Shown], offset: int) -> list[Answer]:
        batch, pictures = self._batch(prompts, offset)
        every = range(len(prompts))
        with self.autocast():
            if isinstance(self.model, Speaker) and "caption" in self.model.can:
                made = self._generate(self.model, batch, pictures.seen(every), offset)
            else:
                made = self._fill(batch, pictures.context(every))
        said = [self.text.read(g.tokens) for g in made]
        return [
            own.answer(turn, g.log_probabilities)
            for own, turn, g in zip(prompts, said, made, strict=True)
        ]

    @torch.inference_mode()
    def _locate(self, prompts: Sequence[Shown], offset: int) -> list[Box | None]:
        batch, pictures = self._batch(prompts, offset)
        about_BT = torch.zeros_like(batch.tokens_BT, dtype=torch.bool)
        last_B1 = (batch.groups_BT >= 0).sum(dim=1, keepdim=True) - 1
        with self.autocast():
            said: Said = self.model(
                batch.tokens_BT,
                pictures=batch.pictures_NCHW,
                **batch.layout,
                seen=pictures.seen(range(len(prompts))),
                select=about_BT,
                about=about_BT.scatter(1, last_B1, True),
                fused=self.fused,
            )
        assert said.boxes is not None
        found = sides(said.boxes).clamp(0, 1).tolist()
        return [
            own.box((left, top, right, bottom)) if len(own.prompt.images) == 1 else None
            for own, (left, top, right, bottom) in zip(prompts, found, strict=True)
        ]

    def _batch(self, prompts: Sequence[Shown], offset: int) -> tuple[Batch, Pictures]:
        """Prompts up to where their answers begin, a row each, and their pictures."""
        self.model.eval()
        documents = [self.document(self.asked(own.prompt), own.tokens) for own in prompts]
        for own, document in zip(prompts, documents, strict=True):
            self.check_length(len(document) + 1, own, "shorten the question")
        pictures = Pictures(self, prompts)
        rows = [
            self.row(pictures.of(i), (document,), f"prompt {offset + i}")
            for i, document in enumerate(documents)
        ]
        return self.collate(rows).to(self.device), pictures

    def _fill(self, batch: Batch, context: Context) -> list[generate.Generated]:
        """Answers whose words are all filled in at once, up to their end."""
        log_BkY = self.slots(batch, context)
        log_BkY = log_BkY.index_fill(2, torch.tensor(self._unsaid, device=self.device), -torch.inf)
        logs_Bk, said_Bk = log_BkY.max(dim=2)
        made = []
        for words, logs in zip(said_Bk.tolist(), logs_Bk.tolist(), strict=True):
            end = words.index(self.text.end) if self.text.end in words else len(words)
            made.append(
                generate.Generated(
                    tuple(words[:end]), tuple(logs[: end + 1]), ended=end < len(words)
                )
            )
        return made

    def slots(self, batch: Batch, context: Context) -> torch.Tensor:
        """Log-probabilities of every word at each slot of each row's answer (B, k, Y)."""
        assert isinstance(self.model, Reader) and self.text.mask is not None
        asked = Asked.of(
            batch.tokens_BT,
            batch.targets_BT,
            documents=batch.documents_BT,
            groups=batch.groups_BT,
            mask=self.text.mask,
            slots=SLOTS,
        )
        logits = self.model.fill(
            asked.tokens_Mt,
            asked.real_Mt,
            context.take(asked.row_M),
            select=asked.slots_Mt,
            fused=self.fused,
        )
        return logits.float().log_softmax(dim=-1).unflatten(0, (len(asked.row_M), -1))

    @property
    def _unsaid(self) -> list[int]:
        """Tokens that are never said."""
        text = self.text
        return [mark for mark in (text.picture, text.pad, text.mask) if mark is not None]

    def _generate(
        self, model: Speaker, batch: Batch, seen: torch.Tensor, offset: int
    ) -> list[generate.Generated]:
        how = self.decoding
        lengths = (batch.groups_BT >= 0).sum(dim=1).tolist()
        shared = {
            "seen": seen,
            "end": self.text.end,
            "forbid": self._unsaid,
            "most": [min(how.most, self.context - length) for length in lengths],
            "fused": self.fused,
        }
        if how.beams > 1:
            return generate.beam_search(model, batch, beams=how.beams, **shared)
        seeds = [(how.seed * 1_000_003 + offset + i) % 2**63 for i in range(len(lengths))]
        return generate.generate(
            model,
            batch,
            temperature=how.temperature,
            top_p=how.top_p,
            seeds=seeds,
            **shared,
        )

    @torch.inference_mode()
    def _choose(
        self, prompts: Sequence[Shown], options: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        self.model.eval()
        said = [own.options(several) for own, several in zip(prompts, options, strict=True)]
        scores = choosing.weigh(self, prompts, said)
        return [torch.tensor(own, dtype=torch.double).softmax(0).numpy() for own in scores]

    def tiles(self, pictures: Sequence[Picture], plans: Sequence[Plan] = ()) -> list[np.ndarray]:
        """Pictures as the model takes them in: the tiles of each (n, h, w, 3), one where it is not
        cut; of a clip, those of its frames.

        plans: what is to become of them, where that is not as of pictures by themselves.
        """
        return [self.fit.cut(each) for each in self.fit.pixels(pictures, plans=plans)]

    @property
    def interleaved(self) -> bool:
        """Whether it reads pictures that are shown inside a conversation."""
        return self.fit.interleaved

    def document(self, turns: Sequence[Turn], tokens: Sequence[int]) -> Document:
        """A conversation as tokens, without its pictures in front; `tokens` of each picture."""
        return self.fit.document(self.text, turns, tokens=tokens)

    def is_bare(self, prompt: Prompt) -> bool:
        """Whether nothing is asked: a caption is wanted, or whether an option is true."""
        return not any(turn.text for turn in self.asked(prompt))

    def asked(self, prompt: Prompt) -> tuple[Turn, ...]:
        """A prompt's turns, the last one the user's; an empty one where there are none."""
        turns = prompt.turns or (Turn("user", ""),)
        if turns[-1].role != "user":
            raise DataError(
                f"the last of {len(turns)} turns is the {turns[-1].role}'s",
                fix="end with the user's turn: what it asks",
            )
        shown = sum(len(turn.pictures) for turn in turns)
        if shown > len(prompt.images):
            raise DataError(
                f"the turns show {shown} pictures but {len(prompt.images)} are given",
                fix="give every picture that a turn shows",
            )
        return turns

    def check_length(self, tokens: int, own: Shown, fix: str) -> None:
        """See that a document of so many tokens fits the model's context with its pictures."""
        pictures, each = sum(own.tokens), own.tokens
        inside = self.fit.inside(own.prompt.turns)
        text_tokens = tokens - sum(each[len(each) - inside :])
        if inside:
            fix += ", or show fewer pictures"
        if pictures + text_tokens > self.context:
            of = f"of {each[0]} tokens" if len(set(each)) == 1 else f"of {pictures} tokens together"
            raise LengthError(
                f"{len(each)} pictures {of} and text of {text_tokens} make "
                f"{pictures + text_tokens}, more than the {self.context} of the model's context",
                where=self.name,
                fix=fix,
            )

    def row(self, pixels: np.ndarray, documents: Sequence[Document], origin: str) -> Row:
        """A row of documents, with pictures before them or in each."""
        mark, tokens = self.text.picture, len(pixels) * self.fit.picture_tokens
        shown = tuple(self.fit.shown(d, tokens, picture_token=mark) for d in documents)
        return Row(pixels, shown, origin, instructed=self.fit.instructed)

    def collate(self, rows: Sequence[Row]) -> Batch:
        """Rows as one batch."""
        return collate(
            rows,
            picture_token=self.text.picture,
            picture_tokens=self.fit.picture_tokens,
            pad=self.text.pad,
        )

    def autocast(self) -> contextlib.AbstractContextManager:
        """The precision matrices are multiplied in."""
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)
