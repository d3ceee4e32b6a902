"""Every family: what it says of itself it can do, alone as in company, cached as whole, on disk."""

import re
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from seesay import config, predict
from seesay.data.collate import Row, collate
from seesay.errors import CapabilityError, RecipeError
from seesay.model import dual, families, generate, rows
from seesay.model.contract import Embedder, Matcher, Speaker
from seesay.model.reader import Reader
from seesay.model.rows import Asked, Context
from seesay.predict import Prompt
from seesay.records import Batch, Turn

WORDS = tiny.text()
ANSWERS = (("what colour is it ?", "red"), ("what ?", "a large star ."), ("two ?", "yes"))

# name -> what makes it differ from tests/tiny.py's model
KINDS = {
    "show and tell": {"family": "recurrent", "attend": False},
    "show, attend and tell": {"family": "recurrent", "attend": True, "text": {"depth": 1}},
    "clip": {"family": "dual", "pool": "class", "space": 8},
    "siglip": {"family": "dual", "contrast": "sigmoid", "causal": False, "space": 8},
    "vilt": {"family": "single", "connector": {"kind": "linear"}},
    "vilt, places learned": {"family": "single", "connector": {"kind": "linear"},
                             "text": {"positions": "learned"}},
    "vinvl": {"family": "single", "connector": {"kind": "linear"},
              "vision": {"kind": "regions", "crop": 8, "grid": 2}},
    "albef": {"family": "fusion", "fusion": "reader", "fusion_depth": 1, "causal": False},
    "coca": {"family": "fusion", "fusion": "teller", "fusion_depth": 1},
    "blip": {"family": "fusion", "fusion": "shared", "causal": False},
    "blip-2, first": {"family": "queries", "connector": {"queries": 3}, "space": 8},
    "simplevlm": {"family": "cross", "connector": {"kind": "linear"}},
    "flamingo": {"family": "cross", "gate_every": 2,
                 "connector": {"kind": "resampler", "queries": 3}},
    "llava": {"family": "prefix", "connector": {"kind": "mlp"}},
    "smolvlm": {"family": "prefix", "connector": {"kind": "pixel_shuffle", "factor": 2}},
    "qwen-vl": {"family": "prefix", "connector": {"kind": "position_resampler", "queries": 4}},
    "blip-2": {"family": "prefix", "connector": {"kind": "qformer", "queries": 3}},
    "instructblip": {"family": "prefix",
                     "connector": {"kind": "qformer", "queries": 3, "instructed": True}},
}  # fmt: skip


def settings(kind: str) -> config.Recipe:
    plain = config.as_table(tiny.recipe())
    for name, value in KINDS[kind].items():
        own = plain["model"].get(name)
        plain["model"][name] = {**own, **value} if isinstance(own, dict) else value
    return config.recipe(plain)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


def built(kind: str):
    """With weights drawn anew, and gates open."""
    return tiny.model(settings(kind), WORDS, scale=0.2)


def able(what: str) -> list[str]:
    """The kinds that can do something."""
    return [kind for kind in KINDS if what in built(kind).can]


def batch_of(kind: str, *several: Row, room: int | None = None) -> Batch:
    fit = tiny.fit(settings(kind))
    rows = [
        replace(
            row,
            instructed=fit.instructed,
            documents=tuple(
                fit.shown(
                    each, len(row.pictures) * fit.each, picture_token=WORDS.picture
                )
                for each in row.documents
            ),
        )
        for row in several
    ]
    return collate(
        rows,
        picture_token=WORDS.picture,
        picture_tokens=fit.picture_tokens,
        pad=WORDS.pad,
        room=room,
    )


def row(*seeds: int, documents=ANSWERS) -> Row:
    pictures = [tiny.picture(seed) for seed in seeds]
    pixels = np.stack(pictures) if pictures else np.zeros((0, 16, 16, 3), np.uint8)
    return Row(pixels, tuple(tiny.document(WORDS, *each) for each in documents))


