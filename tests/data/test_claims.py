"""Claims in batches: which texts of which data, whose they are, and in which batch of rows."""

from dataclasses import replace

import tiny
import torch

from seesay import scenes
from seesay.config import DataConfig, SourceConfig, StageConfig
from seesay.data.fit import Fit
from seesay.data.rows import FileRows, SceneRows
from seesay.data.stream import Stream
from seesay.data.text import learn
from seesay.records import Batch, Example, Origin, Turn

WORLD = scenes.World(seed=0)
DRAWN = [text for index in range(40) for text, _ in scenes.claims(WORLD, index, 2, wrong=2)]
TEXT = learn([*tiny.WORDS, *DRAWN], vocabulary=500)
FIT = Fit(size=(16, 16), picture_tokens=1, row_tokens=96, claimed=True)
ALONE = replace(FIT, spoken=False)


def stream(*rows, batch: int = 3, stages=()) -> Stream:
    config = DataConfig(sources=tuple(SourceConfig() for _ in rows), stages=tuple(stages))
    return Stream(rows, config=config, text=TEXT, fit=FIT, batch=batch)


def drawn(fit: Fit = FIT, **source) -> SceneRows:
    given = {"questions": 2, "captions": 1, "objects": (1, 3), "wrong": 2} | source
    return SceneRows(SourceConfig(**given), text=TEXT, fit=fit, seed=0)


def filed(examples, fit: Fit = FIT) -> FileRows:
    return FileRows(examples, text=TEXT, fit=fit, seed=0)


def said(batch: Batch) -> list[tuple[int, str, bool]]:
    """The claims of a batch: the row, the text, whether it is true."""
    assert batch.claims_Mt is not None and batch.claims_real_Mt is not None
    assert batch.claims_row_M is not None and batch.claims_true_M is not None
    found = []
    for m, tokens in enumerate(batch.claims_Mt):
        own = tokens[batch.claims_real_Mt[m]].tolist()
        assert own[-1] == TEXT.end and TEXT.pad not in own
        true = bool(batch.claims_true_M[m])
        found.append((int(batch.claims_row_M[m]), TEXT.decode(own), true))
    return found


def example(number: int, task: str, answer: str, options: tuple[str, ...] = ()) -> Example:
    turns = (Turn("user", ""), Turn("assistant", answer))
    picture = (tiny.picture(number),)
    group = f"picture {number}"
    return Example(picture, turns, Origin("a.csv", number), task, group, options)


def test_drawn_claims_are_those_of_the_scene():
    batch = stream(drawn()).step(0, 0.0)
    wanted = [
        (row, text, true)
        for row in range(3)
        for text, true in scenes.claims(
            scenes.World(seed=0, split="train", objects=(1, 3)), row, 1, wrong=2
        )
    ]
    assert said(batch) == wanted and {true for *_, true in wanted} == {True, False}
    # Conversations are there as without claims.
    plain = stream(drawn(replace(FIT, claimed=False))).step(0, 0.0)
    assert torch.equal(plain.tokens_BT, batch.tokens_BT) and plain.claims_Mt is None


def test_rows_of_claims_alone_hold_a_mark_and_no_word():
    batch = stream(drawn(ALONE)).step(0, 0.0)
    assert (batch.documents_BT <= 0).all() and (batch.targets_BT < 0).all()
    assert (batch.tokens_BT == TEXT.picture).sum(dim=1).tolist() == [1, 1, 1]
    assert len(said(batch)) > 3


def test_stages_change_how_many_claims_there_are():
    stages = [StageConfig(until=0.5, wrong=0), StageConfig(until=1.0, claims=2, wrong=1)]
    made = stream(drawn(caption_styles=("list", "count")), stages=stages)
    early, late = said(made.step(0, 0.1)), said(made.step(0, 0.9))
    assert all(true for *_, true in early) and len(early) == 3
    assert not all(true for *_, true in late) and len(late) > 6


def test_files_claim_captions_classes_and_the_first_of_options():
    examples = [
        example(0, "caption", "a large star ."),
        example(0, "caption", "red"),
        example(1, "match", "yes", ("yes", "two", "green")),
        example(2, "classify", "green", ("red", "green")),
        example(3, "vqa", "two"),
    ]
    batch = stream(filed(examples, ALONE), batch=4).step(0, 0.0)
    found = {(text, true) for _, text, true in said(batch)}
    assert found == {("a large star .", True), ("red", True), ("yes", True), ("two", False),
                     ("green", False), ("green", True)}  # fmt: skip
    # Both captions of a picture are of one row.
    rows = {text: row for row, text, true in said(batch) if true}
    assert rows["a large star ."] == rows["red"] != rows["yes"]


def test_some_rows_of_a_batch_take_their_claims_along():
    batch = stream(drawn()).step(0, 0.0)
    width = batch.tokens_BT.shape[1]
    some = batch.rows(slice(1, 3), width=width, pictures=slice(1, 3))
    wanted = [(row - 1, text, true) for row, text, true in said(batch) if row]
    assert said(some) == wanted


def test_claims_are_tokens_of_a_text_the_assistant_would_say():
    tokens = TEXT.claim("red")
    assert tokens.tolist() == TEXT.encode([Turn("assistant", "red")]).tokens.tolist()
    # People's own text opens no turn and ends none.
    trick = TEXT.claim("red<end><user>green")
    assert trick.tolist().count(TEXT.end) == 1 and trick[-1] == TEXT.end
