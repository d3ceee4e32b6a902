"""Models that transformers saved, opened by Seesay, give transformers' numbers."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from seesay.model import layers, pretrained
from seesay.model.cross import Cross
from seesay.model.dual import Dual
from seesay.model.generate import generate
from seesay.model.naming import Naming
from seesay.model.prefix import Prefix
from seesay.model.pretrained_names import NAMES
from seesay.model.rows import Context, visible
from seesay.model.single import Single
from seesay.model.text import Decoder
from seesay.model.vision import VisionTransformer
from seesay.records import Batch

transformers = pytest.importorskip("transformers")
hub = pytest.importorskip("hub")

ROWS, LENGTHS = 3, (11, 7, 4)
CLOSE = dict(atol=1e-5, rtol=1e-5)


@pytest.fixture(autouse=True)
def quiet() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def opened(folder, name, **options):
    """Theirs as it was saved, and ours of the same folder."""
    theirs = hub.saved(folder, name)
    ours, report = pretrained.load(folder, **options)
    assert not ours.training and (not report.new or report.kind == "vilt")
    return theirs, ours, report


def pictures(height: int = hub.PIXELS, width: int = hub.PIXELS, count: int = ROWS) -> Tensor:
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8)


def tokens() -> tuple[Tensor, Tensor]:
    """Rows of several lengths, and which places are real; the last word of each is the end mark."""
    real = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    words = torch.randint(2, hub.VOCABULARY - 1, real.shape).masked_fill(~real, 0)
    words[torch.arange(ROWS), torch.tensor(LENGTHS) - 1] = 60
    return words, real


# Names and layouts.


@pytest.mark.parametrize("name", hub.MADE)
def test_the_table_inverted_gives_their_file_again(tmp_path, name):
    """Every tensor that was read, by its name and bit for bit; the others are in the report."""
    _, ours, report = opened(tmp_path, name)
    theirs, ours = load_file(tmp_path / "model.safetensors"), pretrained.export(ours, report.naming)
    for name in report.new:
        ours.pop(report.naming.pairs([name])[0].theirs)
    assert not set(ours) & set(report.left)
    assert set(ours) | set(report.left) == set(theirs)
    for key, tensor in ours.items():
        assert torch.equal(tensor, theirs[key]), key


@pytest.mark.parametrize("name", hub.MADE)
def test_an_export_has_the_names_that_files_have_today(tmp_path, name):
    _, _, report = opened(tmp_path, name)
    assert report.naming == Naming.of(NAMES[report.kind])


def test_every_type_is_tested():
    variants = {"dinov2-swiglu", "smollm2", "llama-biased", "blip-2-llama"}
    variants |= {"llama-stretched", "llama-slowed", "vilt-filling", "vilt-answering"}
    assert set(hub.MADE) - variants == set(NAMES)


@pytest.mark.parametrize("name", hub.MADE)
def test_every_weight_is_read_as_it_is_stored(tmp_path, name):
    """Nothing is left on no device, and all of it can be trained."""
    _, ours, report = opened(tmp_path, name)
    assert not any(each.is_meta for each in (*ours.parameters(), *ours.buffers()))
    assert all(each.requires_grad for each in ours.parameters())
    assert {*report.loaded, *report.new} == {each for each, _ in ours.named_parameters()}


# Vision.


def clip_features(theirs: nn.Module, ours: VisionTransformer, pixels: Tensor) -> Tensor:
    """CLIP norms its class token alone; ours all of them."""
    return ours.norm(theirs(ours.normalise(pixels)).last_hidden_state)


def features(theirs: nn.Module, ours: VisionTransformer, pixels: Tensor) -> Tensor:
    return theirs(ours.normalise(pixels)).last_hidden_state


VISION = {
    "clip_vision_model": clip_features,
    "siglip_vision_model": features,
    "vit": features,
    "dinov2": features,
    "dinov2-swiglu": features,
}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", VISION)
def test_a_vision_side(tmp_path, name, fused):
    theirs, ours, _ = opened(tmp_path, name)
    pixels = pictures()
    with torch.no_grad():
        expected = VISION[name](theirs, ours, pixels)
        assert expected.std() > 0.1
        torch.testing.assert_close(ours(pixels, fused=fused), expected, **CLOSE)


@pytest.mark.parametrize("name", ["clip_vision_model", "siglip_vision_model", "vit", "dinov2"])
def test_positions_between_for_other_sizes(tmp_path, name):
    """DINOv2 always takes other sizes, the others when they are asked to; taller than wide."""
    theirs, ours, _ = opened(tmp_path, name)
    pixels = pictures(40, 32)
    options = {} if name == "dinov2" else {"interpolate_pos_encoding": True}
    with torch.no_grad():
        expected = theirs(ours.normalise(pixels), **options).last_hidden_state
        expected = ours.norm(expected) if name == "clip_vision_model" else expected
        torch.testing.assert_close(ours(pixels), expected, **CLOSE)


def test_pixels_are_brought_to_what_the_folder_says(tmp_path):
    hub.saved(tmp_path, "clip_vision_model")
    ours, _ = pretrained.load(tmp_path)
    torch.testing.assert_close(
        ours.normalise.mean.flatten(), torch.tensor([0.48145466, 0.4578275, 0.40821073])
    )
    processor = transformers.CLIPImageProcessorPil(image_mean=[0.1, 0.2, 0.3], image_std=[0.4] * 3)
    processor.save_pretrained(tmp_path)
    ours, _ = pretrained.load(tmp_path)
    pixels = pictures()
    expected = processor(
        list(pixels), do_resize=False, do_center_crop=False, return_tensors="pt"
    ).pixel_values
    torch.testing.assert_close(ours.normalise(pixels), expected, **CLOSE)


# Text.


DECODERS = (
    "llama",
    "smollm2",
    "llama-stretched",
    "llama-slowed",
    "llama-biased",
    "qwen2",
    "qwen3",
    "gpt2",
)


def causal(real: Tensor) -> dict[str, Tensor]:
    """Layout of rows of words, padded at the end."""
    inside = torch.where(real, 1, -1)
    return {
        "positions": torch.arange(real.shape[1]).expand(real.shape) * real,
        "documents": inside,
        "groups": torch.where(real, 0, -1),
    }


def logits(decoder: Decoder, words: Tensor, real: Tensor, *, fused: bool) -> Tensor:
    layout = causal(real)
    positions = layout.pop("positions")
    bias = layers.mask_bias(visible(**layout), torch.float32)
    x = decoder(decoder.embed(words), positions=positions, bias=bias, fused=fused)
    return decoder.logits(x)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder(tmp_path, name, fused):
    """Logits of rows of several lengths, padding masked."""
    theirs, ours, _ = opened(tmp_path, name)
    words, real = tokens()
    with torch.no_grad():
        expected = theirs(words, attention_mask=real.long()).logits[real]
        assert expected.std() > 0.1
        torch.testing.assert_close(logits(ours, words, real, fused=fused)[real], expected, **CLOSE)


def speaker(decoder: Decoder) -> Prefix:
    """A decoder that is shown no pictures."""
    return Prefix(
        vision=nn.Identity(), connector=nn.Identity(), text=decoder, picture_token=-1
    ).eval()


def batch(words: Tensor, real: Tensor, shown: Tensor) -> Batch:
    return Batch(
        tokens_BT=words,
        targets_BT=torch.full_like(words, -1),
        pictures_NCHW=shown,
        **{f"{name}_BT": value for name, value in causal(real).items()},
    )


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_says_the_same_64_words(tmp_path, name):
    """Ours for all rows at once, theirs row by row."""
    theirs, ours, _ = opened(tmp_path, name)
    words, real = tokens()
    none = torch.zeros(0, 1, ours.embedding.embedding_dim)
    said = generate(speaker(ours), batch(words, real, pictures(count=0)), seen=none, end=-1)
    for row, length, own in zip(words, LENGTHS, said, strict=True):
        expected = told_by(theirs, row[None, :length])
        assert list(own.tokens) == expected and len(expected) == 64


def told_by(theirs: nn.Module, words: Tensor, **shown: Tensor) -> list[int]:
    """The 64 words that theirs goes on with."""
    settings = transformers.GenerationConfig(max_new_tokens=64, do_sample=False, pad_token_id=0)
    made = theirs.generate(
        input_ids=words, attention_mask=torch.ones_like(words), generation_config=settings, **shown
    )
    return made[0, words.shape[1] :].tolist()


@pytest.mark.parametrize("fused", [False, True])
def test_bert(tmp_path, fused):
    """Both ways, padding masked, with and without a second text."""
    theirs, ours, _ = opened(tmp_path, "bert")
    words, real = tokens()
    bias = layers.mask_bias(real[:, None, None], torch.float32)
    places = torch.arange(words.shape[1]).expand_as(words)
    for kinds in (None, torch.randint(2, words.shape)):
        with torch.no_grad():
            expected = theirs(words, attention_mask=real.long(), token_type_ids=kinds)
            x = ours.embed(words)
            found = ours(x, positions=places, bias=bias, kinds=kinds, fused=fused)
        torch.testing.assert_close(found[real], expected.last_hidden_state[real], **CLOSE)


@pytest.mark.parametrize("name", ["clip_text_model", "siglip_text_model"])
def test_the_text_side_of_two_towers(tmp_path, name):
    theirs, ours, _ = opened(tmp_path, name)
    words, _ = tokens()
    one = torch.ones_like(words)
    allowed = visible(one, one) if name == "clip_text_model" else torch.ones(1, 1, 1, 1).bool()
    places = torch.arange(words.shape[1]).expand_as(words)
    with torch.no_grad():
        bias = layers.mask_bias(allowed, torch.float32)
        found = ours(ours.embed(words), positions=places, bias=bias)
        torch.testing.assert_close(found, theirs(words).last_hidden_state, **CLOSE)


# Whole models.


def scores(ours: Dual, pixels: Tensor, words: Tensor, real: Tensor, *, fused: bool) -> Tensor:
    seen = ours.see(pixels, fused=fused)
    context = Context.of(seen, torch.arange(len(seen)), rows=len(seen))
    return ours.similarity(ours.embed_pictures(context), ours.embed_texts(words, real, fused=fused))


@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("fused", [False, True])
def test_clip(tmp_path, fused, scale):
    """Scores of all pictures with all texts; a scale beyond exp(4.6) is not cut."""
    theirs = hub.model("clip")
    with torch.no_grad():
        theirs.logit_scale.fill_(scale)
    theirs.save_pretrained(tmp_path)
    ours, _ = pretrained.load(tmp_path)
    words, real = tokens()
    pixels = pictures(count=2)
    with torch.no_grad():
        expected = theirs(
            input_ids=words,
            attention_mask=real.long(),
            pixel_values=ours.vision.normalise(pixels),
        ).logits_per_image
        found = scores(ours, pixels, words, real, fused=fused)
    torch.testing.assert_close(found, expected, atol=1e-5 * 2.72**scale, rtol=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_siglip(tmp_path, fused):
    """It reads its padding too, as it was trained; ours is given texts of their own lengths."""
    theirs, ours, _ = opened(tmp_path, "siglip")
    words, real = tokens()
    pixels = pictures(count=2)
    padded = nn.functional.pad(words.where(real, 1), (0, 12 - words.shape[1]), value=1)
    with torch.no_grad():
        expected = theirs(
            input_ids=padded, pixel_values=ours.vision.normalise(pixels)
        ).logits_per_image
        found = scores(ours, pixels, words, real, fused=fused)
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_one_side_of_two(tmp_path, name):
    """The same as in the whole, and the other side is left in the files."""
    _, whole, _ = opened(tmp_path, name)
    for side, kept in (("vision", whole.vision), ("text", whole.text)):
        alone, report = pretrained.load(tmp_path, side=side)
        assert {k: v.shape for k, v in alone.state_dict().items()} == {
            k: v.shape for k, v in kept.state_dict().items()
        }
        for key, value in alone.state_dict().items():
            assert torch.equal(value, kept.state_dict()[key])
        other = "text_model." if side == "vision" else "vision_model."
        assert any(key.startswith(other) for key in report.left)


def test_positions_are_stretched_between_slow_and_fast(tmp_path):
    """Of the turns some are kept, some are slowed by the factor, and some lie between."""
    theirs, ours, _ = opened(tmp_path, "llama-stretched")
    steps = torch.arange(0, 16, 2) / 16
    turns = 500.0**-steps
    found = ours.rotary.stretch(turns)
    torch.testing.assert_close(found, theirs.model.rotary_emb.inv_freq, atol=1e-8, rtol=1e-6)
    share = turns / found
    assert share[0] == 1 and share[-1] == 8 and ((share > 1.01) & (share < 7.99)).any()


# How many marks a picture takes.
SPEAKERS = [("llava", 9), ("idefics3", 4), ("smolvlm", 4), ("blip-2", 4), ("blip-2-llama", 4)]


def asked(ours: Prefix, per_picture: int) -> tuple[Tensor, Tensor]:
    """A row of two pictures and one of one, words before, between and after them."""
    mark, first, second = [ours.picture_token] * per_picture, [3, 4], [5, 6, 7]
    rows = [first + mark + second + mark + first, second + mark + first]
    length = max(map(len, rows))
    words = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    real = torch.tensor([[i < len(row) for i in range(length)] for row in rows])
    return words, real


def shown(theirs: nn.Module, ours: Prefix, pixels: Tensor, which: slice) -> dict[str, Tensor]:
    """Pictures as they want them; Idefics3 has a row's side by side."""
    values = ours.vision.normalise(pixels[which])
    return {"pixel_values": values[None] if hasattr(theirs.config, "scale_factor") else values}


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(("name", "per_picture"), SPEAKERS)
def test_a_model_that_speaks(tmp_path, name, per_picture, fused):
    """Logits of words among pictures, and the 64 words that follow; causal, as theirs are."""
    theirs, ours, _ = opened(tmp_path, name)
    words, real = asked(ours, per_picture)
    side = ours.vision.grid[0] * hub.PATCH
    pixels = pictures(side, side)
    assert ours.see(pixels).shape[:2] == (3, per_picture)
    layout = causal(real)
    said = generate(ours, batch(words, real, pixels), end=-1, fused=fused)
    with torch.no_grad():
        found = ours(words, pictures=pixels, **layout, fused=fused)
        for i, which in enumerate((slice(0, 2), slice(2, 3))):
            row = words[i : i + 1, real[i]]
            given = shown(theirs, ours, pixels, which)
            expected = theirs(input_ids=row, attention_mask=torch.ones_like(row), **given).logits[0]
            torch.testing.assert_close(found[i, real[i]], expected, **CLOSE)
            assert list(said[i].tokens) == told_by(theirs, row, **given)