def logits(model: Speaker, batch: Batch, **more) -> torch.Tensor:
    return model(batch.tokens_BT, pictures=batch.pictures_NCHW, **batch.layout, **more)


# Speaking.


@pytest.mark.parametrize("kind", able("caption"))
def test_documents_and_rows_are_as_if_alone(kind):
    """Packed, beside rows of more pictures and of none."""
    model = built(kind)
    packed = batch_of(kind, row(0), row(1, 2, documents=ANSWERS[:1]), row())
    together = logits(model, packed)
    for number, each in enumerate(ANSWERS, start=1):
        single = batch_of(kind, row(0, documents=[each]))
        alone = logits(model, single)[0, single.documents_BT[0] == 1]
        own = together[0, packed.documents_BT[0] == number]
        torch.testing.assert_close(own, alone, atol=1e-5, rtol=1e-4)
    assert together.std() > 0.01


@pytest.mark.parametrize("kind", [kind for kind in able("caption") if built(kind).packs])
def test_groups_that_share_a_row_are_as_if_alone(kind):
    """Pictures with their documents, of one, two and no pictures, in one row."""
    model = built(kind)
    groups = row(0), row(1, 2, documents=ANSWERS[:1]), row(), row(3)
    apart, packed = batch_of(kind, *groups), batch_of(kind, *groups, room=1000)
    assert len(packed.tokens_BT) == 1 and len(apart.tokens_BT) == 4
    alone, together = logits(model, apart), logits(model, packed)
    for number in range(4):
        documents_T = packed.documents_BT[0].where(packed.groups_BT[0] == number, -1)
        same_T = apart.tokens_BT[number][: int((documents_T >= 0).sum())]
        assert torch.equal(packed.tokens_BT[0][documents_T >= 0], same_T)
        own, single = together[0, documents_T > 0], alone[number][apart.documents_BT[number] > 0]
        torch.testing.assert_close(own, single, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", able("caption"))
def test_words_see_their_own_pictures_and_no_others(kind):
    model = built(kind)
    first = logits(model, batch_of(kind, row(0), row(1)))
    other = logits(model, batch_of(kind, row(0), row(2)))
    real = batch_of(kind, row(0), row(1)).documents_BT > 0
    assert torch.equal(first[0], other[0])
    assert ((first[1] - other[1]).abs().amax(-1)[real[1]] > 0).all()


@pytest.mark.parametrize("kind", able("caption"))
def test_the_first_of_two_pictures_counts_too(kind):
    model = built(kind)
    one = logits(model, batch_of(kind, row(1, 2)))
    other = logits(model, batch_of(kind, row(3, 2)))
    real = batch_of(kind, row(1, 2)).documents_BT[0] > 0
    assert ((one - other)[0].abs().amax(-1)[real] > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("kind", able("caption"))
@pytest.mark.parametrize("beams", [1, 2])
def test_cached_decoding_is_the_whole_forward(kind, beams):
    """Rows of one, of two and of no pictures, of unlike lengths."""
    asked = [("what colour is it ?",), ("two ?",), ("what ?",)]
    rows = [row(0, documents=asked[:1]), row(1, 2, documents=asked[1:2]), row(documents=asked[2:])]
    check_decoding(kind, rows, beams=beams)


def check_decoding(kind: str, rows: list[Row], *, beams: int) -> None:
    """What is said after each row, in company and with caches, has the chances it has in whole."""
    model = built(kind)
    batch = batch_of(kind, *rows)
    how = {"end": WORDS.end, "most": 5, "forbid": (WORDS.picture,)}
    made = (
        generate.generate(model, batch, **how)
        if beams == 1
        else generate.beam_search(model, batch, beams=beams, **how)
    )
    for i, said in enumerate(made):
        alone = batch_of(kind, rows[i])
        length = int((alone.groups_BT >= 0).sum())
        wide = torch.tensor([said.tokens], dtype=torch.long)
        tokens = torch.cat((alone.tokens_BT[:, :length], wide), dim=1)
        ones = torch.ones_like(wide)
        after = alone.positions_BT[0, length - 1] + ones.cumsum(dim=1)
        whole = model(
            tokens,
            pictures=alone.pictures_NCHW,
            positions=torch.cat((alone.positions_BT[:, :length], after), dim=1),
            documents=torch.cat((alone.documents_BT[:, :length], ones), dim=1),
            groups=torch.cat((alone.groups_BT[:, :length], 0 * ones), dim=1),
            horizon=torch.cat((alone.horizon_BT[:, :length], length - 1 + ones.cumsum(1)), dim=1),
        )
        log_TY = whole[0, length - 1 :].log_softmax(dim=-1)
        wanted = [float(log_TY[t, token]) for t, token in enumerate(said.tokens)]
        given = said.log_probabilities[: len(wanted)]
        np.testing.assert_allclose(given, wanted, atol=2e-4)


# Embedding.


def texts(*several: str) -> tuple[torch.Tensor, torch.Tensor]:
    claims = [torch.from_numpy(WORDS.claim(each).copy()) for each in several]
    tokens = torch.nn.utils.rnn.pad_sequence(claims, batch_first=True, padding_value=WORDS.pad)
    lengths = torch.tensor([len(claim) for claim in claims])
    return tokens, torch.arange(tokens.shape[1]) < lengths[:, None]


def context(model, *seeds: int | tuple[int, ...], connect: bool = False) -> Context:
    """What rows of one picture, or of several, look at."""
    several = [(each,) if isinstance(each, int) else each for each in seeds]
    pixels = np.stack([tiny.picture(seed) for each in several for seed in each])
    given = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    seen = model.see(given) if connect else model.look(given)
    rows = [row for row, each in enumerate(several) for _ in each]
    return Context.of(seen, torch.tensor(rows), rows=len(several))


@torch.no_grad()
@pytest.mark.parametrize("kind", able("embed"))
def test_vectors_are_of_unit_length_and_as_if_alone(kind):
    model = built(kind)
    assert isinstance(model, Embedder)
    pictures = model.embed_pictures(context(model, 0, 1, 2))
    said = model.embed_texts(*texts("red", "a large star .", "yes"))
    for made in (pictures, said):
        torch.testing.assert_close(made.norm(dim=-1), torch.ones(made.shape[:-1]))
        assert (made[0] - made[1]).abs().max() > 1e-3
    torch.testing.assert_close(model.embed_pictures(context(model, 1))[0], pictures[1])
    torch.testing.assert_close(
        model.embed_texts(*texts("red"))[0], said[0], atol=1e-5, rtol=1e-4
    )
    scores = model.similarity(pictures, said)
    assert scores.shape == (3, 3) and scores.std() > 0
    beside = model.embed_pictures(context(model, 0, (2, 1)))
    torch.testing.assert_close(model.similarity(beside, said)[0], scores[0])
    # Where the likest of all counts, one of two pictures may be that for every text.
    other = model.embed_pictures(context(model, 0, (1, 2)))
    moved = torch.stack([model.similarity(both, said)[1] for both in (beside, other)])
    assert (moved - scores[[2, 1]]).abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("kind", able("embed"))
def test_embedding_through_the_predictor(kind):
    model = built(kind)
    recipe = settings(kind)
    predictor = predict.predictor(model, WORDS, recipe=recipe)
    made = predictor.embed([tiny.picture(0), tiny.picture(1)])
    wanted = model.centre(model.embed_pictures(context(model, 0, 1)))
    np.testing.assert_allclose(made, wanted.numpy(), atol=1e-5)
    said = predictor.embed(texts=["red", "a large star ."])
    np.testing.assert_allclose(said, model.embed_texts(*texts("red", "a large star .")), atol=1e-5)


# Reading.


@torch.no_grad()
@pytest.mark.parametrize("kind", able("match"))
def test_matches_are_as_if_alone_and_see_the_pictures(kind):
    model = built(kind)
    assert isinstance(model, Matcher)
    tokens, real = texts("red", "a large star .")
    both = model.match(tokens, real, context(model, 0, 1, connect=True))
    alone = model.match(*texts("red"), context(model, 0, connect=True))
    torch.testing.assert_close(both[0], alone[0], atol=1e-5, rtol=1e-4)
    other = model.match(tokens, real, context(model, 0, 2, connect=True))
    assert both[0] == other[0] and (both[1] - other[1]).abs() > 1e-6
    beside = model.match(tokens, real, context(model, 0, (1, 2), connect=True))
    torch.testing.assert_close(beside[0], both[0], atol=1e-5, rtol=1e-4)
    assert (beside[1] - both[1]).abs() > 1e-6


@torch.no_grad()
@pytest.mark.parametrize("kind", able("fill"))
def test_words_are_filled_in_as_if_alone(kind):
    model = built(kind)
    assert isinstance(model, Reader)
    tokens, real = texts("red", "a large star .")
    scores = model.fill(tokens, real, context(model, 0, 1, connect=True), select=real)
    assert scores.shape == (int(real.sum()), len(WORDS))
    tokens, real = texts("red")
    alone = model.fill(tokens, real, context(model, 0, connect=True), select=real)
    torch.testing.assert_close(alone, scores[: len(alone)], atol=1e-5, rtol=1e-4)


def test_an_answers_slots_stand_after_what_is_asked():
    """Rows packed: two questions with answers of one and two words, a third that waits."""
    q, a, end, mask = 20, 30, 4, 9
    tokens = torch.tensor([[1, q, q, a, q, a, a + 1, q]])
    targets = torch.tensor([[-1, -1, a, end, a, a + 1, end, -1]])
    documents = torch.tensor([[0, 1, 1, 1, 2, 2, 2, 3]])
    made = Asked.of(
        tokens, targets, documents=documents, groups=0 * tokens, mask=mask, slots=2
    )
    assert made.tokens_Mt.tolist() == [[q, q, mask, mask], [q, mask, mask, mask],
                                       [q, mask, mask, mask]]  # fmt: skip
    assert made.real_Mt.sum(dim=1).tolist() == [4, 3, 3]
    # Two words and an end are more than there are slots: nothing is asked.
    assert made.targets_Mt.tolist() == [[-1, -1, a, end], [-1] * 4, [-1] * 4]
    assert made.slots_Mt.sum(dim=1).tolist() == [2, 2, 2]
    assert made.row_M.tolist() == [0, 0, 0]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["vilt", "albef"])
def test_filled_answers_are_the_likeliest_words_of_their_slots(kind):
    model, recipe = built(kind), settings(kind)
    assert isinstance(model, Reader) and WORDS.mask is not None
    predictor = predict.predictor(model, WORDS, recipe=recipe)
    prompts = [
        Prompt((tiny.picture(seed),), (Turn("user", words),))
        for seed, words in ((0, "what colour is it ?"), (1, "two ?"))
    ]
    both = predictor.answer(prompts)
    alone = [predictor.answer([prompt])[0] for prompt in prompts]
    assert [answer.text for answer in both] == [answer.text for answer in alone]
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-4)
        assert 1 <= len(one.log_probabilities) <= rows.SLOTS
    asked = torch.from_numpy(tiny.document(WORDS, "two ?").tokens.copy())
    tokens = torch.cat((asked, torch.full((rows.SLOTS,), WORDS.mask)))[None]
    slots = torch.arange(tokens.shape[1])[None] >= len(asked)
    shown = context(model, 1, connect=True)
    logits = model.fill(tokens, torch.ones_like(slots), shown, select=slots)
    logits[:, [WORDS.picture, WORDS.pad, WORDS.mask]] = -torch.inf
    said = logits.argmax(dim=-1).tolist()
    end = said.index(WORDS.end) if WORDS.end in said else len(said)
    assert both[1].text == WORDS.decode(said[:end])


