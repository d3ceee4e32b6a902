"""Time: a frame at the beginning is a picture, pooled ones are their mean; packed is alone."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from seesay import config, predict
from seesay.data import clips
from seesay.data.collate import Row, collate
from seesay.errors import RecipeError
from seesay.model import families, generate
from seesay.model.contract import Embedder
from seesay.model.time import Time, pooled
from seesay.predict import Prompt
from seesay.records import Frame, Turn

WORDS = tiny.text()
ASKED = (("what colour is it ?", "red"), ("what ?", "a large star ."))
SPEAKERS = {
    "smolvlm": {},
    "llava": {"connector": {"kind": "mlp"}},
    "instructblip": {"connector": {"kind": "qformer", "queries": 3, "instructed": True}},
    "flamingo": {"family": "cross", "connector": {"kind": "resampler", "queries": 3}},
    "show and tell": {"family": "recurrent", "attend": False},
}


def settings(name: str, **time) -> config.Recipe:
    plain = config.as_table(tiny.recipe())
    for key, value in SPEAKERS[name].items():
        own = plain["model"].get(key)
        plain["model"][key] = {**own, **value} if isinstance(own, dict) else value
    plain["model"]["time"] = time
    plain["data"]["row_tokens"] = plain["model"]["text"]["context"] = 96
    return config.recipe(plain)


def video(*seeds: int, step: float = 0.25, name: str = "film") -> tuple[Frame, ...]:
    return tuple(Frame(tiny.picture(s), i * step, name) for i, s in enumerate(seeds))


def batch_of(recipe: config.Recipe, *rows, room: int | None = None):
    """Rows of some pictures, and the conversations on them; by number, they say where they are."""
    fit = replace(tiny.fit(recipe), pool=recipe.model.time.pool)
    made = []
    for number, (pictures, documents) in enumerate(rows):
        shown, _ = clips.pooled(pictures, (), pool=fit.pool)
        marks = fit.each * len(shown)
        several = [
            fit.shown(tiny.document(WORDS, *each), marks, picture_token=WORDS.picture)
            for each in documents
        ]
        none, timing = np.zeros((0, 16, 16, 3), np.uint8), clips.timing(shown, fit.plans(shown))
        pixels = np.concatenate([none, *fit.pixels(shown)])
        how = {"instructed": fit.instructed, "timing": timing}
        made.append(Row(pixels, tuple(several), str(number), **how))
    how = {"picture_tokens": fit.picture_tokens, "pad": WORDS.pad, "room": room}
    return collate(made, picture_token=WORDS.picture, **how)


def logits(model, batch):
    return model(batch.tokens_BT, pictures=batch.pictures_NCHW, **batch.layout)


@pytest.mark.parametrize("time", ["none", "sines", "learned"])
@pytest.mark.parametrize("name", SPEAKERS)
def test_a_frame_at_the_beginning_is_a_picture(name, time):
    """Bit for bit, beside a video as without."""
    recipe = settings(name, kind=time)
    model = tiny.model(recipe, WORDS)
    plain = batch_of(recipe, ((tiny.picture(0),), ASKED))
    frame = batch_of(recipe, (video(0), ASKED))
    beside = batch_of(recipe, (video(0), ASKED), (video(1, 2), ASKED[:1]))
    assert plain.times_N is None and frame.times_N is None and beside.times_N is not None
    own = (plain.documents_BT[0] >= 0).sum()
    assert torch.equal(logits(model, plain), logits(model, frame))
    width = plain.tokens_BT.shape[1]
    alike = logits(model, beside)[0, :own], logits(model, plain)[0, :own]
    torch.testing.assert_close(*alike, atol=1e-6, rtol=1e-5)
    assert width == frame.tokens_BT.shape[1]
    told = model.watch(torch.randn(2, 16, 16), times=torch.tensor([0.0, 1.5]))
    assert told.shape == (2, 16, 16)


@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("name", SPEAKERS)
def test_videos_in_packed_rows_are_as_if_alone(name, pool):
    recipe = settings(name, kind="learned", pool=pool)
    model = tiny.model(recipe, WORDS, scale=0.2)
    film, other = video(1, 2, 3, 4, 5), video(6, 7, name="other")
    packed = batch_of(
        recipe, (film, ASKED), ((tiny.picture(0),), ASKED[:1]), (other, ASKED[1:]), ((), ASKED[:1])
    )
    assert packed.num_shown == -(-5 // pool) + 1 + -(-2 // pool)
    together = logits(model, packed)
    for row, (pictures, documents) in enumerate([(film, ASKED), ((tiny.picture(0),), ASKED[:1])]):
        for number, each in enumerate(documents, start=1):
            single = batch_of(recipe, (pictures, [each]))
            alone = logits(model, single)[0, single.documents_BT[0] == 1]
            own = together[row, packed.documents_BT[row] == number]
            torch.testing.assert_close(own, alone, atol=1e-5, rtol=1e-4)


def groups(batch) -> dict[int, tuple[int, torch.Tensor]]:
    """By its number, which row of a batch each of the packed ones shares, and at which places."""
    return {
        int(number): (b, batch.groups_BT[b] == group)
        for b, origins in enumerate(batch.origins)
        for group, number in enumerate(origins.split(", "))
    }


@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("name", ["smolvlm", "llava"])
def test_videos_that_share_a_row_are_as_if_alone(name, pool):
    """Clips stay whole, and their times with them, whatever order they are laid in."""
    recipe = settings(name, kind="learned", pool=pool)
    model = tiny.model(recipe, WORDS, scale=0.2)
    film, other = video(1, 2, 3, 4, 5), video(6, 7, 8, name="other")
    rows = ((other, ASKED[1:]), ((tiny.picture(0),), ASKED), (film, ASKED[:1]), ((), ASKED[:1]))
    packed = batch_of(recipe, *rows, room=96)
    assert model.packs and len(packed.tokens_BT) < len(rows)
    together = logits(model, packed)
    for number, (b, places) in groups(packed).items():
        single = batch_of(recipe, rows[number])
        alone = logits(model, single)[0, single.groups_BT[0] == 0]
        torch.testing.assert_close(together[b, places], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pool", [1, 2])
def test_another_frame_or_time_changes_its_own_alone(pool):
    recipe = settings("smolvlm", kind="learned", pool=pool)
    model = tiny.model(recipe, WORDS, scale=0.2)
    films = [(video(n, n + 1, n + 2, name=str(n)), ASKED[:1]) for n in (1, 4)]
    packed = batch_of(recipe, *films, room=96)
    assert len(packed.tokens_BT) == 1 and packed.times_N is not None
    pixels, times = packed.pictures_NCHW.clone(), packed.times_N.clone()
    pixels[2], times[2] = 255 - pixels[2], 7.0  # the last frame of the one that is laid first
    plain = logits(model, packed)
    for other in ({"pictures_NCHW": pixels}, {"times_N": times}):
        made = logits(model, replace(packed, **other))
        moved = ((made - plain).abs().amax(dim=2)[0] > 1e-5)[packed.groups_BT[0] >= 0]
        first = (packed.groups_BT[0] == 0)[packed.groups_BT[0] >= 0]
        assert moved[first].any() and not moved[~first].any()


@pytest.mark.parametrize("name", SPEAKERS)
def test_times_are_told_apart(name):
    recipe, plain = settings(name, kind="learned"), settings(name)
    model, without = tiny.model(recipe, WORDS), tiny.model(plain, WORDS)
    first, second = (batch_of(recipe, (video(1, 2, step=s), ASKED)) for s in (0.25, 0.5))
    assert not torch.allclose(logits(model, first), logits(model, second), atol=1e-4)
    assert torch.equal(logits(without, first), logits(without, second))


def test_pooling_is_the_mean_of_neighbouring_frames():
    patches = torch.randn(6, 4, 8)
    made = pooled(patches, torch.tensor([0, 0, 0, 1, 2, 2]))
    wanted = torch.stack([patches[:3].mean(0), patches[3], patches[4:].mean(0)])
    torch.testing.assert_close(made, wanted)
    assert torch.equal(made[1], patches[3])
    assert pooled(patches[:0], torch.zeros(0, dtype=torch.long)).shape == (0, 4, 8)
    # Frames that are alike are what each of them is.
    recipe = settings("smolvlm", pool=4)
    model = tiny.model(recipe, WORDS)
    one, four = batch_of(recipe, (video(3), ASKED)), batch_of(recipe, (video(3, 3, 3, 3), ASKED))
    assert len(four.pictures_NCHW) == 4 and torch.equal(one.tokens_BT, four.tokens_BT)
    torch.testing.assert_close(logits(model, one), logits(model, four), atol=1e-6, rtol=1e-5)


def test_waves_are_those_of_positions():
    time = Time(width=6, scale=0.5)
    added = time(torch.zeros(2, 3, 6), torch.tensor([0.0, 1.25]))
    assert torch.equal(added[0], torch.zeros(3, 6))
    angles = 1.25 * 4.0 / 10_000 ** (torch.arange(3) / 3)
    wanted = 0.5 * torch.cat((angles.sin(), angles.cos() - 1))
    torch.testing.assert_close(added[1], wanted.expand(3, 6))


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("name", SPEAKERS)
def test_a_predictor_says_what_the_model_says(name, pool):
    """In company, with videos in front and inside a conversation."""
    recipe = settings(name, kind="sines", pool=pool)
    model = tiny.model(recipe, WORDS)
    asker = predict.predictor(model, WORDS, recipe=recipe)
    film, other = video(1, 2, 3), video(1, 2, name="other")
    turns = (Turn("user", "what colour is it ?"),)
    prompts = [Prompt(film, turns), Prompt((tiny.picture(1),), turns), Prompt(other, turns)]
    batch = batch_of(recipe, *((prompt.images, [("what colour is it ?",)]) for prompt in prompts))
    forbid = [WORDS.picture, WORDS.pad] + ([WORDS.mask] if WORDS.mask is not None else [])
    made = generate.generate(model, batch, end=WORDS.end, forbid=forbid, most=[9] * 3)
    for prompt, own, answer in zip(prompts, made, asker.answer(prompts), strict=True):
        assert answer.log_probabilities[:9] == pytest.approx(own.log_probabilities, abs=1e-4)
        (alone,) = asker.answer([prompt])
        assert alone.log_probabilities == pytest.approx(answer.log_probabilities, abs=1e-4)
    if asker.interleaved:
        inside = (Turn("user", "is it", pictures=(0, 0, 0, 2)),)
        (said,) = asker.answer([Prompt((*film, tiny.picture(1)), inside)])
        assert said.log_probabilities


def test_a_common_space_has_videos_too():
    plain = config.as_table(tiny.recipe())
    plain["model"] |= {"family": "dual", "space": 8, "time": {"kind": "learned", "pool": 2}}
    recipe = config.recipe(plain)
    model = tiny.model(recipe, WORDS)
    assert isinstance(model, Embedder)
    asker = predict.predictor(model, WORDS, recipe=recipe)
    prompts = [Prompt(video(1, 2, 3), ()), Prompt(video(1, 2, 4), ())]
    first, second = asker.choose(prompts, [["red", "green"]] * 2)
    alone = asker.choose(prompts[:1], [["red", "green"]])[0]
    np.testing.assert_allclose(first, alone, atol=1e-5)
    assert not np.allclose(first, second, atol=1e-5)


def test_a_checkpoint_keeps_what_was_learned_of_time(tmp_path):
    recipe = settings("smolvlm", kind="learned", pool=2)
    model = tiny.model(recipe, WORDS)
    opened = predict.load(tiny.save(tmp_path / "run", recipe, WORDS, model))
    prompt = Prompt(video(1, 2, 3), (Turn("user", "what ?"),))
    mine = predict.predictor(model, WORDS, recipe=recipe).answer([prompt])
    assert opened.answer([prompt]) == mine and opened.fit.pool == 2


def test_what_does_not_go_together_is_refused():
    plain = config.as_table(settings("smolvlm", pool=2))
    cut = {**plain["data"], "tiles": 2, "video": {"tiles": True}}
    with pytest.raises(RecipeError, match="model.time.pool is 2: data.video.tiles cuts frames"):
        config.recipe({**plain, "data": cut})
    config.recipe({**plain, "data": {**plain["data"], "tiles": 2}})
    vision = {**plain["model"]["vision"], "kind": "regions"}
    connector = {"kind": "linear"}
    regions = {**plain["model"], "family": "single", "vision": vision, "connector": connector}
    recipe = config.recipe({**plain, "model": regions})
    with pytest.raises(RecipeError, match="2 frames have no regions in common"):
        families.build(recipe.model, vocabulary=len(WORDS), picture_token=WORDS.picture)
