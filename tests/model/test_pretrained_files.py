"""Folders that are broken, hostile or of something else are refused in one clear sentence."""

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from seesay.errors import CapabilityError, CheckpointError, SeesayError
from seesay.model import pretrained
from seesay.model.pretrained_defaults import ACTIVATIONS, DEFAULTS, ONLY, ONLY_OF
from seesay.model.weights import Weights

transformers = pytest.importorskip("transformers")
hub = pytest.importorskip("hub")
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(autouse=True)
def quiet() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A small decoder, whole."""
    hub.saved(tmp_path, "llama")
    return tmp_path


@pytest.fixture
def sharded(tmp_path) -> Path:
    """The same in several files."""
    hub.saved(tmp_path, "llama", max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    return tmp_path


def refused(folder: Path, *said: str, kind: type[SeesayError] = CheckpointError, **how) -> None:
    """Opening it is refused, and the error says these words."""
    with pytest.raises(kind) as raised:
        pretrained.load(folder, **how)
    for words in said:
        assert words in str(raised.value), str(raised.value)
    assert raised.value.where and raised.value.fix


def mended(folder: Path, change) -> None:
    """The weights, changed."""
    tensors = load_file(folder / WHOLE)
    change(tensors)
    save_file(tensors, folder / WHOLE)


# What is fine.


def test_shards_are_as_the_whole(sharded, tmp_path_factory):
    whole = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    hub.saved(sharded, "llama", max_shard_size="20KB")
    torch.manual_seed(0)
    hub.saved(whole, "llama")
    one, _ = pretrained.load(whole)
    many, report = pretrained.load(sharded)
    assert len(report.loaded) == len(one.state_dict())
    for name, value in one.state_dict().items():
        assert torch.equal(value, many.state_dict()[name])


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("asked", [None, torch.float32, torch.float16, torch.bfloat16])
def test_any_type_to_any_type(tmp_path, stored, asked):
    hub.saved(tmp_path, "gpt2", dtype=stored)
    ours, report = pretrained.load(tmp_path, dtype=asked)
    theirs = load_file(tmp_path / WHOLE)
    assert {each.dtype for each in ours.parameters()} == {asked or stored}
    for name, value in pretrained.export(ours, report.naming).items():
        assert torch.equal(value, theirs[name].to(asked or stored)), name


@pytest.mark.parametrize("name", ["clip", "smolvlm"])
def test_a_model_in_half_precision_runs(tmp_path, name):
    """As near to its own numbers in full precision as that precision is."""
    hub.saved(tmp_path, name)
    pixels = torch.randint(256, (2, 3, 24, 24) if name == "clip" else (2, 3, 32, 32))
    seen = []
    for dtype in (torch.float32, torch.bfloat16):
        ours, _ = pretrained.load(tmp_path, dtype=dtype)
        with torch.no_grad():
            seen.append(ours.see(pixels.to(torch.uint8)))
    assert seen[1].dtype == torch.bfloat16
    apart = (seen[0] - seen[1].float()).norm() / seen[0].norm()
    assert 0 < apart < 0.05


def test_values_that_a_type_has_no_room_for(folder):
    def grow(tensors):
        tensors["model.norm.weight"][3] = 1e6

    mended(folder, grow)
    assert pretrained.load(folder, dtype=torch.bfloat16)
    with pytest.raises(CapabilityError, match="values up to 1e.06.*ends at 6.55e.04"):
        pretrained.load(folder, dtype=torch.float16)


def test_only_floats_are_asked_for(folder):
    with pytest.raises(CapabilityError, match="int8"):
        pretrained.load(folder, dtype=torch.int8)


def test_norms_as_the_first_berts_spell_them(tmp_path):
    theirs = hub.saved(tmp_path, "bert")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def spell(tensors):
        for name in list(tensors):
            for now, then in old.items():
                if name.endswith(now):
                    tensors["bert." + name.replace(now, then)] = tensors.pop(name)
            if name in tensors:
                tensors["bert." + name] = tensors.pop(name)

    mended(tmp_path, spell)
    ours, _ = pretrained.load(tmp_path)
    assert torch.equal(ours.embedding_norm.weight, theirs.embeddings.LayerNorm.weight)


def test_a_bias_where_older_files_have_it(tmp_path):
    hub.saved(tmp_path, "vilt-filling")
    bias = load_file(tmp_path / WHOLE)["mlm_score.decoder.bias"]
    mended(tmp_path, lambda t: t.update({"mlm_score.bias": t.pop("mlm_score.decoder.bias")}))
    ours, _ = pretrained.load(tmp_path)
    assert torch.equal(ours.text.head_bias, bias)


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("llava", {"vision_tower.": "vision_tower.vision_model."}),
        (
            "llava",
            {
                "language_model.model.": "model.language_model.",
                "language_model.lm_head": "lm_head",
                "vision_tower.": "model.vision_tower.",
                "multi_modal": "model.multi_modal",
            },
        ),
        ("gpt2", {"transformer.": ""}),
        ("clip_vision_model", {"": "vision_model."}),
        ("vit", {"": "vit."}),
    ],
)
def test_other_forms_of_names(tmp_path, name, old):
    """As older and newer versions of transformers wrote them."""
    hub.saved(tmp_path, name)
    expected, _ = pretrained.load(tmp_path)

    def rename(tensors):
        for key in list(tensors):
            now = key
            for theirs, then in old.items():
                if now == key and key.startswith(theirs):
                    now = then + key.removeprefix(theirs)
            tensors[now] = tensors.pop(key)

    mended(tmp_path, rename)
    found, report = pretrained.load(tmp_path)
    for key, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[key])
    assert set(pretrained.export(found, report.naming)) <= set(load_file(tmp_path / WHOLE))


def test_buffers_of_old_files_are_left_and_named(tmp_path):
    hub.saved(tmp_path, "gpt2")
    mask = torch.ones(1, 1, 96, 96, dtype=torch.uint8)
    mended(tmp_path, lambda tensors: tensors.update({"transformer.h.0.attn.bias": mask}))
    _, report = pretrained.load(tmp_path)
    assert report.left == ("transformer.h.0.attn.bias",)
    assert "left in the files: transformer.h.0.attn.bias" in str(report)


@pytest.mark.parametrize("same", [True, False])
def test_a_head_beside_an_embedding_that_is_said_to_be_it(tmp_path, same):
    """As transformers has it: one where they are equal, two where they are not."""
    hub.saved(tmp_path, "smollm2")

    def add(tensors):
        head = tensors["model.embed_tokens.weight"].clone()
        tensors["lm_head.weight"] = head if same else head + 1

    mended(tmp_path, add)
    if same:
        ours, report = pretrained.load(tmp_path)
        assert ours.head is None and report.left == ("lm_head.weight",)
    else:
        ours, report = pretrained.load(tmp_path)
        assert torch.equal(ours.head.weight, ours.embedding.weight + 1) and not report.left


def test_a_hub_caches_links_are_followed(folder, tmp_path):
    """A cache has its files in `blobs`, and links to them in `snapshots`."""
    cache = tmp_path / "models--some--model"
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in ("config.json", WHOLE):
        (folder / name).rename(cache / "blobs" / name[:6])
        (snapshot / name).symlink_to(f"../../blobs/{name[:6]}")
    assert pretrained.load(snapshot)[1].kind == "llama"


# Files.


def test_no_folder(tmp_path):
    refused(tmp_path / "openai" / "clip", "no such folder", "hf download")


def test_no_weights(folder):
    (folder / WHOLE).rename(folder / "adapter_model.safetensors")
    refused(folder, "holds neither model.safetensors nor", "but adapter_model.safetensors")


def test_no_config(folder):
    (folder / "config.json").unlink()
    refused(folder, "no config.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt", "w.pth"])
def test_pickles_are_not_opened(folder, name):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(folder / "sprung"),)

    (folder / WHOLE).unlink()
    torch.save({"weight": Trap()}, folder / name)
    refused(folder, f"{name} is a pickle", "weights_only=True", WHOLE)
    assert not (folder / "sprung").exists()


def test_the_way_to_convert_a_pickle_works(folder, monkeypatch):
    """What the error says to run makes a file that opens to the same model."""
    expected, _ = pretrained.load(folder)
    expected = {name: value.clone() for name, value in expected.state_dict().items()}
    torch.save(load_file(folder / WHOLE), folder / "pytorch_model.bin")
    (folder / WHOLE).unlink()
    with pytest.raises(CheckpointError) as raised:
        pretrained.load(folder)
    program = raised.value.fix.partition('python -c "')[2].rpartition('"')[0]
    monkeypatch.chdir(folder)
    exec(compile(program, "converting", "exec"), {})
    found, _ = pretrained.load(folder)
    for name, value in found.state_dict().items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize("kept", [0, 5, 8, 100, 4000, -1])
def test_a_file_that_is_cut_short(folder, kept):
    data = (folder / WHOLE).read_bytes()
    (folder / WHOLE).write_bytes(data[:kept])
    refused(folder, "not a whole safetensors file")


def test_a_file_that_is_too_long(folder):
    with (folder / WHOLE).open("ab") as file:
        file.write(b"12345678")
    size = (folder / WHOLE).stat().st_size
    refused(folder, f"end at byte {size - 8:,}, the file at {size:,}")


def header(folder: Path, change) -> None:
    """The file's header, changed; its tensors as they were."""
    data = (folder / WHOLE).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8 : 8 + length])
    made = change(table) or json.dumps(table).encode()
    (folder / WHOLE).write_bytes(struct.pack("<Q", len(made)) + made + data[8 + length :])


