"""BLIP-2 in its two stages: what the first learned is what the second begins with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from train import runs

from seesay import predict
from seesay.errors import RecipeError
from seesay.model import checkpoint
from seesay.predict import Prompt
from seesay.records import Turn
from seesay.train import history, setup

HERE = {"workers": 0, "tokenizer": "character"}
QFORMER = {"kind": "qformer", "queries": 4, "depth": 2}
FROZEN = [{"match": "vision", "rate": 0.0}, {"match": "text", "rate": 0.0}]


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    """One thread, for what is trained before the first test too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def first(tmp_path_factory, folder) -> Path:
    """Pictures likened to texts, matched with them and told."""
    out = tmp_path_factory.mktemp("queries")
    weights = {"contrastive": 1, "matching": 1, "caption": 1}
    model = {"family": "queries", "space": 16, "connector": QFORMER}
    how = {"steps": 160, "batch": 8, "log_every": 20,
           "learning_rate": 0.01, "adamw_learning_rate": 0.01}  # fmt: skip
    runs.train(out, runs.recipe(folder, data=HERE, model=model, objectives=weights, **how))
    return out


@pytest.fixture(scope="module")
def words(tmp_path_factory, folder) -> Path:
    """A decoder that has learned the same words, twice as wide."""
    out = tmp_path_factory.mktemp("words")
    runs.train(out, runs.recipe(folder, data=HERE, model={"text": WIDE}, steps=3))
    return out


WIDE = {**runs.TEXT, "width": 32}


def second(folder, first: Path, words: Path, **connector) -> dict:
    """What the second stage's model is, and begins with."""
    given = {
        "vision": str(first),
        "connector.qformer": f"{first}:qformer",
        "text": str(words),
    }
    if connector.get("instructed"):
        given["connector.words"] = f"{first}:text"
    small = {"width": 16, "num_heads": 2}
    return {"text": WIDE, "connector": {**QFORMER, **small, **connector}, "init": given}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.open_tensors(checkpoint.find(run) / checkpoint.WEIGHTS)


def test_the_three_losses_of_the_first_stage_fall(first):
    rows = [row for row in history(first) if "loss" in row]
    begun, ended = rows[0], rows[-1]
    assert ended["contrastive"] < 0.5 * begun["contrastive"]
    assert ended["caption"] < 0.8 * begun["caption"]
    # Two of three pairs are wrong: less than their entropy is only learned by looking.
    assert ended["matching"] < min(begun["matching"], 0.63)
    assert 0 < ended["contrastive_alike"] <= 1


def test_the_first_stage_does_all_it_says(first):
    predictor = predict.load(first, device="cpu")
    picture = runs.COLOURS["red"]
    pixels = torch.tensor(picture, dtype=torch.uint8).expand(16, 16, 3).numpy()
    assert predictor.embed([pixels]).shape == predictor.embed(texts=["red"]).shape == (1, 16)
    (chosen,) = predictor.choose([Prompt((pixels,), ())], [["red", "blue"]])
    assert chosen.sum() == pytest.approx(1)
    assert predictor.answer([Prompt((pixels,), (Turn("user", ""),))])[0].log_probabilities


@pytest.mark.parametrize("instructed", [False, True])
def test_the_second_begins_with_the_first_and_trains_what_is_between(
    tmp_path, folder, first, words, instructed
):
    said: list[str] = []
    model = second(folder, first, words, instructed=instructed)
    plan = runs.recipe(folder, data=HERE, model=model, steps=30, batch=8, parts=FROZEN)
    run = setup.prepare(plan, out=tmp_path / "begun", device="cpu", say=said.append)
    own, theirs, decoder = run.model.state_dict(), weights(first), weights(words)
    for name in own:
        there = name.removeprefix("connector.")
        if name.startswith("connector.qformer"):
            assert torch.equal(own[name], theirs[there]), name
        if name.startswith("connector.words"):
            assert torch.equal(own[name], theirs[there.replace("words", "text")]), name
        if name.startswith("text"):
            assert torch.equal(own[name], decoder[name]), name
    # Without a question there is nothing for the MLPs of text.
    assert any("text_mlp" in name for name in own) == instructed
    assert any("text_mlp" in line and "not taken" in line for line in said) != instructed
    out = tmp_path / "run"
    runs.train(out, plan)
    now = weights(out)
    moved = {name for name in now if not torch.equal(now[name], own[name].cpu())}
    assert moved and all(name.startswith("connector.") for name in moved)
    assert "connector.project.weight" in moved and "connector.qformer.queries" in moved
    losses = [row["loss"] for row in history(out) if "loss" in row]
    assert losses[-1] < losses[0]
    pixels = torch.zeros(16, 16, 3, dtype=torch.uint8).numpy()
    asked = Prompt((pixels,), (Turn("user", "red ?"),))
    assert predict.load(out, device="cpu").answer([asked])


def test_questions_and_answers_of_two_tokenizers_are_refused(tmp_path, folder, first):
    other = tmp_path / "other"
    scenes = {**HERE, "tokenizer": "bpe"}
    runs.train(other, runs.recipe("scenes", data=scenes, model={"text": WIDE}, steps=1))
    model = second(folder, first, other, instructed=True)
    plan = runs.recipe(folder, data={"workers": 0, "tokenizer": "bpe"}, model=model)
    with pytest.raises(RecipeError, match="'text' and 'connector.words' know words by two"):
        runs.prepare(tmp_path / "out", plan)
