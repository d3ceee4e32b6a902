"""Our blocks with Hugging Face's weights give Hugging Face's numbers."""

import pytest
import torch
from theirs import loaded, randomised, renamed
from torch import nn

from seesay.model import blocks, layers, vision
from seesay.model.connectors import PixelShuffle
from seesay.model.layers import Rotary
from seesay.model.rows import visible
from seesay.model.text import Decoder

transformers = pytest.importorskip("transformers")

WIDTH, HEADS, INNER, VOCABULARY, DEPTH, LENGTH = 32, 4, 48, 61, 2, 11
ROWS = 3


# Decoders.

LLAMA = {
    "model.": "",
    "embed_tokens": "embedding",
    "layers.": "blocks.",
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.out",
    "self_attn.q_norm": "attention.query_norm",
    "self_attn.k_norm": "attention.key_norm",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "mlp_norm",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
    "lm_head": "head",
}
SHARED = dict(
    vocab_size=VOCABULARY,
    hidden_size=WIDTH,
    intermediate_size=INNER,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
    num_key_value_heads=2,
    rms_norm_eps=1e-6,
    tie_word_embeddings=False,
    attn_implementation="eager",
)


def llama_like(**options) -> Decoder:
    head_width = options.pop("head_width", WIDTH // HEADS)
    rotary = Rotary(width=head_width, base=options.pop("base", 10_000.0))
    return Decoder(
        embedding=nn.Embedding(VOCABULARY, WIDTH),
        rotary=rotary,
        head=nn.Linear(WIDTH, VOCABULARY, bias=False),
        norm=layers.norm("rms", WIDTH),
        blocks=blocks.stack(
            depth=DEPTH,
            width=WIDTH,
            num_heads=HEADS,
            num_kv_heads=2,
            head_width=head_width,
            mlp_inner=INNER,
            activation="silu",
            gated=True,
            norms="rms",
            rotary=rotary,
            **options,
        ),
    )


def logits(decoder: Decoder, tokens: torch.Tensor, *, fused: bool) -> torch.Tensor:
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    one = torch.ones_like(tokens)
    bias = layers.mask_bias(visible(one, one), torch.float32)
    x = decoder.embed(tokens)
    return decoder.logits(decoder(x, positions=positions, bias=bias, fused=fused))


def assert_same_logits(decoder: Decoder, theirs: nn.Module) -> None:
    tokens = torch.randint(VOCABULARY, (ROWS, LENGTH))
    with torch.no_grad():
        expected = theirs(tokens).logits
        assert expected.std() > 0.1
        for fused in (False, True):
            torch.testing.assert_close(
                logits(decoder, tokens, fused=fused), expected, atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_llama(base):
    """RMSNorm, rotary positions, SwiGLU, grouped key-value heads."""
    settings = transformers.LlamaConfig(
        **SHARED, rope_parameters={"rope_type": "default", "rope_theta": base}
    )
    theirs = randomised(transformers.LlamaForCausalLM(settings))
    assert_same_logits(loaded(llama_like(base=base), renamed(theirs, LLAMA)), theirs)


def test_llama_with_another_base_is_not_the_same():
    """The comparison can fail: a wrong rotary base is seen."""
    theirs = randomised(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHARED)))
    wrong = loaded(llama_like(base=100.0), renamed(theirs, LLAMA))
    with pytest.raises(AssertionError):
        assert_same_logits(wrong, theirs)


def test_qwen2():
    """Biases on queries, keys and values alone."""
    theirs = randomised(transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SHARED)))
    ours = llama_like(bias=True, out_bias=False, mlp_bias=False)
    assert_same_logits(loaded(ours, renamed(theirs, LLAMA)), theirs)


def test_qwen3():
    """Normalised queries and keys, and heads whose widths do not add up to the model's."""
    settings = transformers.Qwen3Config(**SHARED, head_dim=12)
    theirs = randomised(transformers.Qwen3ForCausalLM(settings))
    ours = llama_like(head_norm="rms", head_width=12)
    assert_same_logits(loaded(ours, renamed(theirs, LLAMA)), theirs)


