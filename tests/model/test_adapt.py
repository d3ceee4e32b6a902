"""What fine-tuning puts in: nothing changes before the first step, and LoRA merges away."""

import copy
import re

import pytest
import tiny
import torch
from torch import nn

from seesay.data.collate import Row, collate
from seesay.errors import RecipeError
from seesay.model import adapt
from seesay.model.adapt import LoRA
from seesay.model.layers import LayerCache
from seesay.tuning import TuneConfig

WORDS = tiny.text()
METHODS = {
    "lora": {"alpha": 4.0, "rank": 3},
    "adapters": {"bottleneck": 5},
    "prompt": {"length": 7},
    "prefix": {"length": 4},
    "linear": {},
}
TEXTS = {
    "rotary": {},
    "learned, grouped": {"positions": "learned", "num_kv_heads": 1, "head_norm": "rms"},
}


@pytest.fixture(params=TEXTS)
def settings(request):
    return tiny.recipe(**TEXTS[request.param])


@pytest.fixture
def plain(settings):
    return tiny.model(settings, WORDS)


def tuned(model: nn.Module, method: str, **given) -> nn.Module:
    return adapt.apply(
        copy.deepcopy(model), TuneConfig(method=method, **{**METHODS[method], **given})
    ).eval()


def moved(model: nn.Module) -> nn.Module:
    """Everything put in drawn at random, as if it had been trained."""
    with torch.no_grad():
        for _, parameter in adapt.added(model):
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model


def logits(model, settings, *, fused: bool = False) -> torch.Tensor:
    """Of two packed rows of two documents, each after a picture of its own."""
    asked = [tiny.document(WORDS, "what colour is it ?", answer) for answer in ("red", "green")]
    rows = [Row(tiny.picture(i)[None], tuple(asked), f"row {i}") for i in range(2)]
    tokens = tiny.fit(settings).picture_tokens
    batch = collate(rows, picture_token=WORDS.picture, picture_tokens=tokens, pad=WORDS.pad)
    with torch.no_grad():
        return model(batch.tokens_BT, pictures=batch.pictures_NCHW, **batch.layout, fused=fused)


def inputs(*, words: int) -> dict[str, torch.Tensor]:
    """A picture and some words after it."""
    tokens = torch.tensor([[WORDS.picture] * 4 + list(range(9, 9 + words))])
    return {
        "tokens": tokens,
        "pictures": torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8),
        "positions": torch.arange(tokens.shape[1])[None],
        "documents": torch.tensor([[0] * 4 + [1] * words]),
        "groups": torch.zeros_like(tokens),
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fused", [False, True])
def test_before_the_first_step_the_model_is_what_it_was(plain, settings, method, fused):
    before = logits(plain, settings, fused=fused)
    assert torch.equal(logits(tuned(plain, method), settings, fused=fused), before)


@pytest.mark.parametrize("method", ["lora", "adapters", "prompt", "prefix"])
def test_what_is_put_in_does_something_and_alike_on_both_paths(plain, settings, method):
    model = moved(tuned(plain, method))
    after = logits(model, settings)
    assert (after - logits(plain, settings)).abs().max() > 1e-2
    torch.testing.assert_close(logits(model, settings, fused=True), after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["lora", "adapters", "prompt", "prefix", "linear"])
def test_all_that_is_put_in_gets_a_gradient(plain, settings, method):
    model = moved(tuned(plain, method))
    made = model(**inputs(words=3))
    made.square().sum().backward()
    names = dict(adapt.added(model))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in names.values()), names
    assert method == "linear" or names


# What is put in where.


def test_lora_goes_into_queries_and_values(plain):
    names = [n for n, part in tuned(plain, "lora").named_modules() if isinstance(part, LoRA)]
    assert names == [
        f"{part}.{end}"
        for part in ("vision.blocks.0", "text.blocks.0", "text.blocks.1")
        for end in ("attention.query", "attention.value")
    ]
    model = tuned(plain, "lora", modules=("mlp.up", "out"), within=("text.blocks.*.mlp", "vision"))
    names = [n for n, part in model.named_modules() if isinstance(part, LoRA)]
    assert sorted(names) == [
        "text.blocks.0.mlp.up", "text.blocks.1.mlp.up",
        "vision.blocks.0.attention.out", "vision.blocks.0.mlp.up",
    ]  # fmt: skip


