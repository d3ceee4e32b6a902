"""Interleaved: what is shown inside a conversation is seen from there on, and there alone."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from model import test_every_family as every

from seesay import predict
from seesay.data.collate import Row
from seesay.data.text import Document
from seesay.model import families, generate
from seesay.predict import Prompt, SeesayPredictor
from seesay.records import Turn

WORDS = every.WORDS
KINDS = [kind for kind in every.KINDS if every.built(kind).interleaves]
# Words here look at pictures in the last block alone: what comes later has forgotten.
FORGETFUL = ("coca", "blip-2, first")

# Before the words, among them, in what the assistant says; and one that shows nothing.
TALKS = (
    (Turn("user", "what ?", pictures=(0,)), Turn("assistant", "red"),
     Turn("user", "two ?", pictures=(3,)), Turn("assistant", "yes")),
    (Turn("user", "what ?"), Turn("assistant", "a star .", pictures=(2, 2))),
    (Turn("user", "is it ?"), Turn("assistant", "green")),
)  # fmt: skip


def document(kind: str, turns) -> Document:
    count = families.picture_tokens(every.settings(kind).model)
    return WORDS.encode(turns, picture_tokens=count)


def row(kind: str, *seeds: int, talks=TALKS) -> Row:
    """Pictures by seed: those in front, then those of each conversation."""
    pixels = np.stack([tiny.picture(seed) for seed in seeds])
    return Row(pixels, tuple(document(kind, talk) for talk in talks))


def predictor_of(kind: str, **more) -> SeesayPredictor:
    """With room for several pictures."""
    recipe = every.settings(kind)
    side = replace(recipe.model.text, context=256)
    recipe = replace(recipe, model=replace(recipe.model, text=side))
    return predict.predictor(every.built(kind), WORDS, recipe=recipe, **more)


def places_of(kind: str, batch, number: int) -> list[list[int]]:
    """Where the tokens of each picture of a row stand."""
    count = families.picture_tokens(every.settings(kind).model)
    at = (batch.tokens_BT[number] == WORDS.picture).nonzero()[:, 0].tolist()
    return [at[i : i + count] for i in range(0, len(at), count)]


def test_every_family_that_tells_but_with_a_reader_or_instructed_reads_pictures_among_words():
    assert {*every.able("caption")} - {*KINDS} == {"blip", "instructblip"}


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", range(5))
def test_a_picture_changes_what_stands_after_it_in_its_document_and_nothing_else(kind, which):
    """One in front, two in the first conversation, two in the second."""
    model, seeds = every.built(kind), [0, 1, 2, 3, 4]
    batch = every.batch_of(kind, row(kind, *seeds), row(kind, 5, 6, 7, 8, 9))
    seeds[which] = 11
    other = every.batch_of(kind, row(kind, *seeds), row(kind, 5, 6, 7, 8, 9))
    moved = (every.logits(model, batch) - every.logits(model, other)).abs().amax(-1)
    assert (moved[1] == 0).all()
    documents = batch.documents_BT[0]
    first = places_of(kind, batch, 0)[which][0]
    after = torch.arange(len(documents)) >= first
    own = documents == documents[first] if which else documents >= 0
    assert (moved[0][~(after & own) & (documents >= 0)] == 0).all()
    for number in (1, 2, 3) if which == 0 else (int(documents[first]),):
        there = (documents == number) & after
        assert moved[0][there].max() > 0 and (kind in FORGETFUL or moved[0][there][-1] > 0)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_a_word_changes_nothing_before_it_nor_in_other_documents(kind):
    model, batch = every.built(kind), every.batch_of(kind, row(kind, 0, 1, 2, 3, 4))
    documents, words = batch.documents_BT[0], batch.tokens_BT[0] != WORDS.picture
    before = every.logits(model, batch)
    for number in (1, 2):
        at = int(((documents == number) & words).nonzero()[4])
        tokens = batch.tokens_BT.clone()
        tokens[0, at] = WORDS.think
        moved = (every.logits(model, replace(batch, tokens_BT=tokens)) - before).abs().amax(-1)[0]
        own = (documents == number) & (torch.arange(len(documents)) >= at)
        assert (moved[~own & (documents >= 0)] == 0).all() and moved[own].max() > 0


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_conversations_with_pictures_of_their_own_are_as_if_alone(kind):
    model = every.built(kind)
    batch = every.batch_of(kind, row(kind, 0, 1, 2, 3, 4), row(kind, 5, talks=TALKS[2:]))
    together = every.logits(model, batch)
    for number, seeds in ((1, (0, 1, 2)), (2, (0, 3, 4)), (3, (0,))):
        one = every.batch_of(kind, row(kind, *seeds, talks=TALKS[number - 1 : number]))
        alone = every.logits(model, one)[one.documents_BT == 1]
        here = together[0][batch.documents_BT[0] == number]
        torch.testing.assert_close(here, alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_one_picture_a_row_is_not_seen_before_it_is_shown(kind):
    """As many pictures as rows, none of them in front."""
    model = every.built(kind)
    talks = (TALKS[2], (Turn("user", "what ?", pictures=(4,)), Turn("assistant", "red")))
    batch = every.batch_of(kind, row(kind, 0, talks=talks))
    other = every.batch_of(kind, row(kind, 1, talks=talks))
    moved = (every.logits(model, batch) - every.logits(model, other)).abs().amax(-1)[0]
    first = places_of(kind, batch, 0)[0][0]
    assert (moved[:first] == 0).all() and moved[first:].max() > 0


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 2])
def test_cached_decoding_is_the_whole_forward(kind, beams):
    """Rows with pictures in front, inside, both."""
    ask = (Turn("user", "two ?", pictures=(3,)),)
    rows = [
        row(kind, 0, talks=((Turn("user", "what ?"),),)),
        row(kind, 0, 1, talks=(ask,)),
        row(kind, 0, 1, 2, talks=((*TALKS[0][:2], *ask),)),
    ]
    every.check_decoding(kind, rows, beams=beams)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_choices_after_shots_do_not_hang_on_company(kind, monkeypatch):
    """Options that share a row each show what is inside of them."""
    predictor = predictor_of(kind)
    pictures = tuple(tiny.picture(seed) for seed in range(3))
    asked = Prompt(pictures, (*TALKS[0][:2], Turn("user", "two ?", pictures=(0,))))
    plain = Prompt(pictures[:1], (Turn("user", "two ?"),))
    options = ["yes", "red", "two"]
    both = predictor.choose([asked, plain], [options, options])
    for prompt, given in zip((asked, plain), both, strict=True):
        np.testing.assert_allclose(predictor.choose([prompt], [options])[0], given, atol=1e-5)
    monkeypatch.setattr(predict.choosing, "OPTION_TOKENS", 1)
    np.testing.assert_allclose(predictor.choose([asked], [options])[0], both[0], atol=1e-5)
    swapped = replace(asked, images=(pictures[0], pictures[2], pictures[1]))
    assert np.abs(predictor.choose([swapped], [options])[0] - both[0]).max() > 1e-6


@torch.no_grad()
@pytest.mark.parametrize("kind", ["vilt", "albef", "blip", "clip"])
def test_others_are_shown_all_pictures_in_front(kind):
    predictor = predictor_of(kind)
    pictures = (tiny.picture(0), tiny.picture(1))
    inside = Prompt(pictures, (Turn("user", "what ?", pictures=(0, 3)),))
    front = Prompt(pictures, (Turn("user", "what ?"),))
    one, other = predictor.choose([inside, front], [["red", "yes"]] * 2)
    assert not predictor.interleaved and (one == other).all()


@torch.no_grad()
def test_generation_ends_rows_of_different_pictures_one_by_one():
    """Rows that stop early take their pictures along with them."""
    kind = "flamingo"
    model = every.built(kind)
    rows = [row(kind, 0, talks=[[Turn("user", "two ?", pictures=(0,))]]),
            row(kind, 1, 2, talks=[[Turn("user", "what ?", pictures=(0, 4))]])]  # fmt: skip
    how = {"end": WORDS.end, "most": [1, 6], "forbid": (WORDS.picture,)}
    both = generate.generate(model, every.batch_of(kind, *rows), **how)
    for one, limit, own in zip(rows, (1, 6), both, strict=True):
        alone = generate.generate(model, every.batch_of(kind, one), **how | {"most": limit})[0]
        assert alone.tokens == own.tokens
