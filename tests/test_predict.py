"""Predict: answers and choices are the model's own, whoever else is asked at the same time."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from seesay import config, machine, predict
from seesay.data import images
from seesay.errors import (
    CapabilityError,
    CheckpointError,
    DataError,
    LengthError,
    PictureError,
    RecipeError,
)
from seesay.model import checkpoint
from seesay.predict import Answer, Decoding, Predictor, Prompt, SeesayPredictor
from seesay.records import Turn

SETTINGS = tiny.recipe()
WORDS = tiny.text()
PICTURES = [tiny.picture(seed) for seed in range(3)]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model():
    """Sharp enough to say different things, some of them short."""
    torch.manual_seed(1)
    return tiny.model(SETTINGS, WORDS, scale=0.5)


def predictor(model, decoding: Decoding | None = None, **more) -> SeesayPredictor:
    given = {"fit": tiny.fit(SETTINGS), "context": 64, "decoding": decoding or Decoding(most=8)}
    return SeesayPredictor(model, WORDS, **(given | more))


def ask(question: str, *pictures: int, said: Sequence[str] = ()) -> Prompt:
    """A question on some pictures, after what was said: questions and answers in turn."""
    roles = ("user", "assistant") * len(said)
    earlier = tuple(Turn(role, text) for role, text in zip(roles, said, strict=False))
    return Prompt(tuple(PICTURES[i] for i in pictures), (*earlier, Turn("user", question)))


PROMPTS = [
    ask("what ?", 0),
    ask("what colour is it ?", 1),
    ask("two ?", 0),
    ask("a ring left of a star ?", 2, 0),
    ask("is it red ?"),
    ask("a star ?", 1, said=("what ?", "a ring .")),
    Prompt((PICTURES[2],), ()),
]
OPTIONS = [
    ["yes", "two"],
    ["red", "green", "a small ring left of a large star ."],
    ["two"],
    ["yes", "a", "yes", ""],
    ["green", "red"],
    ["red", "yes", "two"],
    ["a large star .", "a small ring ."],
]


def assert_alike(given: Sequence[Answer], expected: Sequence[Answer]) -> None:
    assert [answer.text for answer in given] == [answer.text for answer in expected]
    for one, other in zip(given, expected, strict=True):
        assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-4)


def test_it_is_a_predictor(model):
    assert isinstance(predictor(model), Predictor)


# One by one, or together.

WAYS = {
    "greedy": Decoding(most=8),
    "drawn": Decoding(most=8, temperature=1.0, seed=3),
    "nucleus": Decoding(most=8, temperature=2.0, top_p=0.8, seed=4),
    "beams": Decoding(most=5, beams=3),
}


@pytest.mark.parametrize(("way", "rows"), [*((way, 1) for way in WAYS), ("drawn", 3)])
def test_answers_do_not_depend_on_the_batch(model, way, rows):
    together = predictor(model, WAYS[way]).answer(PROMPTS)
    assert_alike(predictor(model, WAYS[way], most_rows=rows).answer(PROMPTS), together)
    assert len({answer.text for answer in together}) > 3


@pytest.mark.parametrize("rows", [1, 4, 8])
def test_choices_do_not_depend_on_the_batch(model, rows):
    together = predictor(model).choose(PROMPTS, OPTIONS)
    apart = predictor(model, most_rows=rows).choose(PROMPTS, OPTIONS)
    alone = [
        predictor(model).choose([prompt], [options])[0]
        for prompt, options in zip(PROMPTS, OPTIONS, strict=True)
    ]
    for one, other, third in zip(together, apart, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
        np.testing.assert_allclose(one, third, atol=1e-5)


def test_nobody_asked_nothing_said(model):
    assert predictor(model).answer([]) == [] and predictor(model).choose([], []) == []


# By hand.


def pixels(prompt: Prompt) -> torch.Tensor:
    stacked = np.stack([np.asarray(picture) for picture in prompt.images])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def log_probabilities(model, prompt: Prompt, tokens: list[int]) -> torch.Tensor:
    """Of every next token (T, Y), the pictures before them, nothing packed, padded or cached."""
    number = 4 * len(prompt.images)
    tokens_BT = torch.tensor([[WORDS.picture] * number + tokens])
    documents = torch.tensor([[0] * number + [1] * len(tokens)])
    with torch.no_grad():
        logits = model(
            tokens_BT,
            pictures=pixels(prompt),
            positions=torch.arange(tokens_BT.shape[1])[None],
            documents=documents,
            groups=torch.zeros_like(documents),
        )
    return logits[0, number:].double().log_softmax(-1)


def marked(name: str, text: str, end: str = "") -> list[int]:
    """A turn's tokens, spelled out: its mark, its characters, and the mark that ends it."""
    names = [f"<{name}>", *text] + ([end] if end else [])
    return [WORDS.tokenizer.get_vocab()[name] for name in names]


