"""Families: packed documents are as if alone, nothing leaks, and what a recipe says is built."""

from dataclasses import fields

import numpy as np
import pytest
import tiny
import torch

from seesay.config import ModelConfig
from seesay.data.collate import Row, collate
from seesay.errors import LengthError, RecipeError
from seesay.model import families
from seesay.model.rows import visible
from seesay.records import Batch

SETTINGS = tiny.recipe()
WORDS = tiny.text()
QUESTIONS = (("what colour is it ?", "red"), ("what ?", "a large star ."), ("two ?", "yes"))


def packed(rows: list[Row]) -> Batch:
    return collate(rows, picture_token=WORDS.picture, picture_tokens=4, pad=WORDS.pad)


def logits(model, batch: Batch, **options) -> torch.Tensor:
    return model(
        batch.tokens_BT,
        pictures=batch.pictures_NCHW,
        **batch.layout,
        **options,
    )


def documents():
    return tuple(tiny.document(WORDS, question, answer) for question, answer in QUESTIONS)


def pictures(*seeds: int) -> np.ndarray:
    return np.stack([tiny.picture(seed) for seed in seeds])


def two_groups() -> Batch:
    """One row, two groups of pictures: [picture 0, documents 1 2] [pictures 1 2, document 1]."""
    first, second = (
        packed([Row(pictures(0), documents()[:2])]),
        packed([Row(pictures(1, 2), documents()[2:])]),
    )
    size = [int((b.groups_BT >= 0).sum()) for b in (first, second)]

    def joined(name: str) -> torch.Tensor:
        parts = (getattr(first, name)[:, : size[0]], getattr(second, name)[:, : size[1]])
        return torch.cat(parts, dim=1)

    names = ("tokens_BT", "targets_BT", "positions_BT", "documents_BT", "horizon_BT")
    groups = torch.tensor([[0] * size[0] + [1] * size[1]])
    seen = torch.cat((first.pictures_NCHW, second.pictures_NCHW))
    made = {n: joined(n) for n in names}
    made["horizon_BT"][:, size[0] :] += size[0]
    return Batch(**made, groups_BT=groups, pictures_NCHW=seen)


@pytest.mark.parametrize("prefix_lm", [False, True])
@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_packed_documents_are_as_if_alone(positions, prefix_lm):
    settings = tiny.recipe(positions=positions)
    model = tiny.model(settings, WORDS)
    model.prefix_lm = prefix_lm
    together = logits(model, packed([Row(pictures(0), documents())]))
    at = 4
    for document in documents():
        alone = logits(model, packed([Row(pictures(0), (document,))]))
        n = document.num_inputs
        torch.testing.assert_close(
            together[0, at : at + n], alone[0, 4 : 4 + n], atol=1e-5, rtol=1e-5
        )
        at += n
    assert together.std() > 0.1


