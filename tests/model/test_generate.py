"""Generate: cached decoding says what uncached would, rows are independent, beams are best."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from seesay.data.collate import Row, collate
from seesay.data.text import Document
from seesay.errors import LengthError
from seesay.model import families, generate
from seesay.model.generate import Generated
from seesay.records import Batch

PAD, PICTURE, END, VOCABULARY = 0, 1, 4, 9
FORBID = (PAD, PICTURE)
PROMPTS = ([2, 5, 6, 3], [2, 7, 3], [2, 5, 8, 8, 6, 7, 5, 5, 6, 7, 8, 3], [6])


@pytest.fixture(params=["causal", "prefix_lm"])
def model(request):
    """Sharp enough to end some answers early, at random enough to say different things."""
    settings = replace(tiny.recipe().model, prefix_lm=request.param == "prefix_lm")
    made = families.build(settings, vocabulary=VOCABULARY, picture_token=PICTURE)
    return tiny.randomised(made, scale=0.35).eval()


def batch(*prompts: list[int], pictures: int = 1) -> Batch:
    rows = []
    for i, prompt in enumerate(prompts):
        document = Document(np.array(prompt), np.zeros(len(prompt), bool))
        seen = [tiny.picture(10 * i + k) for k in range(pictures)]
        rows.append(
            Row(np.stack(seen) if seen else np.zeros((0, 16, 16, 3), np.uint8), (document,))
        )
    return collate(rows, picture_token=PICTURE, picture_tokens=4, pad=PAD)


def forced(model, prompt: list[int], answers: list[list[int]], *, row: int = 0) -> torch.Tensor:
    """Log-probabilities (A, most, Y) before each token of each answer, without any cache."""
    longest = max(map(len, answers))
    padded = [prompt + answer + [END] * (longest - len(answer)) for answer in answers]
    many = batch(*padded)
    # The prompt sees itself and no answer; an answer sees what came before.
    places, asked = torch.arange(many.tokens_BT.shape[1]), 4 + len(prompt)
    horizon_T = torch.where(places < 4, 3, torch.where(places < asked, asked - 1, places))
    many = replace(many, horizon_BT=horizon_T.expand_as(many.tokens_BT))
    seen = model.see(torch.from_numpy(tiny.picture(10 * row)).permute(2, 0, 1)[None])
    with torch.no_grad():
        logits = model(
            many.tokens_BT,
            pictures=many.pictures_NCHW,
            **many.layout,
            seen=seen.repeat(len(answers), 1, 1),
        )
    start = 4 + len(prompt) - 1
    return logits[:, start : start + longest + 1].log_softmax(-1)


def slow_greedy(model, prompt: list[int], most: int, *, row: int = 0) -> Generated:
    """A forward pass a token, nothing kept."""
    tokens: list[int] = []
    logs: list[float] = []
    while True:
        log_Y = forced(model, prompt, [tokens], row=row)[0, len(tokens)].clone()
        log_Y[list(FORBID)] = -math.inf
        token = int(log_Y.argmax())
        if token == END or len(tokens) < most:
            logs.append(float(log_Y[token]))
        if token == END or len(tokens) == most:
            return Generated(tuple(tokens), tuple(logs), token == END)
        tokens.append(token)


def assert_alike(given: Generated, expected: Generated) -> None:
    assert (given.tokens, given.ended) == (expected.tokens, expected.ended)
    assert given.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-4)


def test_greedy_is_the_argmax_without_a_cache(model):
    """In one batch: prompts of several lengths, answers that end early and late."""
    given = generate.generate(model, batch(*PROMPTS), end=END, most=7, forbid=FORBID)
    for i, prompt in enumerate(PROMPTS):
        assert_alike(given[i], slow_greedy(model, prompt, 7, row=i))
    assert len({len(each.tokens) for each in given}) > 1


def test_some_answers_end_and_some_are_cut():
    """Over many models, both happen, and both are the argmax's."""
    ends = Counter()
    for seed in range(12):
        torch.manual_seed(seed)
        made = families.build(tiny.recipe().model, vocabulary=VOCABULARY, picture_token=PICTURE)
        tiny.randomised(made, scale=0.4).eval()
        given = generate.generate(made, batch(*PROMPTS[:2]), end=END, most=3, forbid=FORBID)
        for i in range(2):
            assert_alike(given[i], slow_greedy(made, PROMPTS[i], 3, row=i))
            ends[given[i].ended] += 1
    assert ends[True] and ends[False]