@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_a_choice_is_the_product_of_its_tokens_probabilities(model, place):
    prompt, options = PROMPTS[place], OPTIONS[place]
    asked = [
        token for turn in prompt.turns
        for token in marked(turn.role, turn.text, "<end>" if turn.role == "assistant" else "")
    ]  # fmt: skip
    products = []
    for option in options:
        said = marked("assistant", option, "<end>")
        log_TY = log_probabilities(model, prompt, [*asked, *said])
        start = len(asked)
        products.append(
            np.prod([float(log_TY[start + i, token].exp()) for i, token in enumerate(said[1:])])
        )
    chosen = predictor(model).choose([prompt], [options])[0]
    np.testing.assert_allclose(chosen, np.array(products) / sum(products), rtol=1e-3, atol=1e-9)
    assert chosen.sum() == pytest.approx(1) and chosen.dtype == np.float64


@pytest.mark.parametrize("place", [0, 1, 3, 6])
def test_an_answer_is_the_likeliest_token_after_token(model, place):
    prompt = PROMPTS[place]
    question = prompt.turns[-1].text if prompt.turns else ""
    tokens = [*marked("user", question), *marked("assistant", "")]
    asked, logs = len(tokens), []
    while len(logs) < 8:
        log_Y = log_probabilities(model, prompt, tokens)[-1]
        log_Y[[WORDS.picture, WORDS.pad]] = -torch.inf
        tokens.append(int(log_Y.argmax()))
        logs.append(float(log_Y.max()))
        if tokens[-1] == WORDS.end:
            break
    answer = predictor(model).answer([prompt])[0]
    assert answer.text == WORDS.decode(tokens[asked:])
    assert answer.log_probabilities[: len(logs)] == pytest.approx(logs, abs=1e-4)
    assert len(answer.log_probabilities) <= 9  # at the limit, also its end if that was next


def test_options_in_several_rows_are_as_in_one(model, monkeypatch):
    options = [["yes", "two", "red", "a small ring", "green", "a"]]
    whole = predictor(model).choose([PROMPTS[0]], options)
    monkeypatch.setattr(predict.choosing, "OPTION_TOKENS", 1)
    np.testing.assert_allclose(predictor(model).choose([PROMPTS[0]], options), whole, atol=1e-6)


def test_the_order_of_options_does_not_matter(model):
    forwards = predictor(model).choose([PROMPTS[1]], [OPTIONS[1]])[0]
    backwards = predictor(model).choose([PROMPTS[1]], [OPTIONS[1][::-1]])[0]
    np.testing.assert_allclose(forwards, backwards[::-1], atol=1e-6)
    twice = predictor(model).choose([PROMPTS[1]], [["red", "red"]])[0]
    np.testing.assert_allclose(twice, [0.5, 0.5], atol=1e-6)


def test_unlikely_options_still_have_probabilities(model):
    """Products far below what a number can hold."""
    with torch.no_grad():
        model.text.norm.weight.mul_(60)
    long = ["a small ring left of a large star ", "green two yes red what colour is it"]
    chosen = predictor(model).choose([PROMPTS[0]], [long])[0]
    assert np.isfinite(chosen).all() and chosen.sum() == pytest.approx(1)


def test_no_turns_or_an_empty_one_ask_for_a_caption(model):
    bare, empty = Prompt((PICTURES[0],), ()), ask("", 0)
    answers = predictor(model).answer([bare, empty])
    assert answers[0] == answers[1]
    one, other = predictor(model).choose([bare, empty], [["red", "yes"]] * 2)
    np.testing.assert_allclose(one, other, atol=1e-7)


# Pictures.


def encoded(model) -> list[int]:
    """How many pictures each pass of the vision side takes in, from now on."""
    counts: list[int] = []
    model.vision.register_forward_pre_hook(lambda _, given: counts.append(len(given[0])))
    return counts