@pytest.mark.parametrize("prefix_lm", [False, True])
def test_rows_of_a_batch_and_groups_of_a_row_are_as_if_alone(prefix_lm):
    model = tiny.model(SETTINGS, WORDS)
    model.prefix_lm = prefix_lm
    rows = [Row(pictures(0), documents()[:2]), Row(pictures(1, 2), documents()[2:])]
    both, one_row = logits(model, packed(rows)), logits(model, two_groups())
    at = 0
    for b, row in enumerate(rows):
        alone = logits(model, packed([row]))
        n = row.length(4)
        torch.testing.assert_close(both[b, :n], alone[0, :n], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(one_row[0, at : at + n], alone[0, :n], atol=1e-5, rtol=1e-5)
        at += n


@pytest.mark.parametrize("prefix_lm", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_nothing_leaks(fused, prefix_lm):
    """Each token and picture, changed, changes all that may see it and nothing else.

    One changed thing a row: so rows do not leak into each other either.
    """
    model, one = tiny.model(SETTINGS, WORDS), two_groups()
    model.prefix_lm = prefix_lm
    documents_T, groups_T = one.documents_BT[0], one.groups_BT[0]
    words = (documents_T > 0).nonzero()[:, 0]
    rows = 1 + len(words) + 3  # the first as it was
    names = [field.name for field in fields(one) if field.name.endswith("_BT")]
    many = {name: getattr(one, name).repeat(rows, 1) for name in names}
    changed_R = torch.arange(1, 1 + len(words))
    many["tokens_BT"][changed_R, words] = 6 + (one.tokens_BT[0, words] - 5) % 10
    seen = one.pictures_NCHW.repeat(rows, 1, 1, 1)
    for number in range(3):
        place = (1 + len(words) + number) * 3 + number
        seen[place] = 255 - seen[place]
    given = logits(model, Batch(**many, pictures_NCHW=seen), fused=fused)
    moved_RT = (given - given[:1]).abs().amax(-1)
    last_T = one.horizon_BT[0] if prefix_lm else torch.arange(len(documents_T))
    later_RT = last_T >= words[:, None]
    same = (documents_T == documents_T[words, None]) & (groups_T == groups_T[words, None])
    of_pictures = [groups_T == group for group in (0, 1, 1)]
    for moved, may in zip(moved_RT[1:], [*(same & later_RT), *of_pictures], strict=True):
        assert (moved[may] > 1e-6).all() and (moved[~may] == 0).all()


def test_visible_spelled_out():
    """p p | a a | b · in one row: pictures both ways, documents causal, padding to nobody."""
    documents_BT = torch.tensor([[0, 0, 1, 1, 2, -1]])
    groups = torch.tensor([[0, 0, 0, 0, 0, -1]])
    expected = torch.tensor(
        [
            [1, 1, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 0, 0],
            [1, 1, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 0],
        ]
    ).bool()
    allowed = visible(documents_BT, groups)
    assert torch.equal(allowed[0, 0], expected)
    assert torch.equal(visible(documents_BT, groups, queries=slice(-3, None))[0, 0], expected[-3:])


def test_visible_to_a_horizon_spelled_out():
    """p p | a a A · in one row: what is asked is seen both ways, and no answer by it."""
    documents_BT = torch.tensor([[0, 0, 1, 1, 1, -1]])
    horizon = torch.tensor([[1, 1, 3, 3, 4, 5]])
    expected = torch.tensor(
        [
            [1, 1, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0],
            [1, 1, 1, 1, 0, 0],
            [1, 1, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 0],
        ]
    ).bool()
    groups = torch.tensor([[0, 0, 0, 0, 0, -1]])
    assert torch.equal(visible(documents_BT, groups, horizon=horizon)[0, 0], expected)


def test_the_fused_path_is_the_plain_one_and_recording_changes_nothing():
    model, batch = tiny.model(SETTINGS, WORDS), two_groups()
    plain = logits(model, batch)
    torch.testing.assert_close(logits(model, batch, fused=True), plain, atol=1e-5, rtol=1e-5)
    record: dict[str, torch.Tensor] = {}
    torch.testing.assert_close(logits(model, batch, fused=True, record=record), plain)
    assert {
        "vision.blocks.0.attention",
        "text.blocks.0.attention",
        "text.blocks.1.features",
    } <= set(record)
    real = batch.groups_BT[0] >= 0
    for name in ("vision.blocks.0.attention", "text.blocks.1.attention"):
        torch.testing.assert_close(record[name].sum(-1), torch.ones(record[name].shape[:3]))
    hidden = ~visible(batch.documents_BT, batch.groups_BT)[0, 0]
    assert not record["text.blocks.1.attention"][0][:, hidden & real[:, None]].any()


def test_selected_positions_and_given_pictures_change_nothing():
    model, batch = tiny.model(SETTINGS, WORDS), packed([Row(pictures(0), documents())] * 2)
    whole = logits(model, batch)
    select = batch.targets_BT >= 0
    torch.testing.assert_close(logits(model, batch, select=select), whole[select])
    seen = model.see(batch.pictures_NCHW[:1]).repeat(2, 1, 1)
    torch.testing.assert_close(logits(model, batch, seen=seen), whole)


@pytest.mark.parametrize("fused", [False, True])
def test_the_last_block_works_only_where_it_is_asked_and_learns_alike(fused):
    """Rows of unlike numbers of targets, and places that no target has."""
    model = tiny.model(SETTINGS, WORDS)
    batch = packed([Row(pictures(0), documents()), Row(pictures(1), documents()[:1])])
    select = batch.targets_BT >= 0
    assert len(set(select.sum(dim=1).tolist())) == 2
    gradients = []
    for record in (None, {}):
        model.zero_grad()
        chosen = logits(model, batch, select=select, fused=fused, record=record)
        chosen.square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for few, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(few, whole, atol=1e-4, rtol=1e-4)
    nothing = logits(model, batch, select=torch.zeros_like(select))
    assert nothing.shape == (0, len(WORDS))


def test_pictures_and_places_that_do_not_match_are_an_error_with_both_numbers():
    model, batch = tiny.model(SETTINGS, WORDS), packed([Row(pictures(0), documents())])
    with pytest.raises(LengthError, match=r"room for 4 .* give 8"):
        logits(model, batch, seen=torch.zeros(2, 4, 16))


def test_text_alone_needs_no_picture():
    model = tiny.model(SETTINGS, WORDS)
    none = np.zeros((0, 16, 16, 3), np.uint8)
    mixed = packed([Row(none, documents()[:1]), Row(pictures(0), documents()[:1])])
    given = logits(model, mixed)
    alone = logits(model, packed([Row(none, documents()[:1])]))
    n = documents()[0].num_inputs
    torch.testing.assert_close(given[0, :n], alone[0, :n], atol=1e-5, rtol=1e-5)


def test_every_weight_learns():
    """After one step from fresh weights no parameter is left without a gradient."""
    model = families.build(SETTINGS.model, vocabulary=len(WORDS), picture_token=WORDS.picture)
    batch = packed([Row(pictures(0), documents())])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        select = batch.targets_BT >= 0
        loss = torch.nn.functional.cross_entropy(
            logits(model, batch, select=select), batch.targets_BT[select]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


BUILDS = [
    {},
    {"connector": {"kind": "linear"}},
    {"connector": {"kind": "mlp"}},
    {"vision": {"stem": "patch", "image_size": (32, 64)}},
    {"vision": {"kind": "resnet", "stem_residuals": (1, 1, 1), "norms": "rms"}},
    {"vision": {"kind": "resnet", "stem_residuals": (0, 1, 1), "image_size": (48, 80)},
     "connector": {"kind": "linear"}},
    {"vision": {"kind": "resnet", "stem": "patch", "patch": 4}, "connector": {"kind": "linear"}},
    {"vision": {"kind": "resnet", "image_size": (33, 50)}, "connector": {"kind": "mlp"}},
    {"text": {"positions": "learned", "gated": True, "norms": "rms", "head_norm": None,
              "num_kv_heads": 2, "activation": "silu"}},
]  # fmt: skip


@pytest.mark.parametrize("table", BUILDS, ids=str)
def test_what_a_recipe_says_is_built(table):
    """Pictures become the number of tokens that is promised, whatever their proportions."""
    small = {"width": 16, "num_heads": 4, "depth": 1}
    parts = {name: dict(table.get(name, {})) for name in ("vision", "connector", "text")}
    settings = ModelConfig(
        vision=small | {"stem_widths": (8, 8, 8)} | parts["vision"],
        connector=parts["connector"],
        text=small | parts["text"],
    )
    model = families.build(settings, vocabulary=20, picture_token=1).eval()
    height, width = settings.vision.size
    pixels = torch.randint(256, (2, 3, height, width), dtype=torch.uint8)
    count = families.picture_tokens(settings)
    assert model.see(pixels).shape == (2, count, 16)
    tokens = torch.tensor([[1] * count + [7, 8]] * 2)
    one = torch.ones_like(tokens)
    given = model(tokens, pictures=pixels, positions=one.cumsum(1) - 1, documents=one, groups=one)
    assert given.shape == (2, count + 2, 20) and given.isfinite().all()


@pytest.mark.parametrize(("table", "numbers"), [
    ({"vision": {"image_size": 60}}, ("60", "8")),
    ({"vision": {"stem": "patch", "patch": 7}}, ("64", "7")),
    ({"connector": {"factor": 3}}, ("8", "3")),
])  # fmt: skip
def test_grids_that_do_not_fit_are_an_error_with_both_numbers(table, numbers):
    with pytest.raises(RecipeError) as error:
        families.build(ModelConfig(**table), vocabulary=20, picture_token=1)
    assert all(number in str(error.value) for number in numbers)
