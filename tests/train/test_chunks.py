"""Chunks: the gradients of a batch in chunks are those of all of it in one piece."""

from dataclasses import replace

import pytest
import torch
from train import runs

from seesay import objectives
from seesay.train import chunks, contrast, history, losses
from seesay.train.contrast import Vectors
from seesay.train.losses import Share

DUAL = {"family": "dual", "space": 8, "pool": "attention"}
PLAIN = {**DUAL, "vision": runs.PATCHES, "text": {**runs.TEXT, "dropout": 0.0}}
SIGMOID = {**PLAIN, "contrast": "sigmoid"}
HERE = {"workers": 0}


def prepared(out, source, model=PLAIN, *, rows=11, **settings):
    settings = {"objectives": {"contrastive": 1.0}, "batch": rows, "chunk": 3} | settings
    run = runs.prepare(out, runs.recipe(source, model=model, data=HERE, **settings))
    # Fresh towers say the same of all pictures.
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in run.model.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return run, run.stream.step(0, 1.0)


def gradients(model) -> dict[str, torch.Tensor]:
    made = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return made


def near(one, other, *, scale=2e-6):
    assert one.keys() == other.keys() and one
    most = max(float(value.abs().max()) for value in other.values())
    for name, value in other.items():
        assert float((one[name] - value).abs().max()) <= scale * max(1.0, most), name
    assert most > 1e-3


@pytest.mark.parametrize("model", [PLAIN, SIGMOID], ids=["softmax", "sigmoid"])
@pytest.mark.parametrize("chunk", [1, 3, 4, 11, 100])
def test_gradients_are_those_of_the_whole(tmp_path, folder, model, chunk):
    run, batch = prepared(tmp_path, folder, model, chunk=chunk)
    run.model.train()
    share, found, facts = Share(0.3, 0.7), {}, {}
    whole = losses.loss_of(run, batch, run.model, facts, share)
    whole.backward()
    wanted = gradients(run.model)
    loss = chunks.learn(run, batch, run.model, found, share)
    near(gradients(run.model), wanted)
    assert float(loss) == pytest.approx(float(whole.detach()), rel=1e-5)
    assert found.keys() == facts.keys()
    for name, fact in facts.items():
        assert float(found[name]) == pytest.approx(float(fact), abs=1e-5), name