FIRST = "lm_head.weight"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"shape": [10**12, 10**12]}, "bytes, but has"),
        ({"shape": [-61, -32]}, "counts that are none"),
        ({"shape": [61.0, 32]}, "counts that are none"),
        ({"shape": [True, 61 * 32]}, "counts that are none"),
        ({"shape": None}, FIRST),
        ({"dtype": "F128"}, FIRST),
        ({"dtype": ["F32"]}, FIRST),
        ({"data_offsets": [0, 10**15]}, "bytes, but has"),
        ({"data_offsets": [0]}, FIRST),
        ({"data_offsets": "ab"}, FIRST),
    ],
)
def test_a_header_that_lies(folder, entry, said):
    header(folder, lambda table: table[FIRST].update(entry))
    refused(folder, "not a whole safetensors file", said)


@pytest.mark.parametrize(
    "made", [b"{", b"[]", b"[" * 100_000, b'{"a": 1}', b'{"a": {"dtype": "F32"}}', b"\xff\xfe"]
)
def test_a_header_that_is_none(folder, made):
    header(folder, lambda table: made)
    refused(folder, "not a whole safetensors file")


def test_tensors_that_lie_over_each_other(folder):
    """Both headers and lengths agree; what reads the file still sees it."""

    def overlap(table):
        table["model.norm.weight"]["data_offsets"] = [0, 128]

    header(folder, overlap)
    refused(folder, "not a whole safetensors file")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_that_are_not_finite(tmp_path, value, dtype):
    hub.saved(tmp_path, "llama", dtype=dtype)

    def spoil(tensors):
        tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = value

    mended(tmp_path, spoil)
    refused(tmp_path, "1 of the 1,536 values of 'model.layers.1.mlp.up_proj.weight' are not finite")