def test_gpt2():
    """Learned positions, LayerNorm, tanh GELU, biases, the head tied to the embedding."""
    settings = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=LENGTH + 2,
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=HEADS,
        n_inner=INNER,
        attn_implementation="eager",
    )
    theirs = randomised(transformers.GPT2LMHeadModel(settings))
    names = {
        "transformer.": "",
        "wte": "embedding",
        "wpe": "positions",
        "h.": "blocks.",
        "ln_1": "attention_norm",
        "ln_2": "mlp_norm",
        "ln_f": "norm",
        "attn.c_attn": "attention.qkv",
        "attn.c_proj": "attention.out",
        "mlp.c_fc": "mlp.up",
        "mlp.c_proj": "mlp.down",
    }
    weights = {}
    for name, value in renamed(theirs, names, drop=("lm_head",)).items():
        linear = ".attention." in name or ".mlp." in name
        value = value.T if linear and value.ndim == 2 else value  # GPT-2 keeps them transposed
        if "qkv" not in name:
            weights[name] = value
            continue
        for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
            weights[name.replace("qkv", part)] = third
    ours = Decoder(
        embedding=nn.Embedding(VOCABULARY, WIDTH),
        positions=nn.Embedding(LENGTH + 2, WIDTH),
        norm=layers.norm("layer", WIDTH, epsilon=1e-5),
        blocks=blocks.stack(
            depth=DEPTH,
            width=WIDTH,
            num_heads=HEADS,
            mlp_inner=INNER,
            activation="gelu_tanh",
            norms="layer",
            epsilon=1e-5,
            bias=True,
        ),
    )
    assert_same_logits(loaded(ours, weights), theirs)


def test_the_cap_of_gemma2_is_the_same():
    decoder = llama_like()
    decoder.cap = 3.0
    features = torch.randn(2, 5, WIDTH) * 10
    plain = decoder.head(features)
    torch.testing.assert_close(decoder.logits(features), torch.tanh(plain / 3.0) * 3.0)


# Vision.

PIXELS = (24, 16)  # taller than wide: a swap of the two is seen
PATCH = 8
VISION = dict(
    hidden_size=WIDTH,
    intermediate_size=INNER,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
    patch_size=PATCH,
    attn_implementation="eager",
)
ENCODER = {
    "layers.": "blocks.",
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.out_proj": "attention.out",
    "layer_norm1": "attention_norm",
    "layer_norm2": "mlp_norm",
    "mlp.fc1": "mlp.up",
    "mlp.fc2": "mlp.down",
}


def tower(*, activation: str, epsilon: float, num_positions: int, **parts) -> nn.Module:
    return vision.VisionTransformer(
        normalise=vision.Normalise(mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.3, 0.4)),
        stem=vision.PatchStem(patch=PATCH, width=WIDTH, bias=parts.pop("stem_bias", True)),
        positions=torch.zeros(num_positions, WIDTH),
        norm=layers.norm("layer", WIDTH, epsilon=epsilon),
        blocks=blocks.stack(
            depth=DEPTH,
            width=WIDTH,
            num_heads=HEADS,
            mlp_inner=INNER,
            activation=activation,
            norms="layer",
            epsilon=epsilon,
            bias=True,
        ),
        **parts,
    )


def pictures(height: int, width: int) -> torch.Tensor:
    return torch.randint(256, (ROWS, 3, height, width), dtype=torch.uint8)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    mean = torch.tensor((0.5, 0.4, 0.3)).view(3, 1, 1)
    deviation = torch.tensor((0.2, 0.3, 0.4)).view(3, 1, 1)
    return (pixels / 255 - mean) / deviation


