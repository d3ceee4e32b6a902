"""Our connectors and gated blocks with Hugging Face's weights give Hugging Face's numbers."""

import pytest
import torch
from theirs import loaded, randomised, renamed
from torch import nn

from seesay.model import connectors, gated, layers, qformer, queries
from seesay.model.rows import Context
from seesay.model.text import Words

transformers = pytest.importorskip("transformers")

WIDTH, SEEN, HEADS, INNER, DEPTH = 32, 24, 4, 48, 3
ROWS, PATCHES, QUERIES, LENGTH = 3, 10, 5, 7


def assert_close(given: torch.Tensor, expected: torch.Tensor, *, varies: float = 0.1) -> None:
    assert expected.std() > varies
    torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)


def masked(there: torch.Tensor) -> torch.Tensor:
    return layers.mask_bias(there.bool(), torch.float32)


# Flamingo's parts, as Idefics has them.


def idefics(**options) -> "transformers.IdeficsConfig":
    return transformers.IdeficsConfig(
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_attention_heads=HEADS,
        vision_config=dict(embed_dim=SEEN),
        attn_implementation="eager",
        **options,
    )


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("head_norm", [None, "layer"])
def test_the_resampler_is_idefics(head_norm, fused):
    """Heads whose widths do not add up to the model's, too."""
    from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

    settings = idefics(perceiver_config=dict(qk_layer_norms_perceiver=head_norm is not None))
    theirs = randomised(IdeficsPerceiverResampler(settings, SEEN, DEPTH, HEADS, 8, QUERIES))
    names = {
        "latents_layer_norm": "query_norm",
        "latents": "queries",
        ".0.context_layer_norm": ".patch_norm",
        ".0.query_norm": ".query_norm",
        ".0.q_layer_norm": ".attention.query_norm",
        ".0.k_layer_norm": ".attention.key_norm",
        ".0.q_proj": ".attention.query",
        ".0.k_proj": ".attention.key",
        ".0.v_proj": ".attention.value",
        ".0.output_proj": ".attention.out",
        ".1.ln": ".mlp_norm",
        ".1.fc": ".mlp.up",
        ".1.c_proj": ".mlp.down",
        "layer_norm": "norm",
    }
    blocks = connectors.perceiver_blocks(
        depth=DEPTH,
        width=SEEN,
        num_heads=HEADS,
        head_width=8,
        mlp_inner=4 * SEEN,
        activation="relu",
        head_norm=head_norm,
    )
    ours = connectors.Resampler(
        queries=torch.zeros(QUERIES, SEEN),
        blocks=blocks,
        norm=layers.norm("layer", SEEN, epsilon=1e-5),
    )
    loaded(ours, renamed(theirs, names))
    patches = torch.randn(ROWS, PATCHES, SEEN)
    with torch.no_grad():
        assert_close(ours(patches, fused=fused), theirs(patches))