@pytest.mark.parametrize("kind", ["array", "path", "bytes"])
def test_a_picture_is_encoded_once_for_all_who_ask(model, tmp_path, kind):
    """However it is given; and the answers are those for the same pixels."""
    given = []
    for i, picture in enumerate(PICTURES[:2]):
        path = tmp_path / f"{i}.png"
        Image.fromarray(picture).save(path)
        given.append({"array": picture, "path": path, "bytes": path.read_bytes()}[kind])
    prompts = [Prompt((given[i % 2],), (Turn("user", "what ?"[: i + 1]),)) for i in range(6)]
    if kind == "bytes":  # equal bytes, each read anew
        prompts = [replace(p, images=(bytes(bytearray(p.images[0])),)) for p in prompts]
    expected = predictor(model).answer(
        [replace(p, images=(PICTURES[i % 2],)) for i, p in enumerate(prompts)]
    )
    counts = encoded(model)
    assert_alike(predictor(model).answer(prompts), expected)
    predictor(model).choose(prompts, [["yes", "two"]] * 6)
    assert counts == [2, 2]


def test_the_right_picture_reaches_each_prompt(model):
    answers = predictor(model).answer([ask("what ?", i) for i in (0, 1, 2, 1, 0)])
    assert answers[0] == answers[4] and answers[1] == answers[3]
    assert len({answer.log_probabilities for answer in answers}) == 3
    several = predictor(model).answer([ask("what ?", 0, 1), ask("what ?", 1, 0)])
    assert several[0].log_probabilities != several[1].log_probabilities


@pytest.mark.parametrize("how", ["stretch", "pad", "crop"])
def test_pictures_are_fitted_as_the_recipe_says(model, how):
    wide = tiny.picture(5, (20, 50))
    fit = replace(tiny.fit(SETTINGS), how=how)
    fitted = images.pixels(wide, size=(16, 16), fit=how)
    one = predictor(model, fit=fit).answer([Prompt((wide,), (Turn("user", "what ?"),))])
    other = predictor(model).answer([Prompt((fitted,), (Turn("user", "what ?"),))])
    assert_alike(one, other)


@pytest.mark.parametrize("picture", [b"", b"no picture", Path("/nowhere.png"),
                                     np.zeros((4, 4), np.uint8)], ids=repr)  # fmt: skip
def test_what_is_no_picture_is_an_error(model, picture):
    with pytest.raises(PictureError):
        predictor(model).answer([Prompt((picture,), (Turn("user", "what ?"),))])


# Decoding.


def test_answers_are_drawn_alike_for_a_seed(model):
    def drawn(seed: int) -> list[Answer]:
        return predictor(model, Decoding(most=8, temperature=1.0, seed=seed)).answer(PROMPTS)

    assert_alike(drawn(1), drawn(1))
    assert [a.text for a in drawn(1)] != [a.text for a in drawn(2)]


def test_equal_prompts_are_drawn_for_independently(model):
    how = Decoding(most=8, temperature=1.0)
    answers = predictor(model, how).answer([PROMPTS[0]] * 12)
    assert len({answer.text for answer in answers}) > 3