@pytest.mark.parametrize("fused", [False, True])
def test_blip_captions(tmp_path, fused):
    """Logits of rows of several lengths, and the 64 words that follow; each row has a picture."""
    theirs, ours, _ = opened(tmp_path, "blip")
    words, real = tokens()
    words = words.where(words != 60, 5)
    words[:, 0] = ours.picture_token
    pixels, layout = pictures(), causal(real)
    layout["documents"] = layout["documents"].where(words != 60, 0)
    shown = ours.vision.normalise(pixels)
    said = generate(
        ours, replace(batch(words, real, pixels), documents_BT=layout["documents"]), end=-1
    )
    with torch.no_grad():
        found = ours(words, pictures=pixels, **layout, fused=fused)
        expected = theirs(shown, words, attention_mask=real.long()).logits
        torch.testing.assert_close(found[real], expected[real], **CLOSE)
        for i, length in enumerate(LENGTHS):
            # It leaves the last of the words it is given out.
            row = torch.cat((words[i : i + 1, :length], words[:1, :1]), dim=1)
            settings = transformers.GenerationConfig(max_new_tokens=64, do_sample=False)
            made = theirs.generate(shown[i : i + 1], row, generation_config=settings)
            after = made[0, length:].tolist()
            assert list(said[i].tokens)[: len(after)] == after and len(after) > 1