def test_a_quantised_tensor(folder):
    def quantise(tensors):
        tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int8)

    mended(folder, quantise)
    refused(folder, "'model.norm.weight' is stored as I8")


# Shards.


def reindexed(folder: Path, change) -> None:
    index = json.loads((folder / INDEX).read_text())
    made = change(index)
    (folder / INDEX).write_text(json.dumps(index if made is None else made))


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "..",
        "",
        "a/../../model.safetensors",
        "sub/model.safetensors",
        "..\\model.safetensors",
        "/etc/model.safetensors",
        "/etc/passwd",
        "model.bin",
        "a\0.safetensors",
    ],
)
def test_an_index_that_leads_out_of_the_folder(sharded, name):
    reindexed(sharded, lambda index: index["weight_map"].update({FIRST: name}))
    refused(sharded, "is not the name of a safetensors file of this folder")


def test_a_link_that_leads_out_of_the_folder(sharded, tmp_path_factory):
    shard = sorted(sharded.glob("*.safetensors"))[0]
    outside = tmp_path_factory.mktemp("outside") / "model.safetensors"
    shard.rename(outside)
    shard.symlink_to(outside)
    refused(sharded, "is a link to", "outside the folder")


@pytest.mark.parametrize("name", [WHOLE, INDEX])
def test_a_link_for_a_whole_file_or_an_index(sharded, tmp_path_factory, name):
    outside = tmp_path_factory.mktemp("outside") / "elsewhere"
    outside.write_text("{}")
    (sharded / name).unlink(missing_ok=True)
    (sharded / name).symlink_to(outside)
    refused(sharded, "outside the folder")


