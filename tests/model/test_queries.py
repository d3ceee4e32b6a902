"""BLIP-2's first stage: what queries and words see of each other, as they are told and likened."""

import pytest
import tiny
import torch

from seesay import config
from seesay.errors import RecipeError
from seesay.model import families, layers, qformer
from seesay.model.queries import Queries
from seesay.model.rows import Context

WORDS = tiny.text()
QUERIES, LENGTH = 3, 6


def settings(**model) -> config.ModelConfig:
    table = config.as_table(tiny.recipe())
    plain = table["model"]
    connector = {**plain["connector"], "queries": QUERIES, **model.pop("connector", {})}
    given = {"family": "queries", "space": 8, "connector": connector}
    return config.recipe({**table, "model": {**plain, **given, **model}}).model


def built(**model) -> Queries:
    made = families.build(settings(**model), vocabulary=len(WORDS), picture_token=WORDS.picture)
    assert isinstance(made, Queries)
    return tiny.randomised(made, scale=0.2).eval()


def patches(*seeds: int) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.randn(16, 16, generator=one) for one in generators])


def contexts(*rows: tuple[int, ...]) -> Context:
    owners = [number for number, row in enumerate(rows) for _ in row]
    seen = patches(*(seed for row in rows for seed in row))
    return Context.of(seen, torch.tensor(owners), rows=len(rows))


@torch.no_grad()
def test_words_are_told_as_one_run_of_the_q_former_has_it():
    """Queries first, which see each other; then words, which see them and the words before."""
    model, seen = built(), patches(0)
    tokens = torch.tensor([[WORDS.picture, *range(7, 7 + LENGTH)]])
    places = torch.arange(LENGTH + 1)[None]
    documents = (places > 0).long()
    given = model(
        tokens,
        pictures=torch.zeros(0, 3, 16, 16, dtype=torch.uint8),
        positions=places,
        documents=documents,
        groups=0 * places,
        seen=seen,
    )
    real = torch.ones_like(tokens, dtype=torch.bool)
    may = qformer.allowed(real, num_queries=QUERIES, causal=True)
    text = model.text.embed(tokens, positions=places)
    whole = model.qformer(seen, text=text, bias=layers.mask_bias(may, torch.float32))
    wanted = model.text.logits(model.word_head(whole[:, QUERIES:]))
    torch.testing.assert_close(given, wanted)


@torch.no_grad()
def test_a_picture_is_as_near_a_text_as_its_nearest_query():
    model = built()
    tokens = torch.arange(8, 14).view(2, 3)
    said = model.embed_texts(tokens, torch.ones_like(tokens, dtype=torch.bool))
    alone = model.embed_pictures(contexts((0,), (1,)))
    assert alone.shape == (2, QUERIES, 8)
    scores = model.similarity(alone, said)
    best = (alone[0] @ said.T).amax(dim=0) * model.scale.exp()
    torch.testing.assert_close(scores[0], best)
    # Of a row's pictures the nearest counts, and one that is not there does not.
    rows = model.embed_pictures(contexts((0, 1), (1,)))
    together = model.similarity(rows, said)
    torch.testing.assert_close(together, torch.stack((scores.amax(dim=0), scores[1])))


@torch.no_grad()
def test_queries_of_a_picture_do_not_see_another():
    model = built()
    alone, beside = (model.embed_pictures(contexts(row)) for row in ((0,), (2, 0)))
    torch.testing.assert_close(beside[:, QUERIES:], alone)


@torch.no_grad()
def test_both_pictures_of_a_row_count_in_a_match():
    model = built()
    tokens = torch.arange(8, 11)[None]
    real = torch.ones_like(tokens, dtype=torch.bool)
    scores = [model.match(tokens, real, contexts(row)) for row in ((0, 1), (0, 2), (2, 1), (0,))]
    assert len({round(float(score), 5) for score in scores}) == 4


def test_all_of_it_learns_from_the_three_objectives():
    model = built()
    tokens = torch.arange(8, 20).view(2, 6)
    real = torch.ones_like(tokens, dtype=torch.bool)
    marked = torch.cat((torch.full((2, 1), WORDS.picture), tokens), dim=1)
    places = torch.arange(7).expand(2, -1)
    pixels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    seen = model.see(pixels)
    context = Context.of(seen, torch.arange(2), rows=2)
    told = model(
        marked,
        pictures=pixels,
        positions=places,
        documents=(places > 0).long(),
        groups=0 * places,
        seen=seen,
    )
    scores = model.similarity(model.embed_pictures(context), model.embed_texts(tokens, real))
    truth = model.match(tokens, real, context)
    (told.square().mean() + scores.diag().sum() - scores.sum() + truth.sum()).backward()
    still = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert not still


def test_queries_and_words_are_of_one_width():
    with pytest.raises(RecipeError, match="the queries are 24 wide but the words 16") as error:
        built(connector={"width": 24})
    assert "write 16" in error.value.fix
