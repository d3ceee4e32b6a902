"""Evaluate: scores and controls of predictors that look, that do not, and that misbehave."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from seesay.errors import CapabilityError, DataError, SeesayError
from seesay.evaluate import Evaluation, Score, evaluate, merge
from seesay.metrics.intervals import wilson
from seesay.predict import Answer, Predictor
from seesay.records import Example, Origin, Turn

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
NAMES = list(COLOURS)


def picture(colour, *, height=6, width=4):
    return np.full((height, width, 3), COLOURS[colour], dtype=np.uint8)


def ask(colour, question, answer, *, group, task="vqa", options=(), labels=None):
    return Example(
        images=(picture(colour),), turns=(Turn("user", question), Turn("assistant", answer)),
        origin=Origin("data.csv", 1), task=task, group=group, options=options,
        labels=labels or {},
    )  # fmt: skip


def questions(count=30):
    """Two questions a picture: its colour, and a riddle whose answer the words give away."""
    found = []
    for i in range(count):
        colour, group = NAMES[i % 3], str(i)
        found.append(ask(colour, "which colour?", colour, group=group, labels={"kind": "colour"}))
        found.append(ask(colour, "is it a picture?", "yes", group=group, labels={"kind": "riddle"}))
    return found


class Looking:
    """Names the colour it sees; grey is none it knows."""

    def __init__(self):
        self.batches = []

    def see(self, prompt):
        pixel = tuple(np.asarray(prompt.images[0])[0, 0].tolist())
        return next((name for name, rgb in COLOURS.items() if rgb == pixel), "grey")

    def answer(self, prompts):
        self.batches.append([p.images[0] for p in prompts])
        return [
            Answer("yes" if p.turns[-1].text.startswith("is") else self.see(p), (-0.5, -0.25))
            for p in prompts
        ]

    def choose(self, prompts, options):
        return [self.likely(self.see(p), o) for p, o in zip(prompts, options, strict=True)]

    def likely(self, seen, options):
        weights = np.array([1.0 + 8 * (seen in option) for option in options])
        return weights / weights.sum()

    def embed(self, images=(), *, texts=()):
        raise CapabilityError("no embeddings")


class Constant(Looking):
    """Says one thing whatever it is shown."""

    def answer(self, prompts):
        return [Answer("red") for _ in prompts]

    def choose(self, prompts, options):
        return [np.full(len(o), 1 / len(o)) for o in options]


def test_one_that_looks():
    assert isinstance(Looking(), Predictor)
    result = evaluate(Looking(), questions())
    assert result.scores["answers"].value == 1 and result.scores["answers"].n == 60
    assert result.controls["answers_blank"].value == 0.5  # the riddles
    assert 0.5 <= result.controls["answers_shuffled"].value < 0.9
    # Ten of each colour: one left out makes the others the majority.
    assert result.controls["answers_question"].value == 0.5
    assert set(result.slices) == {"kind=colour", "kind=riddle"}
    assert result.slices["kind=colour"]["answers"].n == 30
    assert result.slice_controls["kind=colour"]["answers_blank"].value == 0
    assert result.slice_controls["kind=riddle"]["answers_question"].value == 1


def test_one_that_does_not_look_gets_what_its_controls_get():
    result = evaluate(Constant(), questions())
    value = result.scores["answers"]
    assert value == result.controls["answers_blank"] == result.controls["answers_shuffled"]
    assert value.value == pytest.approx(1 / 6)


def test_intervals_are_of_pictures():
    one_each = [e for e in questions() if e.labels["kind"] == "colour"]
    found = evaluate(Constant(), one_each, controls=()).scores["answers"]
    assert (found.low, found.high) == pytest.approx(wilson(1 / 3, 30))


def test_deterministic_and_independent_of_the_batch():
    results = [evaluate(Looking(), questions(), batch=size) for size in (1, 7, 64, 64)]
    assert all(each.as_dict() == results[0].as_dict() for each in results)
    assert [r.origin for r in results[2].records] == [r.origin for r in results[3].records]


def test_questions_of_one_picture_are_asked_together():
    """Also when the file does not have them together, and in pieces only when they cannot fit."""
    apart = questions(8)
    apart = apart[::2] + apart[1::2]
    number = {id(e.images[0]): e.group for e in apart}
    for size, sizes in ((6, [6, 6, 4]), (5, [4, 4, 4, 4])):
        looking = Looking()
        evaluate(looking, apart, batch=size, controls=())
        assert [len(batch) for batch in looking.batches] == sizes
        groups = [{number[id(picture)] for picture in batch} for batch in looking.batches]
        assert all(2 * len(several) == count for several, count in zip(groups, sizes, strict=True))
    many = [ask("red", str(i), "red", group="1") for i in range(7)]
    looking = Looking()
    evaluate(looking, many, batch=3, controls=())
    assert [len(batch) for batch in looking.batches] == [3, 3, 1]


def test_pictures_without_a_group_are_told_apart_by_themselves():
    bare = [ask(c, "which?", c, group="") for c in ("red", "red", "green")]
    result = evaluate(Looking(), bare, controls=("shuffled",))
    assert result.controls["answers_shuffled"].value == 0


def pairs(count=24):
    right = [f"a {NAMES[i % 3]} thing" for i in range(count)]
    wrong = [f"a {NAMES[(i + 1) % 3]} thing" for i in range(count)]
    return [
        ask(NAMES[i % 3], "", "", group=str(i), task="match", options=(right[i], wrong[i]))
        for i in range(count)
    ]


def test_matching():
    result = evaluate(Looking(), pairs())
    assert result.scores["matching"].value == 1
    assert result.controls["matching_chance"].value == 0.5
    assert "matching_question" not in result.controls
    assert all(record.truth.startswith("a ") and record.right for record in result.records)


def test_the_order_of_options_tells_nothing():
    """One that always takes the first is at chance: the right one is first only in the file."""
    result = evaluate(Constant(), pairs(200), controls=())
    assert 0.4 < result.scores["matching"].value < 0.6


def classes():
    options = ("red", "green", "blue")
    return [
        ask(NAMES[i % 3], "what?", NAMES[i % 3], group=str(i), task="classify", options=options)
        for i in range(12)
    ]


class Writer(Looking):
    def choose(self, prompts, options):
        raise CapabilityError("this one only writes")


class Chooser(Looking):
    def answer(self, prompts):
        raise CapabilityError("this one only chooses")


def test_classes_chosen_or_written():
    for predictor in (Looking(), Writer()):
        result = evaluate(predictor, classes())
        assert result.scores["classes"].value == 1
        assert result.controls["classes_chance"].value == pytest.approx(1 / 3)


def test_what_a_model_cannot_do_is_skipped_or_refused():
    result = evaluate(Writer(), [*questions(), *pairs()])
    assert set(result.scores) == {"answers"}
    assert "only writes" in result.skipped["match"]
    with pytest.raises(CapabilityError, match="only writes"):
        evaluate(Writer(), pairs())
    with pytest.raises(CapabilityError, match="only chooses"):
        evaluate(Chooser(), questions())


def captions():
    words = {"red": "red as fire", "green": "green as the grass", "blue": "blue as sky"}
    return [
        ask(NAMES[i % 3], "", text, group=str(i), task="caption")
        for i in range(9)
        for text in (NAMES[i % 3], words[NAMES[i % 3]])
    ]


def test_captions_with_several_references_are_asked_once():
    looking = Looking()
    result = evaluate(looking, captions())
    assert sum(len(batch) for batch in looking.batches) == 3 * 9
    assert result.scores["captions"].value == 1 and result.scores["captions"].n == 9
    assert set(result.scores) == {"captions", "cider", "bleu4", "rouge_l"}
    assert result.controls["rouge_l_blank"].value == 0


def test_dialogues_are_asked_their_last_question_after_the_turns_before():
    before = (Turn("user", "is it a picture?"), Turn("assistant", "yes"))
    rows = [e for e in questions() if e.labels["kind"] == "colour"]
    said = [replace(e, turns=(*before, *e.turns), task="dialogue") for e in rows]
    looking = Looking()
    result = evaluate(looking, [*said, *captions()])
    assert {"replies", "replies_rouge_l", "captions", "rouge_l"} <= set(result.scores)
    assert result.scores["replies"].value == result.scores["replies_rouge_l"].value == 1
    assert result.scores["replies"].n == 30
    assert result.controls["replies_blank"].value == 0
    assert list(result.controls_of("replies")) == ["blank", "shuffled", "question"]
    assert list(result.controls_of("replies_rouge_l")) == ["blank", "shuffled", "question"]


def test_as_dict_is_plain():
    result = evaluate(Looking(), questions(), command="seesay eval x")
    plain = result.as_dict()
    assert list(plain) == ["scores", "controls", "slices"]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert list(plain["scores"]["answers"]) == ["value", "low", "high", "n"]
    numbers = plain["slices"]["kind=riddle"]["answers"]
    assert type(numbers["value"]) is float and type(numbers["n"]) is int
    assert result.command == "seesay eval x"


def test_what_shows_no_picture_has_no_control_without_one():
    told = [replace(e, images=()) for e in questions(6)]

    class Reading(Looking):
        def answer(self, prompts):
            assert all(p.images == () and p.boxes == () for p in prompts)
            return [Answer("yes") for _ in prompts]

    made = evaluate(Reading(), told)
    assert made.scores["answers"].value == 0.5
    assert made.controls.keys() == {"answers_question"}


def test_merging_sets_with_suffixes():
    seen = evaluate(Looking(), questions(), command="a")
    new = evaluate(Constant(), questions(6), suffix="held_out", command="b")
    both = merge([seen, new])
    assert list(both.scores) == ["answers", "answers_held_out"]
    assert both.controls["answers_held_out_blank"] == new.controls["answers_held_out_blank"]
    assert set(both.slices["kind=colour"]) == {"answers", "answers_held_out"}
    assert list(both.controls_of("answers")) == ["blank", "shuffled", "question"]
    assert both.controls_of("answers")["blank"].n == 60
    assert both.controls_of("answers_held_out", label="kind=colour")["blank"].n == 6
    assert len(both.records) == len(seen.records) + len(new.records)
    assert both.command == "a\nb"
    with pytest.raises(SeesayError, match="'answers' twice"):
        merge([seen, seen])


def test_records_are_few_and_of_many_pictures():
    result = evaluate(Constant(), questions(), keep=5)
    right = [r for r in result.records if r.right]
    assert len(right) == 5 and len(result.records) == 10
    assert result.records[0].answer == "red" and result.records[0].log_probability is None
    looking = evaluate(Looking(), questions(), keep=2).records[0]
    assert looking.log_probability == pytest.approx(-0.75) and looking.origin == "data.csv:1"


def test_progress_reaches_its_end():
    seen = []
    evaluate(
        Looking(), questions(), batch=16, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (180, 180) and seen == sorted(seen)
    evaluate(Writer(), [*questions(), *pairs()], progress=lambda *counts: seen.append(counts))
    assert seen[-1][0] == seen[-1][1] > 180


def test_a_label_of_many_values_is_no_slice():
    many = [ask("red", "q", "red", group=str(i), labels={"id": str(i)}) for i in range(60)]
    assert evaluate(Looking(), many, controls=()).slices == {}


def test_data_that_cannot_be_evaluated():
    with pytest.raises(DataError, match="0 examples"):
        evaluate(Looking(), [])
    with pytest.raises(DataError, match="unknown task 'vqq'"):
        evaluate(Looking(), [ask("red", "q", "a", group="", task="vqq")])
    with pytest.raises(DataError, match="1 options.*2 or more"):
        evaluate(Looking(), [ask("red", "q", "a", group="", task="match", options=("x",))])
    with pytest.raises(DataError, match="2 options, of which only 1 differ"):
        evaluate(Looking(), [ask("red", "q", "a", group="", task="match", options=("x", "x"))])
    with pytest.raises(SeesayError, match="unknown control"):
        evaluate(Looking(), questions(), controls=("blanc",))


def with_method(name, method):
    return type("Broken", (Looking,), {name: method})()


@pytest.mark.parametrize(
    ("method", "replies", "message"),
    [
        ("answer", lambda self, p: [], "0 replies to 60 prompts"),
        ("answer", lambda self, p: [Answer("x", (float("nan"),))] * len(p), "NaN"),
        ("choose", lambda self, p, o: [np.ones(3) / 3] * len(p), "shape .* for 2 options"),
        ("choose", lambda self, p, o: [np.ones(2)] * len(p), "sum to 2"),
        ("choose", lambda self, p, o: [np.full(2, np.nan)] * len(p), "sum to nan"),
    ],
)
def test_a_predictor_that_misbehaves(method, replies, message):
    data = questions() if method == "answer" else pairs()
    with pytest.raises(SeesayError, match=message):
        evaluate(with_method(method, replies), data, controls=())


def test_table():
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(evaluate(Looking(), [*questions(), *pairs()]).table())
    text = console.export_text()
    for part in ("answers", "100.0 %", "60", "blank", "question", "chance", "50.0 %", "matching"):
        assert part in text


def test_a_demos_table_fits_a_plain_terminal():
    from rich.console import Console

    full = Score(1.0, 0.99, 1.0, 60_000)
    names = ("captions", "answers", "matching", "answers_held_out")
    kinds = ("blank", "shuffled", "question", "chance")
    made = Evaluation(
        scores=dict.fromkeys(names, full),
        controls={f"{name}_{kind}": full for name in names for kind in kinds},
    )
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(made.table())
    head, *rows = console.export_text().splitlines()
    assert [row.split()[0] for row in rows] == list(names)
    assert head.split() == ["score", "value", "95", "%", "interval", "n", *kinds]
    assert all(row.count("100.0 %") == 6 and "60,000" in row for row in rows)


def test_an_empty_evaluation_is_plain():
    assert Evaluation().as_dict() == {"scores": {}, "controls": {}, "slices": {}}


class Oracle(Looking):
    """Knows every drawn picture by its pixels, and so the truth of its questions; else silent."""

    def __init__(self, examples):
        super().__init__()
        self.truths = {self.key(e.images[0], e.turns[0].text): e for e in examples}

    def key(self, image, question):
        return np.asarray(image).tobytes(), question

    def find(self, prompt):
        return self.truths.get(self.key(prompt.images[0], prompt.turns[-1].text))

    def answer(self, prompts):
        found = [self.find(prompt) for prompt in prompts]
        return [Answer(example.answer if example else "") for example in found]

    def choose(self, prompts, options):
        found = [self.find(prompt) for prompt in prompts]
        return [
            self.likely(e.options[0] if e else "nothing", o)
            for e, o in zip(found, options, strict=True)
        ]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_drawn_scenes(language):
    from seesay.scenes import World, examples, matches

    world = World(seed=3, language=language)
    drawn = [e for i in range(12) for e in (*examples(world, i), *matches(world, i))]
    result = evaluate(Oracle(drawn), drawn)
    assert set(result.scores) == {"captions", "answers", "matching"}
    assert all(each.value == 1 for each in result.scores.values())
    assert result.scores["captions"].n == result.scores["matching"].n == 12
    assert result.controls["captions_blank"].value == result.controls["answers_blank"].value == 0
    assert result.controls["matching_chance"].value == 0.5
    assert all(0 <= each.value < 0.8 for each in result.controls.values())
    assert any(label.startswith("kind=") for label in result.slices)