@pytest.mark.parametrize("options", [
    {}, {"temperature": 0.8, "seeds": [5, 6, 7, 8]}, {"temperature": 2.0, "top_p": 0.7},
])  # fmt: skip
def test_a_batch_of_one_is_a_batch_of_many(model, options):
    together = generate.generate(model, batch(*PROMPTS), end=END, most=6, forbid=FORBID, **options)
    whole = batch(*PROMPTS)
    seeds = options.get("seeds", range(4))
    for i, prompt in enumerate(PROMPTS):
        one = batch(prompt)
        seen = model.see(whole.pictures_NCHW[i : i + 1])
        alone = generate.generate(
            model, one, seen=seen, end=END, most=6, forbid=FORBID, **options | {"seeds": [seeds[i]]}
        )
        assert_alike(alone[0], together[i])


def test_log_probabilities_are_those_of_the_answer_read_back(model):
    """Of sampled answers too, and at any temperature: they are the model's own."""
    options = dict(temperature=1.5, top_p=0.9, seeds=[1, 2, 3, 4], forbid=FORBID)
    given = generate.generate(model, batch(*PROMPTS), end=END, most=5, **options)
    for i, each in enumerate(given):
        said = [*each.tokens, END] if each.ended else [*each.tokens]
        log = forced(model, PROMPTS[i], [said], row=i)[0]
        expected = [float(log[at, token]) for at, token in enumerate(said)]
        assert each.log_probabilities == pytest.approx(expected, abs=1e-4)


def test_the_fused_path_says_the_same(model):
    plain = generate.generate(model, batch(*PROMPTS), end=END, most=6, forbid=FORBID)
    fused = generate.generate(model, batch(*PROMPTS), end=END, most=6, forbid=FORBID, fused=True)
    for one, other in zip(plain, fused, strict=True):
        assert_alike(other, one)


@pytest.mark.parametrize("most", [0, 1, 5])
def test_no_answer_is_longer_than_it_may_be(model, most):
    given = generate.generate(model, batch(*PROMPTS), end=END, most=most, forbid=FORBID)
    for each in given:
        assert len(each.tokens) <= most
        assert each.ended or len(each.tokens) == most
        assert len(each.log_probabilities) == len(each.tokens) + each.ended
        assert END not in each.tokens


def test_each_row_has_a_limit_of_its_own(model):
    limits = [3, 0, 5, 1]
    given = generate.generate(model, batch(*PROMPTS), end=END, most=limits, forbid=FORBID)
    for i, limit in enumerate(limits):
        assert_alike(given[i], slow_greedy(model, PROMPTS[i], limit, row=i))
    for bad in ([1, 2], [1, 1, 1, -1]):
        with pytest.raises(LengthError):
            generate.generate(model, batch(*PROMPTS), end=END, most=bad)


def test_text_without_pictures_is_continued(model):
    one = batch(*PROMPTS, pictures=0)
    given = generate.generate(model, one, end=END, most=4, forbid=FORBID)
    alone = generate.generate(model, batch(PROMPTS[2], pictures=0), end=END, most=4, forbid=FORBID)
    assert_alike(alone[0], given[2])


def test_a_later_group_of_a_row_is_the_one_continued(model):
    """Its own pictures are seen, and the group before it is not."""
    one = batch(PROMPTS[0])
    n = 4 + len(PROMPTS[0])
    names = ("tokens_BT", "targets_BT", "positions_BT", "documents_BT", "groups_BT")
    twice = {name: getattr(one, name)[:, :n].repeat(1, 2) for name in names}
    twice["groups_BT"][:, n:] = 1
    assert one.horizon_BT is not None
    twice["horizon_BT"] = torch.cat((one.horizon_BT[:, :n], one.horizon_BT[:, :n] + n), dim=1)
    seen = model.see(one.pictures_NCHW)
    other = model.see(255 - one.pictures_NCHW)
    joined = Batch(**twice, pictures_NCHW=one.pictures_NCHW)
    given = generate.generate(
        model, joined, seen=torch.cat((other, seen)), end=END, most=5, forbid=FORBID
    )
    assert_alike(given[0], generate.generate(model, one, end=END, most=5, forbid=FORBID)[0])


# Sampling.


def draw(log: torch.Tensor, temperature: float, top_p: float, count: int = 4000) -> torch.Tensor:
    """Shares of each token among many draws."""
    many = log.expand(count, -1)
    random = [torch.Generator().manual_seed(seed) for seed in range(count)]
    drawn = generate._choose(many, temperature, top_p, random)
    return torch.bincount(drawn, minlength=len(log)) / count


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_tempered_distribution(temperature):
    log = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    expected = (log / temperature).softmax(0)
    assert (draw(log, temperature, 1.0) - expected).abs().max() < 0.03