def vilt_context(ours: Single, pixels: Tensor, *, fused: bool) -> Context:
    seen = ours.see(pixels, fused=fused)
    return Context.of(seen, torch.arange(len(seen)), rows=len(seen))


@pytest.mark.parametrize("fused", [False, True])
def test_vilt_matches(tmp_path, fused):
    """One score for each text with its picture; texts of several lengths."""
    theirs, ours, report = opened(tmp_path, "vilt")
    assert set(report.new) == {"text.head_bias", *(f"fill_head.{n}" for n in FILL_HEAD)}
    words, real = tokens()
    pixels = pictures()
    with torch.no_grad():
        expected = theirs(
            words, attention_mask=real.long(), pixel_values=ours.vision.normalise(pixels)
        ).logits[:, 0]
        context = vilt_context(ours, pixels, fused=fused)
        found = ours.match(words, real, context, fused=fused)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, **CLOSE)


FILL_HEAD = ("transform.weight", "transform.bias", "norm.weight", "norm.bias")


@pytest.mark.parametrize("fused", [False, True])
def test_vilt_fills(tmp_path, fused):
    """Scores of every word at every place."""
    theirs, ours, report = opened(tmp_path, "vilt-filling")
    assert set(report.new) == {"match_head.score.weight", "match_head.score.bias"}
    words, real = tokens()
    pixels = pictures()
    with torch.no_grad():
        expected = theirs(
            words, attention_mask=real.long(), pixel_values=ours.vision.normalise(pixels)
        ).logits[real]
        context = vilt_context(ours, pixels, fused=fused)
        found = ours.fill(words, real, context, select=real, fused=fused)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_what_begins_fresh_is_like_a_fresh_head(tmp_path):
    """Of the asked type, norms as the identity, and said in the report."""
    hub.saved(tmp_path, "vilt-answering")
    ours, report = pretrained.load(tmp_path, dtype=torch.bfloat16)
    assert {each.dtype for each in ours.parameters()} == {torch.bfloat16}
    assert torch.equal(ours.fill_head.norm.weight, torch.ones_like(ours.fill_head.norm.weight))
    assert 0.5 < ours.fill_head.transform.weight.float().std() * hub.WIDTH**0.5 < 1.5
    assert "begun fresh: text.head_bias" in str(report)
    assert any(name.startswith("classifier.") for name in report.left)