def test_a_link_to_itself(sharded):
    shard = sorted(sharded.glob("*.safetensors"))[0]
    shard.unlink()
    shard.symlink_to(shard.name)
    with pytest.raises(CheckpointError):
        pretrained.load(sharded)


def test_a_pipe_is_no_shard(sharded):
    shard = sorted(sharded.glob("*.safetensors"))[0]
    shard.unlink()
    os.mkfifo(shard)
    refused(sharded, f"{shard.name} is not")


@pytest.mark.parametrize("name", [WHOLE, INDEX, "config.json"])
def test_a_pipe_is_not_waited_on(folder, name):
    if name == INDEX:
        (folder / WHOLE).unlink()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    refused(folder)


def test_a_shard_that_is_not_there(sharded):
    shards = sorted(sharded.glob("*.safetensors"))
    shards[1].unlink()
    refused(sharded, f"{len(shards) - 1} of {len(shards)} shards are here; {shards[1].name} is not")


def test_a_tensor_that_its_shard_lacks(sharded):
    reindexed(sharded, lambda index: index["weight_map"].update({"new.weight": _shard(sharded)}))
    refused(sharded, "'new.weight' should be in")


def test_a_tensor_that_the_index_lacks(sharded):
    """One of a shard that holds others."""
    table = json.loads((sharded / INDEX).read_text())["weight_map"]
    files = list(table.values())
    name = next(name for name, file in table.items() if files.count(file) > 1)
    reindexed(sharded, lambda index: index["weight_map"].pop(name) and None)
    refused(sharded, f"holds '{name}', which the index has in no file")


def _shard(folder: Path) -> str:
    return sorted(folder.glob("*.safetensors"))[0].name


@pytest.mark.parametrize("index", [{}, [], {"weight_map": 3}, {"weight_map": {}},
                                   {"weight_map": {"a": 1}}])  # fmt: skip
def test_an_index_that_is_none(sharded, index):
    (sharded / INDEX).write_text(json.dumps(index))
    refused(sharded)


# Configuration.