@pytest.mark.parametrize("size", [None, 1, 4, 50])
def test_strips_add_up_to_the_objectives(tmp_path, folder, size):
    for model in (PLAIN, SIGMOID):
        run, batch = prepared(tmp_path, folder, model)
        claims, against = (getattr(losses.Step(run, batch, run.model), n)
                           for n in ("claims", "contrast"))  # fmt: skip
        scores, positive = claims.similarity, claims.positive_BM
        name = "sigmoid_contrastive" if model is SIGMOID else "contrastive"
        wanted = getattr(objectives, name)(scores, positive)
        made = sum(against.contrastive(strip) for strip in against.strips(size))
        assert float(made.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
        against.taught = Vectors(claims.texts, claims.pictures, lambda a, b: 3 * a @ b.T)
        made = sum(against.affinity(strip) for strip in against.strips(size))
        wanted = objectives.affinity(scores, 3 * claims.texts @ claims.pictures.T)
        assert float(made.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
        right_B = positive.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0].float()
        assert float(against.facts["contrastive_right"]) == pytest.approx(float(right_B.mean()))


def test_with_dropout_and_batch_norm_both_passes_are_one(tmp_path, folder):
    """Against the chunks encoded once, with gradients, and compared in one matrix."""
    convolutions = {**DUAL, "vision": runs.VISION, "text": {**runs.TEXT, "dropout": 0.3}}
    run, batch = prepared(tmp_path, folder, convolutions)
    model = run.model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    several = chunks.split(batch, 3, owners=losses.Step(run, batch, model).owners)
    claims = [losses.Step(run, chunk.batch, model).claims for chunk in several]
    pictures, texts = zip(*((c.pictures, c.texts) for c in claims), strict=True)
    pairs = losses.Step(run, batch, model).claims.pairs
    against = losses.contrast(run, model, torch.cat(pictures), torch.cat(texts), pairs, None)
    made = [against.contrastive(strip) for strip in against.strips()]
    torch.stack(made).sum().backward()
    wanted = gradients(model)
    moved = {name: value.clone() for name, value in model.named_buffers()}
    drawn = torch.rand(3)
    model.load_state_dict(before)
    torch.manual_seed(1)
    chunks.learn(run, batch, model, {}, Share())
    assert torch.equal(torch.rand(3), drawn)
    near(gradients(model), wanted)
    # Averages of batch norms have taken in every chunk once.
    for name, value in model.named_buffers():
        torch.testing.assert_close(value, moved[name])
        assert name.endswith("tracked") or not torch.equal(value, before.get(name, value - 1))
    assert any(name.endswith("running_mean") for name in moved)


def test_what_is_asked_beside_is_asked_of_each_chunk(tmp_path, folder):
    """Words of captions: the same sums, whatever the chunks."""
    blip = {"family": "fusion", "fusion": "shared", "space": 8, "causal": False}
    blip |= {"vision": runs.PATCHES, "text": PLAIN["text"]}
    blip |= {"patch_classes": [9, 8, 2, 3, 2]}
    more = {"objectives": {"contrastive": 1.0, "caption": 0.5}, "patch_weight": 0.3}
    run, batch = prepared(tmp_path, "scenes", blip, rows=5, chunk=2, **more)
    losses.loss_of(run, batch, run.model, share=Share(0.5, 0.25)).backward()
    wanted = gradients(run.model)
    facts = {}
    chunks.learn(run, batch, run.model, facts, Share(0.5, 0.25))
    made = gradients(run.model)
    heads = {name for name in wanted if name.startswith("patch_head")}
    # What labels of patches move aside: each chunk's are a mean of their own.
    alike = [name for name in wanted.keys() - heads if "vision" not in name]
    near({n: made[n] for n in alike}, {n: wanted[n] for n in alike}, scale=2e-6)
    assert {"contrastive", "caption", "patches", "contrastive_right"} <= facts.keys()


def test_rows_without_texts_and_texts_of_no_picture(tmp_path, folder):
    """A chunk may have no text at all: its pictures are there to be chosen wrongly."""
    run, batch = prepared(tmp_path, folder, chunk=2)
    keep = (batch.claims_row_M < 3) | (batch.claims_row_M == 8)
    names = ("claims_Mt", "claims_real_Mt", "claims_true_M", "claims_row_M")
    batch = replace(batch, **{name: getattr(batch, name)[keep] for name in names})
    batch.claims_true_M[1] = 0
    losses.loss_of(run, batch, run.model).backward()
    wanted = gradients(run.model)
    chunks.learn(run, batch, run.model, {}, Share())
    near(gradients(run.model), wanted)


def test_marks_are_equal_where_texts_are(tmp_path):
    torch.manual_seed(0)
    tokens = torch.randint(0, 3, (400, 4))
    real = torch.arange(4) < torch.randint(1, 5, (400, 1))
    same = contrast.marks(tokens, real)
    said = [tuple(t[r].tolist()) for t, r in zip(tokens, real, strict=True)]
    assert [[a == b for b in said] for a in said] == (same[:, None] == same).tolist()
    # Padding changes nothing.
    wide = torch.nn.functional.pad(tokens, (0, 3), value=7)
    assert torch.equal(contrast.marks(wide, torch.nn.functional.pad(real, (0, 3))), same)


def test_a_run_in_chunks_is_the_run_in_one_piece(tmp_path, folder):
    for name, chunk in (("whole", 0), ("chunks", 3)):
        settings = {"objectives": {"contrastive": 1.0}, "chunk": chunk, "accumulate": 2}
        settings |= {"optimizer": "adamw", "batch": 8, "steps": 4, "log_every": 1}
        runs.train(tmp_path / name, runs.recipe(folder, model=PLAIN, data=HERE, **settings))
    whole, parts = history(tmp_path / "whole"), history(tmp_path / "chunks")
    for one, other in zip(whole, parts, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)


def test_clips_stay_whole(tmp_path, folder):
    """Of videos pooled frame by frame, a chunk has all the frames of its rows."""
    model = {**PLAIN, "time": {"kind": "learned", "pool": 2}}
    run, batch = prepared(tmp_path, folder, model, chunk=4)
    pixels_NCHW = batch.pictures_NCHW.repeat_interleave(2, dim=0)
    pixels_NCHW[1::2] = 255 - pixels_NCHW[1::2]
    clips_N = torch.arange(11).repeat_interleave(2)
    times_N = torch.tensor([0.0, 0.5]).repeat(11)
    batch = replace(batch, pictures_NCHW=pixels_NCHW, clips_N=clips_N, times_N=times_N)
    run.model.train()
    losses.loss_of(run, batch, run.model, {}, Share(1.0, 1.0)).backward()
    wanted = gradients(run.model)
    assert wanted["time.project.weight"].abs().max() > 0
    chunks.learn(run, batch, run.model, {}, Share(1.0, 1.0))
    near(gradients(run.model), wanted)
