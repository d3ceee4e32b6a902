"""Watch and leaks: each thing that goes wrong is said once, and nothing where all is well."""

import pytest
import torch
from model.test_every_family import ANSWERS, KINDS, WORDS, batch_of, built, row, settings
from torch import nn
from train import runs

from seesay.data.collate import Row
from seesay.model import prefix, rows, transformer
from seesay.train import history
from seesay.train import leaks as leaking
from seesay.train.leaks import leaks
from seesay.train.watch import LOOKS, STEPS, Watch

HERE = {"workers": 0}
DUAL = {"family": "dual", "space": 8, "pool": "mean", "vision": runs.PATCHES}
FLAMINGO = {"family": "cross", "gate_every": 1, "vision": runs.PATCHES,
            "connector": {"kind": "resampler", "queries": 2}}  # fmt: skip
RATES = {"learning_rate": 0.02, "adamw_learning_rate": 0.01}
LONG = {"steps": 80, "log_every": 10, "batch": 8, **RATES}
STILL = {"learning_rate": 1e-9, "adamw_learning_rate": 1e-9}


def warnings(out) -> dict[str, str]:
    found = [(row["warning"], row["said"]) for row in history(out) if "warning" in row]
    assert len(dict(found)) == len(found)
    return dict(found)


def trained(out, source, model, **more) -> dict[str, str]:
    runs.train(out, runs.recipe(source, model=model, data=HERE, **{**LONG, **more}))
    return warnings(out)


def test_a_collapse_and_chance_are_said(tmp_path, folder, capsys):
    """What all pictures share drowns what tells them apart, and it stays so."""
    asked = {"objectives": {"contrastive": 1.0}, "batch": 12}
    plan = runs.recipe(folder, model=DUAL, data=HERE, **{**LONG, **STILL, **asked})
    run = runs.prepare(tmp_path, plan)
    with torch.no_grad():
        run.model.vision.positions.add_(100 * torch.randn(16))
    found = warnings(runs.fit(run).out)
    assert "one and the same vector" in found["contrastive_alike"]
    assert "by chance would be for" in found["contrastive_right"]
    said = capsys.readouterr().err
    assert all(said.count(words) == 1 for words in found.values())


def test_a_run_that_learns_is_left_alone(tmp_path, folder):
    asked = {"objectives": {"contrastive": 1.0}, "batch": 12, "steps": 150}
    assert trained(tmp_path / "dual", folder, DUAL, **asked) == {}
    assert trained(tmp_path / "told", folder, {"vision": runs.PATCHES}, steps=150) == {}


def test_matching_at_chance_and_words_that_are_not_learned_are_said(tmp_path, folder):
    model = {"family": "single", "connector": {"kind": "linear"}, "vision": runs.PATCHES}
    asked = {"objectives": {"matching": 1.0, "masked_lm": 1.0}}
    found = trained(tmp_path, folder, model, **asked, **STILL)
    assert found.keys() == {"matching_right", "masked_lm"}
    assert "the loss of 'masked_lm' is" in found["masked_lm"]


def test_words_no_better_than_their_frequency_are_said(tmp_path, folder):
    found = trained(tmp_path, folder, {"vision": runs.PATCHES}, **STILL)
    assert found.keys() == {"caption"}


def test_shut_gates_are_said(tmp_path, folder):
    shut = [{"match": "text.blocks.*.cross.*_gate", "rate": 0.0}]
    found = trained(tmp_path / "shut", folder, FLAMINGO, parts=shut, steps=150)
    assert found.keys() == {"gates"} and "all 2 gates are still shut" in found["gates"]
    assert trained(tmp_path / "open", folder, FLAMINGO, steps=150) == {}


def logged(step, **facts) -> dict:
    return {"step": step, "progress": step / 200, **facts}


def test_when_and_how_often(tmp_path, folder):
    """Not before all has settled, not for one bad row, and not again after a resume."""
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE))
    watch, model = Watch(run), nn.Linear(1, 1)

    def look(step, alike):
        return [name for name, _ in watch.look(logged(step, contrastive_alike=alike), model)]

    assert [look(step, 0.99) for step in range(10, STEPS, 10)] == [[]] * 4
    assert [look(step, 0.99) for step in range(60, 60 + LOOKS - 1)] == [[]] * (LOOKS - 1)
    assert look(70, 0.5) == []
    again = [look(step, 0.99) for step in range(80, 84)]
    assert again == [[], [], ["contrastive_alike"], []]
    watch = Watch(run, before=[{"step": 82, "warning": "contrastive_alike", "said": ""}])
    assert [look(step, 0.99) for step in range(90, 99)] == [[]] * 9
    # What it began with is the log's first row, not the first after a resume.
    watch = Watch(run, before=[logged(1, caption=6.0)])
    found = [list(watch.look(logged(100 + i, caption=2.0), model)) for i in range(LOOKS)]
    assert found == [[]] * LOOKS