GATED = {
    "cross_attn.q_proj": "attention.query",
    "cross_attn.k_proj": "attention.key",
    "cross_attn.v_proj": "attention.value",
    "cross_attn.o_proj": "attention.out",
    "cross_attn.q_layer_norm": "attention.query_norm",
    "cross_attn.k_layer_norm": "attention.key_norm",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "mlp_norm",
    "gate_proj": "gate",
    "up_proj": "up",
    "down_proj": "down",
    "alpha_cross_attn": "attention_gate",
    "alpha_dense": "mlp_gate",
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("alpha", ["float", "vector"])
@pytest.mark.parametrize("head_norm", [None, "rms"])
def test_gated_cross_attention_is_idefics(head_norm, alpha, fused):
    """Positions that may look at no picture, or at some, too; in one row at none at all."""
    from transformers.models.idefics.modeling_idefics import IdeficsGatedCrossAttentionLayer

    settings = idefics(alpha_type=alpha, qk_layer_norms=head_norm is not None)
    theirs = randomised(IdeficsGatedCrossAttentionLayer(settings, layer_idx=0))
    ours = gated.GatedCross(
        attention=layers.Attention(
            width=WIDTH, num_heads=HEADS, context_width=SEEN, head_norm=head_norm
        ),
        attention_norm=layers.norm("rms", WIDTH),
        mlp=layers.MLP(width=WIDTH, inner=INNER, activation="silu", gated=True, bias=False),
        mlp_norm=layers.norm("rms", WIDTH),
        gate_width=WIDTH if alpha == "vector" else 1,
    )
    weights = renamed(theirs, GATED)
    for name in ("attention_gate", "mlp_gate"):
        weights[name] = weights[name].flatten()
    loaded(ours, weights)
    x, seen = torch.randn(ROWS, LENGTH, WIDTH), torch.randn(ROWS, PATCHES, SEEN)
    there = torch.zeros(ROWS, 1, LENGTH, PATCHES, dtype=torch.bool)
    there[0, :, 2:, :6] = there[1, :, 4:, 3:] = there[1, :, 6:] = True
    bias = masked(there)
    with torch.no_grad():
        expected = theirs(
            x,
            image_hidden_states=seen,
            image_attention_mask=bias,
            cross_attention_gate=there.any(-1)[:, 0].float(),
        )
        assert_close(ours(x, context=seen, context_bias=bias, fused=fused), expected)


# The Q-Former.

SHARED = dict(
    vocab_size=61,
    hidden_size=WIDTH,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
    intermediate_size=INNER,
    encoder_hidden_size=SEEN,
    attn_implementation="eager",
)
QFORMER = {
    "encoder.layer.": "blocks.",
    "crossattention.attention": "cross",
    "crossattention.output.dense": "cross.out",
    "crossattention.output.LayerNorm": "cross_norm",
    "attention.attention": "attention",
    "attention.output.dense": "attention.out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate_query.dense": "mlp.up",
    "output_query.dense": "mlp.down",
    "output_query.LayerNorm": "mlp_norm",
    "intermediate.dense": "text_mlp.up",
    "output.dense": "text_mlp.down",
    "output.LayerNorm": "text_mlp_norm",
    "layernorm": "norm",
}


def our_qformer(theirs: nn.Module, *, every: int = 2, text: bool = True) -> qformer.QFormer:
    blocks = qformer.query_blocks(
        depth=DEPTH,
        width=WIDTH,
        num_heads=HEADS,
        mlp_inner=INNER,
        vision_width=SEEN,
        cross_every=every,
        text=text,
    )
    ours = qformer.QFormer(
        queries=torch.randn(QUERIES, WIDTH),
        norm=layers.norm("layer", WIDTH, epsilon=1e-12),
        blocks=blocks,
    )
    weights = renamed(theirs, QFORMER, drop=("embeddings.word", "embeddings.position"))
    weights = {name.removeprefix("embeddings."): value for name, value in weights.items()}
    return loaded(ours, weights | {"queries": ours.queries.detach()})


def padding() -> torch.Tensor:
    there = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    there[1, 4:] = there[2, 6:] = False
    return there


def blip2(**options) -> nn.Module:
    settings = transformers.Blip2QFormerConfig(**SHARED, **options)
    return randomised(transformers.Blip2QFormerModel(settings))


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("every", [1, 2])
def test_queries_alone_are_blip2s(every, fused):
    """Some patches of a picture hidden, too."""
    theirs = blip2(cross_attention_frequency=every)
    ours = our_qformer(theirs, every=every, text=False)
    patches, there = torch.randn(ROWS, PATCHES, SEEN), torch.ones(ROWS, PATCHES)
    there[1, 8:] = 0
    with torch.no_grad():
        queries = ours.queries.expand(ROWS, -1, -1)
        expected = theirs(
            queries, encoder_hidden_states=patches, encoder_attention_mask=there
        ).last_hidden_state
        given = ours(patches, patch_bias=masked(there)[:, None, None], fused=fused)
    assert_close(given, expected)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_queries_and_text_are_blip2s(causal, fused):
    """Both ways (matching), and text that follows queries (captioning)."""
    theirs = blip2(use_qformer_text_input=True)
    ours = our_qformer(theirs)
    patches, text = torch.randn(ROWS, PATCHES, SEEN), torch.randn(ROWS, LENGTH, WIDTH)
    may = qformer.allowed(padding(), num_queries=QUERIES, causal=causal)
    there = torch.nn.functional.pad(padding(), (QUERIES, 0), value=True)
    with torch.no_grad():
        expected = theirs(
            torch.cat((ours.queries.expand(ROWS, -1, -1), text), dim=1),
            query_length=QUERIES,
            attention_mask=masked(may) if causal else there.long(),
            encoder_hidden_states=patches,
        ).last_hidden_state
        given = ours(patches, text=text, bias=masked(may), fused=fused)
    assert_close(given[there], expected[there])


def test_text_alone_is_blip2s():
    theirs = blip2(use_qformer_text_input=True)
    ours, text = our_qformer(theirs), torch.randn(ROWS, LENGTH, WIDTH)
    may = qformer.allowed(padding(), num_queries=0)
    with torch.no_grad():
        expected = theirs(text, query_length=0, attention_mask=padding().long()).last_hidden_state
        given = ours(None, text=text, bias=masked(may))
    assert_close(given[padding()], expected[padding()])


def our_queries(theirs: nn.Module) -> queries.Queries:
    """The family with the weights of a model for retrieval; its temperature is 1."""
    embedded = theirs.embeddings
    match_head = nn.Linear(WIDTH, 1)
    match_head.weight.data = theirs.itm_head.weight[1:] - theirs.itm_head.weight[:1]
    match_head.bias.data = theirs.itm_head.bias[1:] - theirs.itm_head.bias[:1]
    ours = queries.Queries(
        vision=nn.Identity(),
        qformer=our_qformer(theirs.qformer),
        text=Words(embedded.word_embeddings, positions=embedded.position_embeddings),
        project=theirs.vision_projection,
        text_project=theirs.text_projection,
        match_head=match_head,
        word_head=nn.Identity(),
        picture_token=0,
        scale=0.0,
    )
    ours.qformer.queries.data = theirs.query_tokens[0]
    return ours.eval()


@pytest.mark.parametrize("fused", [False, True])
def test_the_family_scores_as_blip2(fused):
    """Contrastive and matching: queries and text apart, and together."""
    settings = transformers.Blip2Config(
        vision_config=dict(
            hidden_size=SEEN,
            intermediate_size=INNER,
            num_hidden_layers=1,
            num_attention_heads=HEADS,
            image_size=16,
            patch_size=8,
        ),
        qformer_config=SHARED | dict(use_qformer_text_input=True),
        num_query_tokens=QUERIES,
        image_text_hidden_size=12,
        attn_implementation="eager",
    )
    theirs = randomised(transformers.Blip2ForImageTextRetrieval(settings))
    ours = our_queries(theirs)
    pixels, tokens = torch.randn(ROWS, 3, 16, 16), torch.randint(1, 61, (ROWS, LENGTH))
    asked = dict(pixel_values=pixels, input_ids=tokens, attention_mask=padding().long())
    with torch.no_grad():
        patches = theirs.vision_model(pixels).last_hidden_state
        context = Context.of(patches, torch.arange(ROWS), rows=ROWS)
        says = ours.embed_texts(tokens, padding(), fused=fused)
        score = ours.similarity(ours.embed_pictures(context), says)
        assert_close(score, theirs(**asked).logits_per_image, varies=0.02)
        match = theirs(**asked, use_image_text_matching_head=True).logits_per_image
        given = ours.match(tokens, padding(), context, fused=fused)
        assert_close(given, match[:, 1] - match[:, 0])


@pytest.mark.parametrize("fused", [False, True])
def test_queries_with_an_instruction_are_instructblips(fused):
    settings = transformers.InstructBlipQFormerConfig(**SHARED)
    from transformers.models.instructblip.modeling_instructblip import InstructBlipQFormerModel

    theirs = randomised(InstructBlipQFormerModel(settings))
    ours = our_qformer(theirs)
    patches, tokens = torch.randn(ROWS, PATCHES, SEEN), torch.randint(1, 61, (ROWS, LENGTH))
    there = torch.nn.functional.pad(padding(), (QUERIES, 0), value=True)
    may = qformer.allowed(padding(), num_queries=QUERIES)
    embeddings = theirs.embeddings
    with torch.no_grad():
        expected = theirs(
            tokens,
            attention_mask=there.long(),
            query_embeds=ours.queries.expand(ROWS, -1, -1),
            encoder_hidden_states=patches,
        ).last_hidden_state
        places = embeddings.position_embeddings(torch.arange(LENGTH))
        text = embeddings.word_embeddings(tokens) + places
        given = ours(patches, text=text, bias=masked(may), fused=fused)
    assert_close(given[there], expected[there])
