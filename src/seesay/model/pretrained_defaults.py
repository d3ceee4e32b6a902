"""Defaults: what a config.json of a Hugging Face type means where it does not say, and what is not
built here. Tests hold the defaults to be those of `transformers`.
"""

from typing import Any

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu_squared",
    "silu": "silu",
    "swish": "silu",
}
_SIGLIP_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_IDEFICS3_VISION = _SIGLIP_VISION | {
    "hidden_size": 1152,
    "num_attention_heads": 16,
    "patch_size": 32,
}
_VIT = _SIGLIP_VISION | {"hidden_act": "gelu", "layer_norm_eps": 1e-12, "qkv_bias": True}
_LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}
_QWEN = {k: v for k, v in _LLAMA.items() if k not in ("attention_bias", "mlp_bias", "head_dim")} | {
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "num_key_value_heads": 32,
    "use_sliding_window": False,
}
_BLIP_VISION = {k: v for k, v in _VIT.items() if k not in ("num_channels", "qkv_bias")}
_IDEFICS3 = {"image_token_id": 128257, "scale_factor": 2, "tie_word_embeddings": False}
# What a config.json of a type means where it does not say.
DEFAULTS: dict[str, dict[str, Any]] = {
    "clip_vision_model": _SIGLIP_VISION
    | {"patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    "siglip_vision_model": _SIGLIP_VISION,
    "vit": _VIT,
    "dinov2": {k: v for k, v in _VIT.items() if k != "intermediate_size"}
    | {
        "patch_size": 14,
        "layer_norm_eps": 1e-6,
        "mlp_ratio": 4,
        "use_swiglu_ffn": False,
    },
    "clip_text_model": {
        "vocab_size": 49408,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
    "siglip_text_model": {
        "vocab_size": 32000,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 64,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "projection_size": None,
        "pad_token_id": 1,
    },
    "llama": _LLAMA,
    "qwen2": _QWEN,
    "qwen3": _QWEN | {"head_dim": 128, "attention_bias": False},
    "gpt2": {
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
        "tie_word_embeddings": True,
    },
    "bert": {
        "vocab_size": 30522,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "is_decoder": False,
        "add_cross_attention": False,
    },
    "clip": {"projection_dim": 512},
    "siglip": {},
    "llava": {
        "image_token_index": 32000,
        "projector_hidden_act": "gelu",
        "vision_feature_select_strategy": "default",
        "vision_feature_layer": -2,
        "multimodal_projector_bias": True,
        "tie_word_embeddings": False,
    },
    "idefics3": _IDEFICS3,
    "idefics3_vision": _IDEFICS3_VISION,
    "smolvlm": _IDEFICS3,
    "smolvlm_vision": _IDEFICS3_VISION,
    "vilt": _VIT
    | {
        "vocab_size": 30522,
        "type_vocab_size": 2,
        "modality_type_vocab_size": 2,
        "max_position_embeddings": 40,
        "image_size": 384,
        "patch_size": 32,
    },
    "blip": {},
    "blip_vision_model": _BLIP_VISION | {"image_size": 384, "layer_norm_eps": 1e-5},
    "blip_text_model": {
        "vocab_size": 30524,
        "hidden_size": 768,
        "encoder_hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
        "max_position_embeddings": 512,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "bos_token_id": 30522,
        "is_decoder": True,
        "tie_word_embeddings": True,
    },
    "blip-2": {"num_query_tokens": 32, "image_token_index": None},
    "blip_2_vision_model": _BLIP_VISION
    | {
        "hidden_size": 1408,
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
        "intermediate_size": 6144,
        "num_hidden_layers": 39,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
    "blip_2_qformer": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "cross_attention_frequency": 2,
        "encoder_hidden_size": 1408,
        "use_qformer_text_input": False,
    },
    "opt": {
        "vocab_size": 50272,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "ffn_dim": 3072,
        "max_position_embeddings": 2048,
        "num_attention_heads": 12,
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "enable_bias": True,
        "layer_norm_elementwise_affine": True,
        "word_embed_proj_dim": None,
        "tie_word_embeddings": True,
    },
}
# What is built here for one value alone.
ONLY: dict[str, Any] = {
    "num_channels": 3,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "is_decoder": False,
    "use_sliding_window": False,
    "projector_hidden_act": "gelu",
    "multimodal_projector_bias": True,
    "position_embedding_type": "absolute",
    "do_layer_norm_before": True,
    "_remove_final_layer_norm": False,
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
    "use_qformer_text_input": False,
}
ONLY_OF: dict[str, dict[str, Any]] = {
    "blip_text_model": {"is_decoder": True, "hidden_act": "gelu", "tie_word_embeddings": True},
}
# Types that are known and not read, and what to do.
REFUSED = {
    "siglip2": "its pictures keep their own shape and resolution (NaFlex), which is not read yet: "
    "take a SigLIP 2 of a fixed resolution (siglip2-base-patch16-224 and the like)",
    "siglip2_vision_model": "its pictures keep their own shape and resolution (NaFlex), which is "
    "not read yet: take a SigLIP 2 of a fixed resolution",
}