@pytest.mark.parametrize(("top_p", "kept"), [(0.35, 1), (0.45, 2), (0.75, 3), (1.0, 4)])
def test_nucleus_sampling_draws_from_the_likeliest(top_p, kept):
    p = torch.tensor([0.1, 0.4, 0.2, 0.3])
    inside = p.sort(descending=True).indices[:kept]
    expected = torch.zeros(4)
    expected[inside] = p[inside] / p[inside].sum()
    assert (draw(p.log(), 1.0, top_p) - expected).abs().max() < 0.03


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-44])
def test_cold_sampling_is_greedy_and_never_breaks(temperature):
    log = torch.tensor([-math.inf, -5.0, -0.3, -0.4])
    assert draw(log, temperature, 1.0, count=50).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("how", [{}, {"temperature": 50.0}, {"beams": 5}], ids=str)
def test_forbidden_tokens_never_appear(model, how):
    forbid = (PAD, PICTURE, 5, 8)
    for seed in range(10):
        if "beams" in how:
            call, options = generate.beam_search, dict(how)
        else:
            call, options = generate.generate, how | {"seeds": range(seed, seed + 4)}
        given = call(model, batch(*PROMPTS), end=END, most=6, forbid=forbid, **options)
        assert not set().union(*(each.tokens for each in given)) & set(forbid)


# Beams.


def brute_force(model, prompt: list[int], most: int, penalty: float) -> Generated:
    """The best of all answers of at most so many tokens that end."""
    words = [token for token in range(VOCABULARY) if token not in (*FORBID, END)]
    answers = [list(a) for n in range(most + 1) for a in itertools.product(words, repeat=n)]
    log = forced(model, prompt, answers)
    best, score = None, -math.inf
    for a, answer in enumerate(answers):
        logs = [float(log[a, at, token]) for at, token in enumerate([*answer, END])]
        if sum(logs) / len(logs) ** penalty > score:
            score = sum(logs) / len(logs) ** penalty
            best = Generated(tuple(answer), tuple(logs), True)
    assert best is not None
    return best


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wide_beams_find_the_best_of_all_answers(seed, penalty):
    torch.manual_seed(seed)
    made = families.build(tiny.recipe().model, vocabulary=VOCABULARY, picture_token=PICTURE)
    tiny.randomised(made, scale=0.4).eval()
    given = generate.beam_search(
        made, batch(PROMPTS[0]), end=END, most=3, beams=400, length_penalty=penalty, forbid=FORBID
    )
    assert_alike(given[0], brute_force(made, PROMPTS[0], 3, penalty))


def test_one_beam_is_greedy():
    for seed in range(10):
        torch.manual_seed(seed)
        made = families.build(tiny.recipe().model, vocabulary=VOCABULARY, picture_token=PICTURE)
        tiny.randomised(made, scale=0.4).eval()
        options = dict(end=END, most=4, forbid=FORBID)
        beam = generate.beam_search(made, batch(*PROMPTS), beams=1, **options)
        for one, other in zip(
            beam, generate.generate(made, batch(*PROMPTS), **options), strict=True
        ):
            assert_alike(one, other)


def test_beams_do_not_depend_on_neighbours(model):
    options = dict(end=END, most=5, forbid=FORBID)
    together = generate.beam_search(model, batch(*PROMPTS), beams=4, **options)
    whole = batch(*PROMPTS)
    for i, prompt in enumerate(PROMPTS):
        seen = model.see(whole.pictures_NCHW[i : i + 1])
        alone = generate.beam_search(model, batch(prompt), seen=seen, beams=4, **options)
        assert_alike(alone[0], together[i])
        logs = alone[0].log_probabilities
        said = [*alone[0].tokens, END] if alone[0].ended else [*alone[0].tokens]
        read = forced(model, prompt, [said], row=i)[0]
        assert logs == pytest.approx([float(read[t, w]) for t, w in enumerate(said)], abs=1e-4)
    assert all(len(each.tokens) <= 5 for each in together)


@pytest.mark.parametrize("most", [0, 1])
def test_beams_respect_short_limits(model, most):
    for each in generate.beam_search(model, batch(*PROMPTS), end=END, most=most, beams=3):
        assert len(each.tokens) <= most
