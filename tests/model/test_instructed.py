"""Queries that are told the question: as one picture and one question alone have it."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from seesay import config, predict
from seesay.data.collate import Row, collate, showing
from seesay.errors import LengthError, RecipeError
from seesay.model import families, layers
from seesay.model.prefix import Prefix
from seesay.predict import Decoding, Prompt
from seesay.records import Turn
from seesay.train.losses import loss_of
from seesay.train.parallel import Ranks

WORDS = tiny.text()
QUERIES = 3
ASKED = (("what colour is it ?", "red"), ("two ?", "yes"), ("is it green ?", "a small ring"))


def recipe(**connector) -> config.Recipe:
    table = config.as_table(tiny.recipe())
    own = {"kind": "qformer", "queries": QUERIES, "instructed": True, "width": 24, "num_heads": 3}
    table["model"]["connector"] = {**own, **connector}
    return config.recipe(table)


@pytest.fixture(scope="module")
def model() -> Prefix:
    made = tiny.model(recipe(), WORDS, scale=0.25)
    assert isinstance(made, Prefix)
    return made


def row(*asked: tuple[str, ...], seed: int = 0, pictures: int = 1) -> Row:
    pixels = np.stack([tiny.picture(seed + i) for i in range(pictures)])
    documents = tuple(
        showing(tiny.document(WORDS, *each), pictures * QUERIES, picture_token=WORDS.picture)
        for each in asked
    )
    return Row(pixels, documents, instructed=True)


def packed(*rows: Row):
    return collate(rows, picture_token=WORDS.picture, picture_tokens=QUERIES, pad=WORDS.pad)


def logits(model, batch) -> torch.Tensor:
    return model(batch.tokens_BT, pictures=batch.pictures_NCHW, **batch.layout)


def plain(model: Prefix, question: str, said: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
    """Log-probabilities (T, Y) of what follows each of the words said, nothing packed or cached."""
    asked = torch.from_numpy(tiny.document(WORDS, question).tokens.copy())
    pixels = torch.from_numpy(tiny.picture(seed)).permute(2, 0, 1)[None]
    patches = model.vision(pixels)
    words = model.connector.words
    text = (words.embedding(asked) + words.positions(torch.arange(len(asked))))[None]
    found = model.connector.qformer(patches, text=text)[:, :QUERIES]
    tokens = torch.cat((asked, said))
    x = torch.cat((model.connector.project(found), model.text.embedding(tokens)[None]), dim=1)
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    places = torch.arange(x.shape[1])[None]
    h = model.text(x, positions=places, bias=layers.mask_bias(causal, x.dtype))
    return model.text.logits(h)[0, QUERIES + len(asked) - 1 :].log_softmax(dim=-1)


def answer(words: str) -> torch.Tensor:
    """The tokens of an answer, its end included."""
    return torch.from_numpy(WORDS.claim(words)[1:].copy())


@torch.no_grad()
def test_training_is_the_plain_one(model):
    """Several questions in a row, rows of several pictures: each as if it were alone."""
    batch = packed(row(*ASKED), row(ASKED[0], seed=5))
    given = [(question, said, 0) for question, said in ASKED] + [(*ASKED[0], 5)]
    logs = []
    for question, said, seed in given:
        tokens = answer(said)
        log = plain(model, question, tokens[:-1], seed=seed)
        logs.append(log.gather(1, tokens[:, None])[:, 0])

    class Run:
        fused, text, ranks, teacher = False, WORDS, Ranks(), None

        def __init__(self) -> None:
            self.recipe = recipe()

        def autocast(self):
            return torch.autocast("cpu", enabled=False)

    loss = loss_of(Run(), batch, model)  # type: ignore[arg-type]
    torch.testing.assert_close(loss, -torch.cat(logs).mean())


@torch.no_grad()
def test_answers_and_choices_are_the_plain_ones(model):
    predictor = predict.predictor(model, WORDS, recipe=recipe(), decoding=Decoding(most=4))
    asked = [(question, seed) for question, _ in ASKED for seed in (0, 5)]
    prompts = [Prompt((tiny.picture(s),), (Turn("user", q),)) for q, s in asked]
    options = ["red", "a small ring", "yes"]
    found, chosen = predictor.answer(prompts), predictor.choose(prompts, [options] * len(prompts))
    never = torch.tensor([WORDS.picture, WORDS.pad, WORDS.mask])
    for (question, seed), made, chances in zip(asked, found, chosen, strict=True):
        said = torch.zeros(0, dtype=torch.long)
        for log in made.log_probabilities:
            last = plain(model, question, said, seed=seed)[-1].index_fill(0, never, -torch.inf)
            assert log == pytest.approx(float(last.max()), abs=2e-4)
            said = torch.cat((said, last.argmax()[None]))
        scores = []
        for option in options:
            tokens = answer(option)
            log = plain(model, question, tokens[:-1], seed=seed)
            scores.append(log.gather(1, tokens[:, None]).sum().double())
        np.testing.assert_allclose(chances, torch.stack(scores).softmax(0), atol=1e-4)


@torch.no_grad()
def test_queries_hear_the_question_and_never_an_answer(model):
    """Of a conversation the first question: the later ones come after an answer."""
    first, talk = row(ASKED[0]), []
    for last in ("two", "a large star ."):
        turns = [Turn("user", "what ?"), Turn("assistant", "red"),
                 Turn("user", "what ?"), Turn("assistant", last)]  # fmt: skip
        document = showing(WORDS.encode(turns), QUERIES, picture_token=WORDS.picture)
        talk.append(logits(model, packed(replace(first, documents=(document,)))))
    same = min(each.shape[1] for each in talk)
    same = int((talk[0][0, :same] != talk[1][0, :same]).any(dim=-1).nonzero()[0])
    assert same > QUERIES + len(tiny.document(WORDS, "what ?"))
    other = logits(model, packed(row(("what shape is it ?", "red"))))
    before = logits(model, packed(first))
    assert (other[0, :QUERIES] - before[0, :QUERIES]).abs().max() > 1e-3


@torch.no_grad()
def test_a_picture_is_encoded_once_for_all_its_questions(model):
    batch, counts = packed(row(*ASKED), row(ASKED[1], seed=2, pictures=2)), []
    handle = model.vision.register_forward_hook(lambda _, given, __: counts.append(len(given[0])))
    logits(model, batch)
    handle.remove()
    assert counts == [3]


def test_pictures_that_do_not_stand_in_the_documents_are_an_error(model):
    plainly = Row(tiny.picture()[None], (tiny.document(WORDS, "two ?"),))
    batch = packed(plainly)
    with pytest.raises(LengthError, match="show 0 pictures, but 1 are given"):
        logits(model, batch)


def test_only_a_q_former_before_a_decoder_is_told_questions():
    with pytest.raises(RecipeError, match="kind 'mlp' reads no words"):
        families.build(recipe(kind="mlp").model, vocabulary=20, picture_token=1)
    cross = replace(recipe().model, family="cross")
    with pytest.raises(RecipeError, match="family 'cross' tells its connector no questions"):
        families.build(cross, vocabulary=20, picture_token=1)
