"""Models as a download leaves them in a folder: tiny, of random weights, saved by transformers."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from theirs import randomised
from torch import nn

VOCABULARY, WIDTH, HEADS, INNER, DEPTH, PIXELS, PATCH = 61, 32, 4, 48, 3, 24, 8
VISION: dict[str, Any] = dict(
    hidden_size=WIDTH,
    intermediate_size=INNER,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
    patch_size=PATCH,
    image_size=PIXELS,
)
TEXT: dict[str, Any] = dict(
    vocab_size=VOCABULARY,
    hidden_size=WIDTH,
    intermediate_size=INNER,
    num_hidden_layers=DEPTH,
    num_attention_heads=HEADS,
)
LLAMA: dict[str, Any] = TEXT | dict(num_key_value_heads=2)
GPT2: dict[str, Any] = dict(
    vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=DEPTH, n_head=HEADS, n_positions=96
)
IDEFICS3: dict[str, Any] = dict(
    vision_config=VISION | dict(image_size=32),
    text_config=LLAMA | dict(model_type="llama"),
    scale_factor=2,
    image_token_id=60,
)
OPT: dict[str, Any] = TEXT | dict(
    model_type="opt", ffn_dim=INNER, word_embed_proj_dim=WIDTH, max_position_embeddings=96
)
BLIP2: dict[str, Any] = dict(
    vision_config=VISION,
    qformer_config=TEXT | dict(hidden_size=24, encoder_hidden_size=WIDTH),
    num_query_tokens=4,
    image_token_index=60,
)
VILT: dict[str, Any] = VISION | TEXT | dict(modality_type_vocab_size=3)
# Name -> the class of transformers, and what its configuration is given.
MADE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "clip_vision_model": ("CLIPVisionModel", "CLIPVisionConfig", VISION),
    "siglip_vision_model": ("SiglipVisionModel", "SiglipVisionConfig", VISION),
    "vit": ("ViTModel", "ViTConfig", VISION),
    "dinov2": ("Dinov2Model", "Dinov2Config", VISION),
    "dinov2-swiglu": ("Dinov2Model", "Dinov2Config", VISION | dict(use_swiglu_ffn=True)),
    "clip_text_model": ("CLIPTextModel", "CLIPTextConfig", TEXT | dict(eos_token_id=60)),
    "siglip_text_model": ("SiglipTextModel", "SiglipTextConfig", TEXT),
    "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
    "smollm2": ("LlamaForCausalLM", "LlamaConfig", LLAMA | dict(tie_word_embeddings=True)),
    "llama-stretched": (
        "LlamaForCausalLM",
        "LlamaConfig",
        LLAMA
        | dict(
            hidden_size=64,
            rope_parameters=dict(
                rope_type="llama3",
                rope_theta=500.0,
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=64,
            ),
        ),
    ),
    "llama-slowed": (
        "LlamaForCausalLM",
        "LlamaConfig",
        LLAMA | dict(rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=4.0)),
    ),
    "llama-biased": (
        "LlamaForCausalLM",
        "LlamaConfig",
        LLAMA | dict(attention_bias=True, mlp_bias=True),
    ),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", LLAMA),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", LLAMA | dict(head_dim=12)),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2),
    "bert": ("BertModel", "BertConfig", TEXT),
    "clip": (
        "CLIPModel",
        "CLIPConfig",
        dict(
            vision_config=VISION,
            text_config=TEXT | dict(eos_token_id=60, max_position_embeddings=16),
            projection_dim=24,
        ),
    ),
    "siglip": (
        "SiglipModel",
        "SiglipConfig",
        dict(vision_config=VISION, text_config=TEXT | dict(max_position_embeddings=12)),
    ),
    "llava": (
        "LlavaForConditionalGeneration",
        "LlavaConfig",
        dict(
            vision_config=VISION | dict(model_type="clip_vision_model"),
            text_config=LLAMA | dict(model_type="llama"),
            image_token_index=60,
        ),
    ),
    "idefics3": ("Idefics3ForConditionalGeneration", "Idefics3Config", IDEFICS3),
    "smolvlm": ("SmolVLMForConditionalGeneration", "SmolVLMConfig", IDEFICS3),
    "vilt": ("ViltForImageAndTextRetrieval", "ViltConfig", VILT),
    "vilt-filling": ("ViltForMaskedLM", "ViltConfig", VILT),
    "vilt-answering": ("ViltForQuestionAnswering", "ViltConfig", VILT | dict(num_labels=5)),
    "blip": (
        "BlipForConditionalGeneration",
        "BlipConfig",
        dict(
            vision_config=VISION,
            text_config=TEXT
            | dict(encoder_hidden_size=WIDTH, bos_token_id=60, max_position_embeddings=96),
        ),
    ),
    "blip-2": ("Blip2ForConditionalGeneration", "Blip2Config", BLIP2 | dict(text_config=OPT)),
    "blip-2-llama": (
        "Blip2ForConditionalGeneration",
        "Blip2Config",
        BLIP2 | dict(text_config=LLAMA | dict(model_type="llama")),
    ),
}


def model(name: str, **options: Any) -> nn.Module:
    """A model of theirs with random weights, in evaluation mode."""
    kind, config, told = MADE[name]
    made = getattr(transformers, config)(**told, **options)
    made._attn_implementation = "eager"
    return randomised(getattr(transformers, kind)(made))


def saved(folder: Path, name: str, *, dtype: torch.dtype = torch.float32, **how: Any) -> nn.Module:
    """The same, saved in a folder."""
    theirs = model(name).to(dtype)
    theirs.save_pretrained(folder, **how)
    return theirs


def told(folder: Path, **keys: Any) -> None:
    """Change keys of a folder's config.json; None takes one out."""
    path = folder / "config.json"
    table = json.loads(path.read_text()) | keys
    path.write_text(json.dumps({k: v for k, v in table.items() if v is not None}))