# Leaks.


class Held:
    """What of a run the look for leaks asks for."""

    def __init__(self, kind: str) -> None:
        self.recipe, self.text, self.fused = settings(kind), WORDS, False
        self.device = torch.device("cpu")


def batch(kind: str):
    """Packed documents, rows of one and of two pictures; and texts to hold against them."""
    claims = tuple(WORDS.claim(words) for words in ("a large star .", "red"))

    def claimed(given: Row) -> Row:
        return Row(given.pictures, given.documents, claims=claims, truths=(True, False))

    made = [row(0), row(1, 2, documents=ANSWERS[:2]), row(3, documents=ANSWERS[1:])]
    return batch_of(kind, *map(claimed, made))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ahead", [False, True])
def test_no_family_leaks(kind, ahead):
    model, run = built(kind), Held(kind)
    if ahead:
        model.prefix_lm = True
    state = torch.get_rng_state()
    assert leaks(run, model, batch(kind)) == []
    assert torch.equal(torch.get_rng_state(), state)


def whole(plain, *, by):
    """A mask that lets more be seen: of later words, other documents, or of whatever is there."""

    def visible(documents, groups, *, horizon=None, queries=slice(None)):
        seen = plain(documents, groups, horizon=horizon, queries=queries)
        if by == "documents":
            same = plain(documents.clamp(max=1), groups, horizon=horizon, queries=queries)
            return seen | same
        later = torch.ones(documents.shape[1], documents.shape[1], dtype=torch.bool)
        same = documents[:, queries, None] == documents[:, None, :]
        return seen | (later[queries] & same)[:, None]

    return visible


@pytest.mark.parametrize("by", ["documents", "later"])
@pytest.mark.parametrize("kind", ["llava", "simplevlm", "coca"])
def test_a_mask_that_leaks_is_noticed(monkeypatch, kind, by):
    monkeypatch.setattr(transformer, "visible", whole(rows.visible, by=by))
    found = leaks(Held(kind), built(kind), batch(kind))
    assert found and all("changing the word at place" in line for line in found)
    assert all("a mask leaks" in line for line in found)


def test_a_picture_of_another_row_is_noticed(monkeypatch):
    """Pictures put in the wrong rows."""
    kind, model = "llava", built("llava")
    plain = type(model).meet

    def shifted(self, tokens, seen, layout):
        return plain(self, tokens, seen.roll(1, dims=0), layout)

    monkeypatch.setattr(prefix.Prefix, "meet", shifted)
    found = leaks(Held(kind), model, batch(kind))
    assert any("changing a picture of row 0" in line for line in found)


@pytest.mark.parametrize("side", ["texts", "pictures", "matching"])
def test_towers_that_see_each_other_are_noticed(monkeypatch, side):
    """A norm over the batch: what one says depends on the others."""
    kind = "albef"
    model = built(kind)
    name = {"texts": "embed_texts", "pictures": "embed_pictures", "matching": "match"}[side]
    plain = getattr(type(model), name)

    def mixed(self, *given, **more):
        made = plain(self, *given, **more)
        return made - made.mean(dim=0)

    monkeypatch.setattr(type(model), name, mixed)
    found = leaks(Held(kind), model, batch(kind))
    assert found and all(f"warning: {side}: " in line for line in found)


def test_a_leak_is_said_before_training(tmp_path, folder, monkeypatch, capsys):
    monkeypatch.setattr(leaking, "_of_speaker", lambda *given: ["warning: it leaks"])
    run = runs.train(tmp_path, runs.recipe(folder, data=HERE, preflight=2, steps=1))
    assert "warning: it leaks" in capsys.readouterr().err
    assert warnings(run.out) == {"leak": "warning: it leaks"}


def test_a_fresh_model_is_looked_at_too(tmp_path, folder, monkeypatch):
    """Its blocks do nothing yet, and would hide it."""
    monkeypatch.setattr(transformer, "visible", whole(rows.visible, by="later"))
    run = runs.prepare(tmp_path, runs.recipe(folder, data=HERE))
    assert leaks(run, run.model, run.stream.step(0, 0.0))