@pytest.mark.parametrize("given", [
    {"most": 0}, {"most": -1}, {"temperature": -0.1}, {"temperature": float("inf")},
    {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_p": float("nan")},
    {"beams": 0}, {"beams": 65},
], ids=str)  # fmt: skip
def test_decoding_out_of_range_is_an_error(given):
    (name,) = given
    with pytest.raises(RecipeError, match=f"{name} is .*; it must be") as error:
        Decoding(**given)
    assert error.value.where == f"decoding.{name}" and error.value.fix


@pytest.mark.parametrize("given", [{"most": 1}, {"top_p": 1.0}, {"beams": 64}, {"beams": 1}])
def test_decoding_at_the_edge_of_its_range_is_not(given):
    assert Decoding(**given)


# The model.


def test_a_model_in_training_is_asked_as_it_would_be_evaluated():
    settings = tiny.recipe(dropout=0.5)
    made = tiny.model(settings, WORDS)
    expected = predictor(made).answer(PROMPTS), predictor(made).choose(PROMPTS, OPTIONS)
    assert_alike(predictor(made.train()).answer(PROMPTS), expected[0])
    chosen = predictor(made.train()).choose(PROMPTS, OPTIONS)
    for one, other in zip(chosen, expected[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_asking_leaves_no_gradients(model):
    predictor(model).answer(PROMPTS)
    predictor(model).choose(PROMPTS, OPTIONS)
    assert all(weight.grad is None for weight in model.parameters())


def test_half_precision_is_close(model):
    exact = predictor(model).choose(PROMPTS, OPTIONS)
    half = predictor(model, dtype=torch.bfloat16).choose(PROMPTS, OPTIONS)
    drift = max(float(np.abs(a - b).max()) for a, b in zip(exact, half, strict=True))
    assert 0 < drift < 0.1
    assert len(predictor(model, dtype=torch.bfloat16).answer(PROMPTS)) == len(PROMPTS)


# What cannot be asked.


def test_a_prefix_model_embeds_nothing_and_says_what_it_can(model):
    with pytest.raises(CapabilityError, match="family 'prefix'") as error:
        predictor(model, name="a run").embed([PICTURES[0]])
    assert error.value.where == "a run" and "answer, choose" in error.value.fix


def test_as_many_lists_of_options_as_prompts(model):
    with pytest.raises(LengthError, match="2 prompts but 1 lists of options"):
        predictor(model).choose(PROMPTS[:2], [["yes"]])


def test_nothing_to_choose_among_is_an_error(model):
    with pytest.raises(DataError, match="prompt 1 has 0 options"):
        predictor(model).choose(PROMPTS[:2], [["yes"], []])


@pytest.mark.parametrize("how", ["answer", "choose"])
def test_the_last_turn_must_be_the_users(model, how):
    prompt = Prompt((), (Turn("user", "what ?"), Turn("assistant", "red")))
    with pytest.raises(DataError, match="the last of 2 turns is the assistant's"):
        predictor(model).answer([prompt]) if how == "answer" else predictor(model).choose(
            [prompt], [["yes"]]
        )


def test_the_context_may_be_filled_and_no_more(model):
    """4 of a picture, 2 marks, and one token at least for the answer."""
    full, over = ask("a" * 57, 0), ask("a" * 58, 0)
    assert len(predictor(model).answer([full])[0].log_probabilities) <= 2
    with pytest.raises(LengthError, match="1 pictures of 4 tokens and text of 61 make 65") as error:
        predictor(model, name="a run").answer([PROMPTS[0], over])
    assert "more than the 64" in error.value.what and error.value.where == "a run"


def test_a_long_question_does_not_shorten_the_answers_beside_it(model):
    how = Decoding(most=40)
    prompts = [ask("a" * 55, 0), *PROMPTS[:2]]
    assert_alike(
        predictor(model, how).answer(prompts)[1:],
        predictor(model, how, most_rows=1).answer(PROMPTS[:2]),
    )


def test_an_option_longer_than_the_context_is_an_error(model):
    """2 pictures and 2 marks leave room for 54 characters; the end is predicted, never read."""
    asked = ask("", 0, 1)
    predictor(model).choose([asked], [["yes", "a" * 54]])
    with pytest.raises(LengthError, match="2 pictures of 4 tokens and text of 57 make 65"):
        predictor(model).choose([asked], [["yes", "a" * 55]])


# Opening a checkpoint.


@pytest.fixture
def saved(tmp_path, model) -> Path:
    return tiny.save(tmp_path / "whole", SETTINGS, WORDS, model)


def change(folder: Path, **stored) -> None:
    """Other words in config.json."""
    path = folder / checkpoint.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | stored))


def rewrite(folder: Path, name: str, text: str) -> None:
    """Another file, its sum written anew, as a careful hand would."""
    (folder / name).write_text(text)
    sums = json.loads((folder / checkpoint.CONFIG).read_text())["sha256"]
    change(folder, sha256=sums | {name: hashlib.sha256(text.encode()).hexdigest()})


@pytest.mark.parametrize("as_text", [True, False])
def test_a_checkpoint_answers_as_the_model_did(saved, model, as_text):
    opened = predict.load(str(saved) if as_text else saved, decoding=Decoding(most=8), device="cpu")
    assert_alike(opened.answer(PROMPTS), predictor(model).answer(PROMPTS))
    expected = predictor(model).choose(PROMPTS, OPTIONS)
    for one, other in zip(opened.choose(PROMPTS, OPTIONS), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert (opened.name, opened.context) == (str(saved), 64)
    assert opened.fit == tiny.fit(SETTINGS) and opened.dtype == torch.float32


def test_a_run_is_opened_at_its_newest_checkpoint(tmp_path):
    models = [tiny.model(SETTINGS, WORDS) for _ in range(2)]
    for step, made in zip((10, 9), models, strict=True):
        tiny.save(tmp_path / "run" / "checkpoints" / f"{step:08d}", SETTINGS, WORDS, made)
    opened = predict.load(tmp_path / "run", decoding=Decoding(most=8), device="cpu")
    newest, older = (predictor(made).answer(PROMPTS) for made in models)
    assert_alike(opened.answer(PROMPTS), newest)
    assert newest != older


def test_the_recipe_of_a_checkpoint_is_what_is_built(tmp_path):
    settings = config.recipe(
        {
            "model": {
                "vision": config.as_table(SETTINGS.model.vision) | {"image_size": [16, 32]},
                "connector": {"kind": "mlp"},
                "text": config.as_table(SETTINGS.model.text)
                | {"head_norm": "none", "num_kv_heads": 1, "context": 100},
            },
            "data": {"row_tokens": 80, "fit": "pad"},
        }
    )
    made = tiny.model(settings, WORDS)
    opened = predict.load(tiny.save(tmp_path / "a", settings, WORDS, made), device="cpu")
    assert opened.fit == replace(tiny.fit(settings), how="pad")
    assert (opened.fit.size, opened.fit.picture_tokens, opened.context) == ((16, 32), 32, 100)
    inside = SeesayPredictor(made, WORDS, fit=opened.fit, context=100)
    assert_alike(opened.answer(PROMPTS[:2]), inside.answer(PROMPTS[:2]))


@pytest.mark.parametrize("wish", ["fp32", "auto"])
def test_a_checkpoint_is_opened_in_the_precision_wished_for(saved, wish):
    opened = predict.load(saved, device="cpu", precision=wish)
    assert opened.dtype == machine.precision(torch.device("cpu"), wish=wish)
    assert all(weight.dtype == torch.float32 for weight in opened.model.parameters())


def test_an_unknown_precision_is_an_error(saved):
    with pytest.raises(RecipeError, match="unknown precision 'fp8'"):
        predict.load(saved, precision="fp8")


def test_a_tokenizer_of_another_size_is_refused(saved):
    other = tiny.text("bpe")
    rewrite(saved, "tokenizer.json", other.tokenizer.to_str())
    said = f"tokenizer.json has {len(other)} tokens, config.json says {len(WORDS)}"
    with pytest.raises(CheckpointError, match=said) as error:
        predict.load(saved)
    assert error.value.where == str(saved) and error.value.fix


def test_a_checkpoint_that_says_no_vocabulary_is_refused(saved):
    change(saved, vocabulary=None)
    with pytest.raises(CheckpointError, match="config.json says None"):
        predict.load(saved)


def test_a_model_that_answers_otherwise_than_it_did_is_refused(saved):
    golden = json.loads((saved / "golden.json").read_text())
    golden["logits"][3][2] += 0.5
    rewrite(saved, "golden.json", json.dumps(golden))
    with pytest.raises(CheckpointError, match=r"the logits are 0\.5\d* away") as error:
        predict.load(saved)
    assert error.value.where == str(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "[" * 100_000], ids=lambda t: t[:5])
def test_golden_outputs_that_cannot_be_read_are_refused(saved, text):
    rewrite(saved, "golden.json", text)
    with pytest.raises(CheckpointError, match="golden.json"):
        predict.load(saved)


def table(**text) -> dict:
    """The recipe of `SETTINGS` as stored, with other settings of the text side."""
    stored = config.as_table(SETTINGS)
    stored["model"]["text"] |= text
    return stored


@pytest.mark.parametrize(("recipe", "said"), [
    ({"modle": {}}, "unknown key 'modle'"),
    ({}, "in the model config.json describes"),
    (table(width=17), "width is 17, which num_heads, 2, does not divide"),
    (table(widht=16), "unknown key 'model.text.widht'"),
    (table(depth=3), r"text\.blocks\.2\..* but absent"),
    (table(depth=1), r"text\.blocks\.1\..* is absent"),
    (table(width=99_996), r"is \(\d*99996\D"),
    (table(width=32), r"is \(32, 64\) .* but \(16, 64\)"),
    (table() | {"model": {"vision": {"image_size": 50}}}, "does not divide into patches"),
], ids=["key", "nothing", "odd", "inner", "deep", "flat", "vast", "wide", "grid"])  # fmt: skip
def test_a_recipe_that_is_not_the_weights_is_refused(saved, recipe, said):
    """However large a model it asks for."""
    change(saved, recipe=recipe)
    with pytest.raises(CheckpointError, match=said) as error:
        predict.load(saved)
    assert error.value.where == str(saved) and error.value.fix


def test_a_checkpoint_without_a_recipe_is_refused(saved):
    path = saved / checkpoint.CONFIG
    stored = json.loads(path.read_text())
    del stored["recipe"]
    path.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match="does not hold a recipe"):
        predict.load(saved)


def test_where_there_is_no_checkpoint_there_is_no_predictor(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        predict.load(tmp_path / "none")