def test_the_numbers_of_parameters(plain, settings):
    width, blocks, kv = 16, 3, settings.model.text.num_kv_heads or 2
    counts = {m: sum(p.numel() for _, p in adapt.added(tuned(plain, m))) for m in METHODS}
    values = 2 * kv * 8 + 16  # of the values' widths in two blocks of the text and one of vision
    assert counts["lora"] == 3 * (blocks * width + blocks * width + blocks * width + values)
    each = 5 * width + 5 + 5 * width + width
    assert counts["adapters"] == 2 * blocks * each
    assert counts["prompt"] == 7 * width + 2
    assert counts["prefix"] == 2 * 4 * 8 * (2 + 2 * kv) + blocks * 2
    assert counts["linear"] == 0


def test_a_prompt_stands_before_the_text_only(plain):
    model = tuned(plain, "prompt")
    assert {name for name, _ in adapt.added(model)} == {
        "text.blocks.0.attention.prefix.vectors", "text.blocks.0.attention.prefix.gate"
    }  # fmt: skip
    model = tuned(plain, "prompt", within=("vision",))
    assert all(name.startswith("vision.blocks.0") for name, _ in adapt.added(model))


def test_a_head_is_untied_from_the_embedding(plain):
    model = tuned(plain, "linear")
    assert torch.equal(model.text.head.weight, plain.text.embedding.weight)
    rates = {rule.match: rule.rate for rule in adapt.rules(model, TuneConfig(method="linear"))}
    assert rates == {"*": 0.0, "text.head": 1.0}


@pytest.mark.parametrize(("given", "said", "fix"), [
    ({"modules": ("qeury",)}, "'qeury' names no module", "did you mean 'query'?"),
    ({"within": ("txt",)}, "'txt' names no module", "did you mean 'text'?"),
    ({"within": ("connector",)}, "'query, value' names no module", "did you mean|known: project"),
])  # fmt: skip
def test_a_name_of_nothing_is_an_error(plain, given, said, fix):
    with pytest.raises(RecipeError, match=re.escape(said)) as error:
        tuned(plain, "lora", **given)
    assert re.search(fix, error.value.fix), error.value.fix


# Merging.


def test_a_merged_lora_is_the_model_with_it(plain, settings):
    model = moved(tuned(plain, "lora"))
    merged = adapt.merged(model)
    torch.testing.assert_close(
        logits(merged, settings), logits(model, settings), atol=1e-5, rtol=1e-5
    )
    assert merged.state_dict().keys() == plain.state_dict().keys()
    assert not torch.equal(logits(merged, settings), logits(plain, settings))
    # The model itself goes on being trained.
    assert any(isinstance(part, LoRA) for part in model.modules())


def test_one_map_under_two_names_gets_one_lora():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query = nn.Linear(3, 3)
            self.value = self.query

    model = adapt.apply(Shared(), TuneConfig(method="lora"))
    assert model.query is model.value and isinstance(model.query, LoRA)
    merged = adapt.merged(moved(model))
    assert merged.query is merged.value and isinstance(merged.query, nn.Linear)


def test_a_model_without_lora_is_merged_already(plain):
    assert adapt.merged(plain) is plain


# Decoding, with the cache of keys and values.


@pytest.mark.parametrize("method", ["lora", "adapters", "prompt", "prefix"])
def test_decoding_with_a_cache_says_what_the_whole_says(plain, method):
    model = moved(tuned(plain, method))
    given = inputs(words=6)
    with torch.no_grad():
        whole = model(**given)
        seen = model.see(given.pop("pictures"))
        caches = [LayerCache() for _ in model.text.blocks]
        parts = []
        for start, end in ((0, 7), (7, 8), (8, 10)):
            tokens, positions = (given[name][:, start:end] for name in ("tokens", "positions"))
            parts.append(
                model.decode(
                    tokens,
                    seen=seen if start == 0 else None,
                    positions=positions,
                    documents=given["documents"][:, :end],
                    groups=given["groups"][:, :end],
                    caches=caches,
                )
            )
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)