# Without transformers.


def test_nothing_of_it_needs_transformers(tmp_path):
    """A process in which transformers cannot be imported opens a folder and runs the model."""
    hub.saved(tmp_path, "clip")
    program = """
import sys
class Blocked:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "transformers":
            raise ImportError("blocked")
sys.meta_path.insert(0, Blocked())
import torch
import seesay
from seesay.model import pretrained
model, report = pretrained.load(sys.argv[1])
model.look(torch.zeros(1, 3, 24, 24, dtype=torch.uint8))
assert "transformers" not in sys.modules
print(report.kind)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "clip"


# The page.


def test_the_page_lists_every_type_with_its_test(root):
    """A row for each type that is read, naming a test of this file and the class it comes as."""
    page = (root / "docs" / "pretrained.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| .+ \| (`\w+` \| `test_\w+`) \|$", page, flags=re.M))
    assert set(rows) == set(NAMES)
    for kind, row in rows.items():
        made, test = re.findall(r"`(\w+)`", row)
        assert test in globals(), test
        assert made == COMES_AS[kind].__name__


COMES_AS = {
    **dict.fromkeys(
        ("clip_vision_model", "siglip_vision_model", "vit", "dinov2"), VisionTransformer
    ),
    **dict.fromkeys(("clip_text_model", "siglip_text_model", "bert", "gpt2"), Decoder),
    **dict.fromkeys(("llama", "qwen2", "qwen3"), Decoder),
    **dict.fromkeys(("clip", "siglip"), Dual),
    **dict.fromkeys(("llava", "idefics3", "smolvlm", "blip-2"), Prefix),
    **{"vilt": Single, "blip": Cross},
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_type_comes_as_the_page_says(tmp_path, kind):
    _, ours, _ = opened(tmp_path, kind)
    assert type(ours) is COMES_AS[kind]
