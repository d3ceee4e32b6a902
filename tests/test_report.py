"""Report: one file that needs nothing else, says what was measured, and trusts no text."""

import math
import re
from html.parser import HTMLParser
from types import MappingProxyType

import numpy as np
import pytest

from seesay.errors import PictureError
from seesay.evaluate import Evaluation, Record, Score
from seesay.report import write

ATTACK = "<script>alert('x')</script><img src=x onerror=y>"
VOID = {"meta", "img", "br", "link", "rect", "line", "circle", "path", "polyline"}


class Page(HTMLParser):
    """Every tag and every attribute, and whether tags close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def record(right=True, **changes):
    facts = dict(
        score="answers", images=(np.zeros((8, 8, 3), np.uint8),), question="which?", answer="red",
        truth="blue", right=right, origin="some/where/data.csv:3", log_probability=-0.5,
    )  # fmt: skip
    return Record(**{**facts, **changes})


def an_evaluation(**changes):
    facts = dict(
        scores={"answers": Score(0.8, 0.75, 0.85, 1200), "cider": Score(1.25, 1.1, 1.4, 50)},
        controls={
            "answers_blank": Score(0.3, 0.25, 0.35, 1200),
            "answers_question": Score(0.79, 0.74, 0.84, 1200),
            "cider_blank": Score(0.2, 0.1, 0.3, 50),
        },
        slices={
            "kind=count": {"answers": Score(0.6, 0.5, 0.7, 600)},
            "kind=colour": {"answers": Score(1.0, 0.98, 1.0, 600)},
        },
        records=(record(), record(False)),
        command="seesay eval runs/x --data y",
    )
    return Evaluation(**{**facts, **changes})


def render(tmp_path, **changes):
    facts = {"title": "A run", "evaluation": an_evaluation(), **changes}
    path = write(tmp_path / "deep" / "report.html", **facts)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    return text, page


HISTORY = [
    {"step": i, "seconds": 3.0 * i, "loss": 4 * math.exp(-i / 9), "learning_rate": 1e-4 * i}
    for i in range(1, 1500)
]


def test_it_says_what_was_measured(tmp_path):
    text, page = render(
        tmp_path, history=HISTORY, recipe="[model]\nfamily = 'prefix'", facts={"Parameters": "5 M"}
    )
    for part in ("A run", "80.0 %", "75.0 % to 85.0 %", "n = 1,200", "blank 30.0 %", "1.25",
                 "CIDEr-D", "5 M", "family = 'prefix'", "seesay eval runs/x", "Answers by kind",
                 "colour", "Loss", "Learning rate", "1 h 14 min", "torch", "data.csv:3",
                 "probability 0.61"):  # fmt: skip
        assert part in page.text, part
    assert "not clearly above its best control, question alone: 1.0 points above" in page.text
    assert "1.05 above its best control, blank" in page.text
    assert "some/where" not in text


def test_it_needs_nothing_else(tmp_path):
    text, page = render(tmp_path, history=HISTORY)
    fetching = [v for name, v in page.attributes if name in ("src", "href", "srcset", "data")]
    assert len(fetching) == 2 and all(v.startswith("data:image/png;base64,") for v in fetching)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", text)


def test_it_trusts_no_text(tmp_path):
    bad = an_evaluation(
        records=(record(question=ATTACK, answer=ATTACK, truth=ATTACK + "2", origin=ATTACK),),
        slices={f"{ATTACK}={ATTACK}{i}": {"answers": Score(0.5, 0.4, 0.6, 9)} for i in (1, 2)},
        skipped={ATTACK: ATTACK},
        command=ATTACK,
    )
    text, page = render(
        tmp_path, title=ATTACK, evaluation=bad, recipe=ATTACK, facts={ATTACK: ATTACK},
        environment={ATTACK: ATTACK}, history=[{"step": i, ATTACK: i} for i in range(5)],
    )  # fmt: skip
    assert "<script" not in text and "script" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("img") == 1
    assert page.text.count("alert('x')") > 8


def test_small_pictures_are_not_smoothed_and_big_ones_are_shrunk(tmp_path):
    random = np.random.default_rng(0)
    small = random.integers(0, 255, (30, 30, 3), dtype=np.uint8)
    big = random.integers(0, 255, (900, 1200, 3), dtype=np.uint8)
    records = (record(images=(small, big)),)
    text, page = render(tmp_path, evaluation=an_evaluation(records=records))
    assert [value for name, value in page.attributes if name == "class"].count("small") == 1
    assert len(text) < 500_000


@pytest.mark.parametrize(
    "history",
    [
        [],
        [{"step": 1, "loss": 2.0}],
        [{"loss": 2.0}, {"loss": 2.0}],
        [{"step": 0, "loss": 0.0}, {"step": 0, "loss": 0.0}],
        [{"step": 1, "loss": math.nan}, {"step": 2, "loss": math.inf}, {"step": 3, "loss": None}],
        [{"step": i, "loss": -1e9 * i, "text": "x", "ok": True, "seconds": i} for i in range(9)],
        [MappingProxyType({"step": 1, "answers": 0.1}), {"step": 2}, {"step": 3, "answers": 0.3}],
    ],
)
def test_any_log(tmp_path, history):
    text, page = render(tmp_path, history=history)
    assert "nan" not in re.sub(r"base64,[^\"]+", "", text).lower().replace("finance", "")
    for points in (value for name, value in page.attributes if name == "points"):
        numbers = [float(n) for n in re.split("[ ,]", points)]
        assert all(-0.01 <= n <= 100.01 for n in numbers)
    assert ("Loss" in page.text) == (sum(math.isfinite(r.get("loss") or 0) and r.get("loss")
                                         is not None for r in history) > 1)  # fmt: skip


def test_an_empty_evaluation(tmp_path):
    _, page = render(tmp_path, evaluation=Evaluation(), environment={})
    assert "A run" in page.text and "How it was made" in page.text


def test_several_evaluations(tmp_path):
    other = Evaluation(scores={"answers_held_out": Score(0.5, 0.4, 0.6, 10)})
    _, page = render(tmp_path, evaluation=[an_evaluation(), other])
    assert "Answers, held out" in page.text and "no control was run" in page.text


def test_few_pictures(tmp_path):
    many = tuple(record(i % 2 == 0) for i in range(20))
    _, page = render(tmp_path, evaluation=an_evaluation(records=many), num_pictures=3)
    assert page.tags.count("img") == 6


def test_a_failed_report_leaves_the_last_one(tmp_path):
    path = tmp_path / "report.html"
    write(path, title="first", evaluation=an_evaluation())
    bad = an_evaluation(records=(record(images=(b"no picture",)),))
    with pytest.raises(PictureError):
        write(path, title="second", evaluation=bad)
    assert "first" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_same_twice(tmp_path):
    first, _ = render(tmp_path, history=HISTORY)
    assert first == render(tmp_path, history=HISTORY)[0]


def test_a_rank_is_better_the_lower_it_is(tmp_path):
    made = Evaluation(
        scores={"text_median_rank": Score(2, 1, 3, 40), "image_median_rank": Score(9, 7, 12, 40)},
        controls={
            "text_median_rank_blank": Score(20, 17, 23, 40),
            "text_median_rank_chance": Score(10, 10, 10, 40),
            "image_median_rank_chance": Score(10, 10, 10, 40),
        },
        notes={"retrieve": "ranked among 100 pictures at a time"},
    )
    path = write(tmp_path / "r.html", title="t", evaluation=made, environment={})
    text = Page(path.read_text(encoding="utf-8")).text
    assert "8.00 below its best control, chance" in text
    assert "not clearly below its best control, chance: 1.00 below" in text
    assert "ranked among 100 pictures at a time" in text