def assert_same_features(ours: nn.Module, pixels: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.std() > 0.1
    with torch.no_grad():
        for fused in (False, True):
            torch.testing.assert_close(ours(pixels, fused=fused), expected, atol=1e-4, rtol=1e-4)


def test_clip_vision():
    """A class token, a norm before the blocks, quick GELU; stems without a bias."""
    settings = transformers.CLIPVisionConfig(**VISION, image_size=16, hidden_act="quick_gelu")
    theirs = randomised(transformers.CLIPVisionModel(settings))
    names = ENCODER | {
        "vision_model.": "",
        "embeddings.class_embedding": "class_token",
        "embeddings.patch_embedding": "stem.project",
        "embeddings.position_embedding.weight": "positions",
        "pre_layrnorm": "pre_norm",
        "post_layernorm": "norm",
        "encoder.": "",
    }
    weights = renamed(theirs, names)
    weights.pop("embeddings.position_ids", None)
    ours = tower(
        activation="quick_gelu",
        epsilon=1e-5,
        num_positions=5,
        stem_bias=False,
        class_token=torch.zeros(WIDTH),
        pre_norm=layers.norm("layer", WIDTH, epsilon=1e-5),
    )
    loaded(ours, weights)
    pixels = pictures(16, 16)
    with torch.no_grad():
        given = theirs(normalised(pixels))
        # CLIP norms its class token alone; features before that norm are what we norm whole.
        assert_same_features(ours, pixels, ours.norm(given.last_hidden_state))
        torch.testing.assert_close(ours(pixels)[:, 0], given.pooler_output, atol=1e-4, rtol=1e-4)


def test_siglip_vision():
    """No class token, tanh GELU."""
    settings = transformers.SiglipVisionConfig(
        **VISION, image_size=16, hidden_act="gelu_pytorch_tanh", vision_use_head=False
    )
    theirs = randomised(transformers.SiglipVisionModel(settings))
    names = ENCODER | {
        "vision_model.": "",
        "embeddings.patch_embedding": "stem.project",
        "embeddings.position_embedding.weight": "positions",
        "post_layernorm": "norm",
        "encoder.": "",
    }
    weights = renamed(theirs, names)
    weights.pop("embeddings.position_ids", None)
    ours = loaded(tower(activation="gelu_tanh", epsilon=1e-6, num_positions=4), weights)
    pixels = pictures(16, 16)
    with torch.no_grad():
        assert_same_features(ours, pixels, theirs(normalised(pixels)).last_hidden_state)


def test_vit_on_oblong_pictures():
    settings = transformers.ViTConfig(
        **VISION, image_size=PIXELS, hidden_act="gelu", layer_norm_eps=1e-6
    )
    theirs = randomised(transformers.ViTModel(settings, add_pooling_layer=False))
    weights = {}
    names = {
        "embeddings.cls_token": "class_token",
        "embeddings.position_embeddings": "positions",
        "embeddings.patch_embeddings.projection": "stem.project",
        "layers.": "blocks.",
        "attention.q_proj": "attention.query",
        "attention.k_proj": "attention.key",
        "attention.v_proj": "attention.value",
        "attention.o_proj": "attention.out",
        "layernorm_before": "attention_norm",
        "layernorm_after": "mlp_norm",
        "mlp.fc1": "mlp.up",
        "mlp.fc2": "mlp.down",
        "layernorm.": "norm.",
    }
    for name, value in renamed(theirs, names).items():
        weights[name] = value.squeeze(0) if name == "positions" else value
    weights["class_token"] = weights["class_token"].flatten()
    ours = tower(activation="gelu", epsilon=1e-6, num_positions=7, class_token=torch.zeros(WIDTH))
    loaded(ours, weights)
    pixels = pictures(*PIXELS)
    with torch.no_grad():
        assert_same_features(ours, pixels, theirs(normalised(pixels)).last_hidden_state)


def test_bert_layers():
    """Norms after each part (BERT), attention both ways, padding masked."""
    settings = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        hidden_act="gelu",
        attn_implementation="eager",
    )
    theirs = randomised(transformers.BertModel(settings, add_pooling_layer=False))
    names = {
        "layer.": "",
        "attention.self.query": "attention.query",
        "attention.self.key": "attention.key",
        "attention.self.value": "attention.value",
        "attention.output.dense": "attention.out",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "mlp.up",
        "output.dense": "mlp.down",
        "output.LayerNorm": "mlp_norm",
    }
    those = blocks.stack(
        depth=DEPTH,
        width=WIDTH,
        num_heads=HEADS,
        mlp_inner=INNER,
        norms="layer",
        epsilon=1e-12,
        bias=True,
        norm_first=False,
    )
    loaded(those, renamed(theirs.encoder, names))
    tokens, there = torch.randint(VOCABULARY, (ROWS, LENGTH)), torch.ones(ROWS, LENGTH)
    there[1, 7:] = 0
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=there).last_hidden_state
        x = theirs.embeddings(tokens)
        bias = layers.mask_bias(there.bool()[:, None, None], torch.float32)
        for block in those:
            x = block(x, bias=bias)
    torch.testing.assert_close(x[there.bool()], expected[there.bool()], atol=1e-4, rtol=1e-4)


def test_pixel_shuffle_is_idefics3s():
    from transformers.models.idefics3.modeling_idefics3 import Idefics3Connector

    settings = transformers.Idefics3Config(
        vision_config=dict(hidden_size=WIDTH, num_attention_heads=HEADS),
        text_config=transformers.LlamaConfig(**SHARED | dict(hidden_size=24)),
        scale_factor=2,
    )
    theirs = randomised(Idefics3Connector(settings))
    ours = PixelShuffle(vision_width=WIDTH, text_width=24, factor=2, grid=(6, 6))
    ours.project.load_state_dict(theirs.modality_projection.proj.state_dict())
    patches = torch.randn(ROWS, 36, WIDTH)
    with torch.no_grad():
        torch.testing.assert_close(ours(patches), theirs(patches), atol=1e-5, rtol=1e-5)