# All of them.


@torch.no_grad()
def test_choosing_gives_probabilities_that_do_not_hang_on_company(kind):
    predictor = predict.predictor(built(kind), WORDS, recipe=settings(kind))
    ask = Prompt((tiny.picture(0),), (Turn("user", "what colour is it ?"),))
    state = Prompt((tiny.picture(1),), ())
    options = [["red", "green", "a large star ."], ["yes", "two"]]
    both = predictor.choose([ask, state], options)
    for prompt, own, given in zip([ask, state], options, both, strict=True):
        assert given.sum() == pytest.approx(1) and given.min() > 0
        (alone,) = predictor.choose([prompt], [own])
        np.testing.assert_allclose(given, alone, atol=1e-4)
    assert len(set(both[0])) == 3


def test_what_it_cannot_do_is_said(kind):
    model = built(kind)
    predictor = predict.predictor(model, WORDS, recipe=settings(kind))
    if "embed" not in model.can:
        with pytest.raises(CapabilityError, match="no common space") as error:
            predictor.embed(texts=["red"])
        assert all(name in error.value.fix for name in model.can)
    bare = Prompt((tiny.picture(0),), ())
    if "answer" not in model.can:
        with pytest.raises(CapabilityError, match="says nothing"):
            predictor.answer([bare])
    elif "caption" not in model.can:
        with pytest.raises(CapabilityError, match="answers of up to 6 words, and no caption"):
            predictor.answer([bare])