def test_shapes_that_config_and_weights_do_not_share(folder):
    hub.told(folder, intermediate_size=64)
    refused(folder, "is of shape (48, 32) in the weights, but (64, 32) by config.json")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({"num_hidden_layers": 10**6}, "1,000,000, but the files hold 30 tensors"),
        ({"num_hidden_layers": 4}, "missing"),
        ({"num_hidden_layers": 2}, "has no place for"),
        ({"num_hidden_layers": "3"}, "no whole number"),
        ({"num_hidden_layers": True}, "no whole number"),
        ({"hidden_size": 10**30}, "no whole number from 1 to 16,777,216"),
        ({"hidden_size": 2**24, "intermediate_size": 2**24}, "by config.json"),
        ({"vocab_size": 2**24}, "(16777216, 32) by config.json"),
        ({"hidden_size": -32}, "no whole number"),
        ({"hidden_size": [32]}, "no whole number"),
        ({"num_attention_heads": 5}, "divide"),
        ({"num_key_value_heads": 3}, "divide"),
        ({"num_key_value_heads": 0}, "no whole number"),
        ({"rms_norm_eps": float("nan")}, "no number above 0"),
        ({"rms_norm_eps": "small"}, "no number above 0"),
        ({"hidden_act": "gelu_of_mine"}, "gelu_of_mine"),
        ({"hidden_act": {}}, "hidden_act"),
        ({"attention_bias": 1}, "neither true nor false"),
        ({"rope_parameters": {"rope_theta": -1.0}}, "no number above 0"),
        ({"rope_parameters": [1]}, "no table"),
        ({"rope_parameters": {"rope_type": "linear"}}, "factor is None"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 2.0}}, "original_max_position"),
        (
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "factor": 2.0,
                    "low_freq_factor": 4.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 9,
                }
            },
            "not below high_freq_factor",
        ),
    ],
)
def test_numbers_that_cannot_be(folder, keys, said):
    hub.told(folder, **keys)
    refused(folder, said, kind=SeesayError)


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "'yarn'"),
        ("llama", {"rope_scaling": {"type": "dynamic"}, "rope_parameters": None}, "'dynamic'"),
        ("llama", {"rope_parameters": {"rope_type": [1]}}, "[1]"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window is True"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
        ("bert", {"is_decoder": True}, "is_decoder"),
        ("vit", {"num_channels": 1}, "num_channels is 1"),
        ("llava", {"vision_feature_select_strategy": "full"}, "'default' is built here"),
        ("llava", {"multimodal_projector_bias": False}, "multimodal_projector_bias"),
        ("llama", {"quantization_config": {"quant_method": "awq"}}, "quantised"),
        ("llava", {"text_config": {"model_type": "mistral"}}, "'mistral'"),
        ("blip-2", {"text_config": {"model_type": "t5"}}, "'t5'"),
        ("blip", {"architectures": ["BlipForQuestionAnswering"]}, "BlipForQuestionAnswering"),
        ("blip", {"architectures": None}, "None"),
        ("vilt", {"architectures": ["ViltForTokenClassification"]}, "ViltForTokenClass"),
        ("blip-2", {"image_token_index": None}, "no image_token_index"),
    ],
)
def test_what_is_not_built_here(tmp_path, name, keys, said):
    hub.saved(tmp_path, name)
    hub.told(tmp_path, **keys)
    refused(tmp_path, said, kind=CapabilityError)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"vision_config": 3}, "vision_config is no table"),
        ({"vision_feature_layer": [-2, -3]}, "vision_feature_layer is [-2, -3]"),
        ({"vision_feature_layer": -9}, "the vision side has 3 layers"),
        ({"image_token_index": 61}, "no token of a vocabulary of 61"),
        ({"vision_config": {"model_type": "clip_vision_model", "image_size": 24, "patch_size": 48,
                            "num_hidden_layers": 3}}, "patches of 48×48"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_of_llava(tmp_path, keys, said):
    hub.saved(tmp_path, "llava")
    hub.told(tmp_path, **keys)
    refused(tmp_path, said, kind=SeesayError)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"image_mean": [0.5], "image_std": [1, 1, 1]}, "image_mean"),
        ({"image_mean": [0.5] * 3, "image_std": [1, 0, 1]}, "above 0"),
        ({"image_mean": [0.5] * 3}, "image_std"),
        ({"image_mean": ["a"] * 3, "image_std": [1, 1, 1]}, "image_mean"),
        ({"image_mean": [float("inf")] * 3, "image_std": [1, 1, 1]}, "image_mean"),
    ],
)
def test_pixels_that_cannot_be(tmp_path, keys, said):
    hub.saved(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(keys))
    refused(tmp_path, said)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"a": ' * 100_000, "\xff"])
def test_a_config_that_is_none(folder, text):
    (folder / "config.json").write_text(text)
    refused(folder, "config.json")


def test_a_config_without_a_type(folder):
    hub.told(folder, model_type=None)
    refused(folder, "model_type")


def test_a_type_that_is_not_known_names_the_nearest(folder):
    hub.told(folder, model_type="lama")
    refused(folder, "'lama'", "did you mean 'llama'?", kind=CapabilityError)


def test_naflex_is_refused_with_what_to_take(folder):
    hub.told(folder, model_type="siglip2")
    refused(folder, "NaFlex", "fixed resolution", kind=CapabilityError)


def test_code_of_a_folder_is_never_run(folder):
    """Of an unknown type it is said in the error, of a known one in the report."""
    (folder / "modeling_mine.py").write_text(f"open({str(folder / 'sprung')!r}, 'w')")
    hub.told(folder, auto_map={"AutoModel": "modeling_mine.Mine"})
    _, report = pretrained.load(folder)
    assert "code of its own (auto_map); that is never run" in str(report)
    hub.told(folder, model_type="mine")
    refused(folder, "auto_map", "never run", kind=CapabilityError)
    assert not (folder / "sprung").exists()


@pytest.mark.parametrize("side", ["vision", "txt"])
def test_sides_that_are_not_there(tmp_path, side):
    name = "llama" if side == "vision" else "clip"
    hub.saved(tmp_path, name)
    refused(tmp_path, f"no side '{side}'", kind=CapabilityError, side=side)


def test_a_tensor_that_no_part_takes(folder):
    mended(folder, lambda tensors: tensors.update({"model.extra.weight": torch.ones(3)}))
    refused(folder, "1 tensors", "model.extra.weight")