def test_a_checkpoint_opens_as_it_was_saved(kind, tmp_path):
    recipe, model = settings(kind), built(kind)
    folder = tiny.save(tmp_path / "saved", recipe, WORDS, model)
    opened = predict.load(folder, device="cpu")
    ours, theirs = model.state_dict(), opened.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    # Weights that are shared are shared again.
    assert len(list(model.parameters())) == len(list(opened.model.parameters()))


def test_the_fused_path_is_the_plain_one(kind):
    recipe, model = settings(kind), built(kind)
    plain = predict.predictor(model, WORDS, recipe=recipe)
    prompt = Prompt((tiny.picture(0),), (Turn("user", "two ?"),))
    (before,) = plain.choose([prompt], [["red", "green", "yes"]])
    plain.fused = True
    (after,) = plain.choose([prompt], [["red", "green", "yes"]])
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_the_family_of_the_contributing_page_works(root, monkeypatch):
    """Written out there in one file and one line: it embeds, and chooses by what it embeds."""
    page = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^   ```python\n(.*?)^   ```", page, flags=re.M | re.S)
    names = {"torch": torch, "Embedder": Embedder, "Dual": dual.Dual, "dual": dual}
    exec(textwrap.dedent(code), names)
    late = families.Family(names["build"], families.FAMILIES["dual"].picture_tokens)
    monkeypatch.setitem(families.FAMILIES, "late", late)
    monkeypatch.setitem(KINDS, "late", {"family": "late", "space": 8})
    model = built("late")
    far = model.similarity(torch.zeros(2, 8), torch.ones(3, 8))
    torch.testing.assert_close(far, torch.full((2, 3), -8.0))
    predictor = predict.predictor(model, WORDS, recipe=settings("late"))
    (chances,) = predictor.choose([Prompt((tiny.picture(1),), ())], [["yes", "two"]])
    assert chances.sum() == pytest.approx(1) and chances.min() > 0


def test_an_unknown_family_is_an_error_that_names_the_nearest():
    model = replace(tiny.recipe().model, family="crosss")
    with pytest.raises(RecipeError, match="no family 'crosss'") as error:
        families.build(model, vocabulary=20, picture_token=1)
    assert "cross" in error.value.fix