def test_a_side_with_a_tensor_that_it_does_not_take(tmp_path):
    hub.saved(tmp_path, "clip")
    mended(tmp_path, lambda t: t.update({"vision_model.extra.weight": torch.ones(3)}))
    refused(tmp_path, "vision_model.extra.weight", side="vision")


def test_tensors_that_are_missing(folder):
    mended(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    refused(folder, "1 of 30 tensors are missing: model.layers.1.mlp.up_proj.weight")


def test_what_the_files_take(folder):
    weights = Weights(folder)
    assert weights.bytes == sum(t.nbytes for t in load_file(folder / WHOLE).values())


# What config.json leaves out.


CONFIGS = {
    "clip_vision_model": "CLIPVisionConfig",
    "siglip_vision_model": "SiglipVisionConfig",
    "vit": "ViTConfig",
    "dinov2": "Dinov2Config",
    "clip_text_model": "CLIPTextConfig",
    "siglip_text_model": "SiglipTextConfig",
    "llama": "LlamaConfig",
    "qwen2": "Qwen2Config",
    "qwen3": "Qwen3Config",
    "gpt2": "GPT2Config",
    "bert": "BertConfig",
    "clip": "CLIPConfig",
    "siglip": "SiglipConfig",
    "llava": "LlavaConfig",
    "idefics3": "Idefics3Config",
    "idefics3_vision": "Idefics3VisionConfig",
    "smolvlm": "SmolVLMConfig",
    "smolvlm_vision": "SmolVLMVisionConfig",
    "vilt": "ViltConfig",
    "blip": "BlipConfig",
    "blip_vision_model": "BlipVisionConfig",
    "blip_text_model": "BlipTextConfig",
    "blip-2": "Blip2Config",
    "blip_2_vision_model": "Blip2VisionConfig",
    "blip_2_qformer": "Blip2QFormerConfig",
    "opt": "OPTConfig",
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_defaults_are_those_of_transformers(kind):
    """Or None where they follow from another key."""
    theirs = _theirs(CONFIGS[kind])()
    for key, value in DEFAULTS[kind].items():
        told = getattr(theirs, key)
        if value is None and told is not None:
            given = {
                "num_key_value_heads": "num_attention_heads",
                "projection_size": "hidden_size",
                "word_embed_proj_dim": "hidden_size",
            }
            width = theirs.hidden_size // theirs.num_attention_heads if key == "head_dim" else None
            told = None if told in (width, getattr(theirs, given.get(key, ""), None)) else told
        assert told == value, key


def _theirs(name: str):
    if hasattr(transformers, name):
        return getattr(transformers, name)
    module = {"Idefics3VisionConfig": "idefics3", "SmolVLMVisionConfig": "smolvlm"}[name]
    return getattr(getattr(transformers.models, module), name)


@pytest.mark.parametrize("name", ["siglip_vision_model", "vit", "dinov2", "llama", "bert"])
def test_what_a_config_leaves_out_is_its_default(tmp_path, name):
    """With nothing but what is not usual, the model is the same."""
    hub.saved(tmp_path, name)
    path = tmp_path / "config.json"
    table = json.loads(path.read_text())
    usual = DEFAULTS[name] | dict(head_dim=8)
    kept = {k: v for k, v in table.items() if k == "model_type" or usual.get(k, v) != v}
    whole = {name: each.shape for name, each in pretrained.load(tmp_path)[0].state_dict().items()}
    path.write_text(json.dumps(kept))
    found = {name: each.shape for name, each in pretrained.load(tmp_path)[0].state_dict().items()}
    assert found == whole and len(kept) < len(table)


@pytest.mark.parametrize("theirs", ACTIVATIONS)
def test_activations_are_those_of_transformers(theirs):
    from transformers.activations import ACT2FN

    from seesay.model.layers import ACTIVATIONS as OURS

    x = torch.linspace(-4, 4, 101)
    torch.testing.assert_close(OURS[ACTIVATIONS[theirs]](x), ACT2FN[theirs](x), atol=1e-6, rtol=0)


def test_what_only_one_value_is_built_of_is_the_default():
    for key, value in ONLY.items():
        for kind, defaults in DEFAULTS.items():
            assert key in ONLY_OF.get(kind, {}) or defaults.get(key, value) == value, (kind, key)
    for kind, table in ONLY_OF.items():
        assert all(DEFAULTS[kind][key] == value for key, value in table.items())
