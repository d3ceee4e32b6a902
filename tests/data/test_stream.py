"""Stream: a step's batch is the same wherever, whenever and by whoever it is made."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from data import layouts
from pydantic import ValidationError

from seesay import scenes
from seesay.config import DataConfig, SourceConfig, StageConfig
from seesay.coordinates import only_box
from seesay.data import collate, images, sources, stream
from seesay.data import rows as reading
from seesay.data.augment import Augment
from seesay.data.fit import Fit
from seesay.data.order import Place
from seesay.data.rows import FileRows, SceneRows, staged
from seesay.data.stream import Stream, loader
from seesay.data.text import learn
from seesay.errors import DataError, LengthError, PictureError, RecipeError
from seesay.model.boxes import sides
from seesay.records import Batch, Box, Example, Origin, Turn

WORLD = scenes.World(seed=0)
DRAWN = [e for index in range(20) for e in scenes.examples(WORLD, index, resolution=16)]
TEXT = learn([*tiny.WORDS, *(turn.text for e in DRAWN for turn in e.turns)], vocabulary=500)
FIT = Fit(size=(16, 16), picture_tokens=4, row_tokens=96)
SOURCE = SourceConfig(questions=4, objects=(1, 3))
NAMES = ("tokens_BT", "targets_BT", "positions_BT", "documents_BT", "groups_BT", "pictures_NCHW")


def assert_same(one: Batch, other: Batch) -> None:
    for name in NAMES:
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert (one.origins, one.skipped) == (other.origins, other.skipped)


def differ(one: Batch, other: Batch) -> bool:
    return any(
        getattr(one, name).shape != getattr(other, name).shape
        or not torch.equal(getattr(one, name), getattr(other, name))
        for name in NAMES
    )


def drawn(source: SourceConfig = SOURCE, *, seed: int = 0, fit: Fit = FIT) -> SceneRows:
    return SceneRows(source, text=TEXT, fit=fit, seed=seed)


def filed(examples, *, seed: int = 0, fit: Fit = FIT, reasoning: bool = True, **changes):
    augment = Augment(**changes)
    return FileRows(examples, text=TEXT, fit=fit, seed=seed, augment=augment, reasoning=reasoning)


def streamed(*rows, batch: int = 3, weights=(), stages=(), fit: Fit = FIT, **ranks) -> Stream:
    """A stream of these rows; of scenes where none are given."""
    rows = rows or (drawn(),)
    weights = weights or [1.0] * len(rows)
    config = DataConfig(
        sources=tuple(SourceConfig(weight=weight) for weight in weights), stages=tuple(stages)
    )
    return Stream(rows, config=config, text=TEXT, fit=fit, batch=batch, **ranks)


def example(number: int = 0, question: str = "what ?", answer: str = "red", **more) -> Example:
    given = {"images": (tiny.picture(number),), "group": f"picture {number}"} | more
    turns = (Turn("user", question), Turn("assistant", answer))
    return Example(turns=turns, origin=Origin("a.csv", number), **given)


def asked(number: int = 6, questions: int = 2) -> list[Example]:
    """So many pictures, with questions of their own on each."""
    return [example(i, f"two ? {k}", f"yes {i}") for i in range(number) for k in range(questions)]


def said(batch: Batch) -> list[str]:
    """The text of every document of a batch."""
    found = []
    for tokens_T, documents_T in zip(batch.tokens_BT, batch.documents_BT, strict=True):
        for number in range(1, int(documents_T.max()) + 1):
            found.append(TEXT.decode(tokens_T[documents_T == number].tolist()))
    return found


def loaded(stream: Stream, workers: int = 0, *, start: int = 0, total: int = 6,
           place: Place | None = None) -> list[tuple[Place, Batch]]:  # fmt: skip
    """The batches of the steps from `start` on, each with where the next one begins."""
    steps = stream.steps(start=start, total=total, progress=lambda step: step / total, place=place)
    return list(loader(stream, steps, workers=workers))


# One step, one batch.

MADE = {
    "scenes": lambda: streamed(),
    "memory": lambda: streamed(filed(asked())),
    "augmented": lambda: streamed(filed(asked(), flip=True, shift=2)),
    "mixture": lambda: streamed(drawn(), filed(asked()), weights=(2, 1)),
    "curriculum": lambda: streamed(stages=[StageConfig(until=0.5, questions=1, objects=(1, 1))]),
}



def test_boxes_side_by_side_are_a_source():
    """Wide pictures as they are drawn, with labels of their patches, and statements of them."""
    fit = replace(FIT, size=(32, 128), picture_tokens=8, row_tokens=256, patches=(4, 16))
    source = SourceConfig(panels=3, questions=3, captions=0)
    row = drawn(source, fit=fit).row(4, None)
    made, *others = scenes.judged(WORLD, 4, statements=3, height=32)
    np.testing.assert_array_equal(row.pictures[0], made.images[0])
    np.testing.assert_array_equal(row.labels[0], scenes.patches(made.scene, (4, 16)))
    assert len(row.documents) == 1 + len(others) > 1 and row.origin == "scenes:panels:train:0:4"
    alone = drawn(source, fit=fit).row(4, StageConfig(until=1.0, questions=0, grey=1.0))
    assert not alone.documents and (alone.pictures[..., 0] == alone.pictures[..., 1]).all()
    cells = drawn(SourceConfig(grid=3, questions=3), fit=replace(FIT, size=(48, 48))).row(4, None)
    (first, *_) = scenes.asked(WORLD, 4, questions=3, captions=1, height=48)
    np.testing.assert_array_equal(cells.pictures[0], first.images[0])
    with pytest.raises(RecipeError, match="pictures of 3² cells have no captions"):
        drawn(SourceConfig(grid=3), fit=replace(fit, claimed=True))
    with pytest.raises(RecipeError, match="pictures of 3 boxes have no captions"):
        drawn(source, fit=replace(fit, claimed=True))


@pytest.mark.parametrize("name", MADE)
def test_a_step_gives_one_batch_whatever_was_read_before(name):
    forwards, backwards = MADE[name](), MADE[name]()
    there = [forwards.step(step, step / 6) for step in range(6)]
    back = [backwards.step(step, step / 6) for step in reversed(range(6))]
    for one, other in zip(there, reversed(back), strict=True):
        assert_same(one, other)
    assert all(differ(there[0], later) for later in there[1:])


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_what_one_process_makes(name, workers):
    alone = loaded(MADE[name]())
    helped = loaded(MADE[name](), workers)
    assert len(alone) == 6
    for one, other in zip(alone, helped, strict=True):
        assert one[0] == other[0]
        assert_same(one[1], other[1])


@pytest.mark.parametrize("name", MADE)
def test_resuming_gives_what_an_unbroken_run_gets(name):
    unbroken = loaded(MADE[name]())
    resumed = loaded(MADE[name](), start=4, place=unbroken[3][0])
    assert len(resumed) == 2
    for one, other in zip(unbroken[4:], resumed, strict=True):
        assert one[0] == other[0]
        assert_same(one[1], other[1])


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_draws_no_random_number_of_training(workers):
    before = torch.get_rng_state()
    loaded(MADE["augmented"](), workers)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["scenes", "augmented", "mixture"])
def test_ranks_make_one_large_batch_between_them(name):
    whole, parts = MADE[name](), [MADE[name](), MADE[name]()]
    whole.batch = 6
    for rank, part in enumerate(parts):
        part.rank, part.ranks = rank, 2
    for step in range(4):
        batches = [part.step(step, 0.0) for part in parts]
        together = whole.step(step, 0.0)
        assert batches[0].origins + batches[1].origins == together.origins
        pictures = torch.cat([batch.pictures_NCHW for batch in batches])
        assert torch.equal(pictures, together.pictures_NCHW)
        assert [*said(batches[0]), *said(batches[1])] == said(together)


def test_each_seed_has_a_stream_of_its_own():
    assert differ(streamed(drawn(seed=0)).step(0, 0.0), streamed(drawn(seed=1)).step(0, 0.0))
    one, other = (streamed(filed(asked(), seed=seed)).step(0, 0.0) for seed in (0, 1))
    assert differ(one, other)


# Drawn pictures.


def test_a_scene_is_one_picture_with_what_is_said_of_it():
    batch = streamed(batch=4).step(0, 0.0)
    assert batch.pictures_NCHW.shape == (4, 3, 16, 16) and batch.tokens_BT.shape[1] <= 96
    made = [e for i in range(4) for e in scenes.examples(
        replace(WORLD, objects=(1, 3)), i, questions=4, resolution=16)]  # fmt: skip
    for words in said(batch):
        assert any(words.startswith(e.question) for e in made)
    assert len(set(said(batch))) > 10
    pixels = np.stack([np.asarray(e.images[0]) for e in made[::5]])
    assert (batch.pictures_NCHW.permute(0, 2, 3, 1).numpy() == pixels).all()


def test_rows_are_filled_and_never_longer_than_they_may_be():
    for row_tokens in (24, 48, 96):
        fit = replace(FIT, row_tokens=row_tokens)
        rows = drawn(replace(SOURCE, questions=20), fit=fit)
        lengths = [rows.row(index, None).length(FIT.picture_tokens) for index in range(12)]
        assert max(lengths) <= row_tokens and np.mean(lengths) > 0.8 * row_tokens


@pytest.mark.parametrize("source", ["scenes", "files"])
def test_pictures_may_stand_in_each_document(source):
    """Rows then hold fewer, and none is longer than it may be."""
    inside = replace(FIT, instructed=True, row_tokens=64)
    many = asked(number=1, questions=9)
    rows = drawn(fit=inside) if source == "scenes" else filed(many, fit=inside)
    for index in range(4):
        row = rows.row(index, None)
        assert row.documents and row.length(inside.picture_tokens) <= inside.row_tokens
        for document in row.documents:
            assert document.tokens[:4].tolist() == [TEXT.picture] * 4
            assert not document.learned[:4].any() and document.learned.any()
    batch = streamed(rows, fit=inside).step(0, 0.0)
    assert len(batch.pictures_NCHW) == len(batch.tokens_BT)
    assert not (batch.documents_BT == 0).any()
    begins = (batch.tokens_BT == TEXT.picture) & (batch.positions_BT == 0)
    assert torch.equal(begins.sum(dim=1), batch.documents_BT.amax(dim=1))
    # Up to where its answer begins, a document is given whole.
    horizon = batch.horizon_BT[begins]
    places = torch.arange(batch.tokens_BT.shape[1]).expand_as(batch.tokens_BT)[begins]
    assert (horizon > places + 4).all()


def test_drawn_pictures_fit_an_oblong_model():
    fit = replace(FIT, size=(16, 32), picture_tokens=8, how="pad")
    row = drawn(fit=fit).row(3, None)
    whole = scenes.examples(replace(WORLD, objects=(1, 3)), 3, questions=4, resolution=32)
    expected = images.pixels(whole[0].images[0], size=(16, 32), fit="pad")
    assert (row.pictures[0] == expected).all() and (row.pictures[0, :, :8] == 127).all()


def test_nothing_to_say_of_a_picture_is_an_error():
    for rules in ({"questions": 0, "captions": 0}, {"captions": 0, "kinds": {"relation": 1.0}}):
        rows = drawn(replace(SOURCE, objects=(1, 1), **rules))
        with pytest.raises(RecipeError, match="16 scenes gave no caption and no question") as error:
            rows.row(0, None)
        assert error.value.where == "data.sources" and error.value.fix


def test_a_scene_with_nothing_to_ask_is_passed_over_for_another():
    """A lone object stands in no relation to another."""
    source = replace(SOURCE, objects=(1, 2), captions=0, kinds={"relation": 1.0})
    world = replace(WORLD, objects=(1, 2))
    empty = [not scenes.examples(world, i, captions=0, kinds=source.kinds) for i in range(20)]
    assert any(empty) and not all(empty)
    for index, nothing in enumerate(empty):
        row = drawn(source).row(index, None)
        assert row.documents and (row.origin == f"scenes:train:0:{index}") != nothing


# Curricula.


def test_a_stage_lasts_until_its_share_of_training():
    first, second = StageConfig(until=0.25, questions=1), StageConfig(until=0.5, captions=0)
    made = streamed(stages=[first, second])
    for progress, stage in ((0.0, first), (0.2499, first), (0.25, second), (0.4999, second),
                            (0.5, None), (1.0, None)):  # fmt: skip
        assert made.stage(progress) == stage
    assert streamed().stage(0.0) is None


def test_a_last_stage_holds_to_the_very_end():
    """A run timed by minutes may ask for a batch when its time is just over."""
    first, last = StageConfig(until=0.5, questions=1), StageConfig(until=1.0, captions=0)
    made = streamed(stages=[first, last])
    assert [made.stage(progress) for progress in (0.4, 0.5, 0.9999, 1.0)] == [first, *[last] * 3]


@pytest.mark.parametrize("rules", [
    {"questions": 1}, {"captions": 0}, {"objects": (2, 2)}, {"kinds": {"count": 1.0}},
    {"caption_styles": ("count",)}, {"captions": 2, "questions": 0, "objects": (1, 1)},
], ids=str)  # fmt: skip
def test_a_stage_is_the_source_with_other_settings(rules):
    stage = StageConfig(until=0.5, **rules)
    with_stage, without = streamed(stages=[stage]), streamed()
    other = streamed(drawn(replace(SOURCE, **rules)))
    assert_same(with_stage.step(2, 0.4), other.step(2, 0.4))
    assert differ(with_stage.step(2, 0.4), without.step(2, 0.4))
    assert_same(with_stage.step(2, 0.6), without.step(2, 0.6))


def test_what_a_stage_leaves_open_stays():
    source = replace(SOURCE, kinds={"count": 1.0}, language="zh")
    changed = staged(source, StageConfig(until=1.0, captions=0))
    assert changed == replace(source, captions=0)


def test_files_have_no_stages():
    made = streamed(filed(asked()), stages=[StageConfig(until=0.5, questions=1)])
    assert_same(made.step(1, 0.0), made.step(1, 0.9))


# Mixtures.


@pytest.mark.parametrize(("weights", "share"), [((3, 1), 0.75), ((0, 1), 0.0), ((1, 0), 1.0)])
def test_a_mixture_keeps_to_its_weights(weights, share):
    made = streamed(drawn(), filed(asked()), weights=weights, batch=4)
    origins = [origin for step in range(8) for origin in made.step(step, 0.0).origins]
    assert sum(origin.startswith("scenes") for origin in origins) == share * 32


def test_a_stage_may_weigh_the_sources():
    first = StageConfig(until=0.5, weights=(1, 0))
    made = streamed(drawn(), filed(asked()), weights=(1, 1), stages=[first], batch=4)
    shares = {
        progress: [origin.startswith("scenes") for origin in made.step(3, progress).origins]
        for progress in (0.4, 0.5)
    }
    assert shares == {0.4: [True] * 4, 0.5: [False, True] * 2}


# Files and memory.


def rows_of(texts: int) -> list[dict[str, str]]:
    return [{"question": f"two ? {i}", "answer": f"yes {i}"} for i in range(texts)]


def test_pictures_in_files_are_as_in_memory(tmp_path):
    read = sources.read(layouts.as_csv(tmp_path, rows_of(7))).examples
    in_memory = [
        replace(each, images=(images.pixels(each.images[0], size=FIT.size),)) for each in read
    ]
    for step in range(4):
        one, other = (streamed(filed(e)).step(step, 0.0) for e in (read, in_memory))
        assert_same(one, other)
        assert all(str(tmp_path) in origin for origin in one.origins)


@pytest.mark.parametrize("how", ["stretch", "pad", "crop"])
def test_pictures_are_brought_to_size_as_the_model_wants(how):
    picture = tiny.picture(3, (20, 40))
    rows = filed([example(images=(picture,))], fit=replace(FIT, how=how))
    expected = images.pixels(picture, size=(16, 16), fit=how)
    assert (rows.row(0, None).pictures[0] == expected).all()


def test_every_example_once_an_epoch():
    examples = asked(7, 3)
    rows = filed(examples)
    assert len(rows.rows) == 7
    made = streamed(rows, batch=7)
    for step in range(3):
        told = sorted(f"{e.question} {e.answer}" for e in examples)
        assert sorted(said(made.step(step, 0.0))) == told
    assert made.step(0, 0.0).origins != made.step(1, 0.0).origins


def test_questions_on_one_picture_share_its_encoding():
    apart = asked(4, 3)
    batch = streamed(filed(apart[::2] + apart[1::2]), batch=4).step(0, 0.0)
    assert len(batch.pictures_NCHW) == 4 and len(said(batch)) == 12
    for tokens_T, pixels_CHW in zip(batch.tokens_BT, batch.pictures_NCHW, strict=True):
        number = int(TEXT.decode(tokens_T.tolist()).split()[-1])
        assert (pixels_CHW.permute(1, 2, 0).numpy() == tiny.picture(number)).all()


def test_examples_without_a_group_are_rows_of_their_own():
    loose = [replace(each, group="", origin=Origin("a.csv", i)) for i, each in enumerate(asked())]
    assert len(filed(loose).rows) == 12


def test_more_questions_than_fit_are_split_over_rows():
    examples = [example(0, f"what colour is it ? {k}") for k in range(30)]
    rows = filed(examples)
    assert len(rows.rows) > 1
    for index in range(len(rows.rows)):
        row = rows.row(index, None)
        assert row.length(4) <= 96 and (row.pictures[0] == tiny.picture(0)).all()
    assert sorted(i for row in rows.rows for i in row) == list(range(30))


@pytest.mark.parametrize("number", [0, 2, 3])
def test_examples_of_no_or_several_pictures(number):
    several = tuple(tiny.picture(k) for k in range(number))
    batch = streamed(filed([example(images=several)]), batch=2).step(0, 0.0)
    assert len(batch.pictures_NCHW) == 2 * number
    assert (batch.tokens_BT == TEXT.picture).sum(dim=1).tolist() == [4 * number] * 2
    for k, picture in enumerate(several):
        assert (batch.pictures_NCHW[number + k].permute(1, 2, 0).numpy() == picture).all()


def test_more_pictures_than_a_row_holds_are_an_error():
    crowd = example(3, images=(tiny.picture(),) * 24)
    with pytest.raises(DataError, match="24 pictures take 96 tokens, a row holds 96") as error:
        filed([example(), crowd])
    assert error.value.where == "a.csv:3" and "data.row_tokens" in error.value.fix


def test_a_question_that_leaves_no_room_to_answer_is_an_error():
    long = example(3, "what colour is it ? " * 40)
    with pytest.raises(LengthError, match=r"takes \d+ tokens but there is room for 92") as error:
        filed([example(), long])
    assert error.value.where == "a.csv:3" and error.value.fix


def test_an_answer_that_is_too_long_is_cut_and_its_picture_is_not():
    batch = streamed(filed([example(answer="a small ring " * 60)]), batch=1).step(0, 0.0)
    # Its last token is a target, and takes no position.
    assert batch.tokens_BT.shape == (1, 96) and (batch.documents_BT[0, :-1] >= 0).all()
    assert (batch.tokens_BT == TEXT.picture).sum() == 4
    assert not (batch.tokens_BT == TEXT.end).any() and batch.targets_BT.max() > 0


def test_a_mark_in_the_text_is_no_picture():
    batch = streamed(filed([example(question="<picture> what <picture>?")]), batch=1).step(0, 0.0)
    assert (batch.tokens_BT == TEXT.picture).sum() == 4


def test_a_source_without_examples_is_an_error():
    with pytest.raises(DataError, match="without examples"):
        filed([])


# Patches.


def test_drawn_rows_say_what_is_in_their_patches():
    batch = streamed(drawn(fit=replace(FIT, patches=(4, 4)))).step(0, 0.0)
    assert batch.labels_NAP is not None
    assert batch.labels_NAP.shape == (3, len(scenes.PATCH_CLASSES), 16)
    for labels_AP, origin in zip(batch.labels_NAP, batch.origins, strict=True):
        scene = world().scene(int(origin.rsplit(":", 1)[1]))
        assert labels_AP.tolist() == scenes.patches(scene, (4, 4)).tolist()


def test_pictures_in_grey_say_nothing_of_colour():
    stage = StageConfig(until=1.0, questions=0, captions=0, grey=0.5)
    rows = drawn(fit=replace(FIT, patches=(4, 4)))
    made = [rows.row(index, stage) for index in range(20)]
    plain = [rows.row(index, replace(stage, grey=0.0)) for index in range(20)]
    grey = [np.ptp(row.pictures, axis=-1).max() == 0 for row in made]
    assert sum(grey) == 10 and not any(np.ptp(row.pictures, axis=-1).max() == 0 for row in plain)
    for row, same, dull in zip(made, plain, grey, strict=True):
        assert row.labels is not None and same.labels is not None
        known = [0, 2, 3, 4] if dull else [0, 1, 2, 3, 4]
        assert np.array_equal(row.labels[:, known], same.labels[:, known])
        assert not dull or (row.labels[:, 1] == -1).all()


@pytest.mark.parametrize("reasoning", [True, False])
def test_a_source_may_leave_out_the_reasoning(reasoning):
    """Drawn, and from files."""
    thinks = (Turn("user", "what ?"), Turn("assistant", "yes", "red green"))
    wide = replace(FIT, row_tokens=400)
    source = replace(SOURCE, reasoning=reasoning, kinds={"logic": 1.0}, objects=(2, 3))
    for rows in (
        drawn(source, fit=wide),
        filed([replace(example(), turns=thinks)], reasoning=reasoning),
    ):
        documents = [document for i in range(4) for document in rows.row(i, None).documents]
        found = [bool((document.tokens == TEXT.think).any()) for document in documents]
        assert any(found) == reasoning and len(documents) >= 4


def test_drawn_rows_say_what_their_answers_are_about():
    """The documents a row has no room for are passed over, and their objects with them."""
    batch = streamed(drawn(fit=replace(FIT, about=True))).step(0, 0.0)
    assert batch.about_BTAO is not None and streamed(drawn()).step(0, 0.0).about_BTAO is None
    known_BT = (batch.about_BTAO >= 0).any(dim=(2, 3))
    assert known_BT.any() and (batch.targets_BT[known_BT] >= 0).all()
    for b, origin in enumerate(batch.origins):
        scene = world().scene(int(origin.rsplit(":", 1)[1]))
        looks = {tuple(scenes.about(scene, [i])[:, 0]) for i in range(len(scene.objects))}
        for about_AO in batch.about_BTAO[b][known_BT[b]]:
            assert tuple(about_AO[:, 0].tolist()) in looks
            assert tuple(about_AO[:, 1].tolist()) in looks | {(-1,) * len(scenes.OBJECT_CLASSES)}


def located(batch: Batch) -> list[tuple[str, list[float]]]:
    """Each document that has a box, and the box: left, top, right, bottom."""
    assert batch.boxes_BT4 is not None
    known_BT = ~batch.boxes_BT4.isnan().any(dim=2)
    found = []
    for b, t in known_BT.nonzero().tolist():
        own = batch.tokens_BT[b][batch.documents_BT[b] == batch.documents_BT[b, t]]
        box = sides(batch.boxes_BT4[b, t][None])[0]
        # It stands at the assistant's mark, before the first word.
        assert batch.targets_BT[b, t - 1] < 0 <= batch.targets_BT[b, t]
        found.append((TEXT.decode(own.tolist()), box.tolist()))
    return found


def test_drawn_rows_say_where_their_answers_are():
    source = replace(SOURCE, kinds={"ground": 1.0, "refer": 1.0, "count": 1.0})
    batch = streamed(drawn(source, fit=replace(FIT, located=True, row_tokens=160))).step(0, 0.0)
    assert streamed(drawn(source)).step(0, 0.0).boxes_BT4 is None
    found, grounded = located(batch), 0
    assert 4 < len(found) < int(batch.documents_BT.max(dim=1).values.sum())
    for words, box in found:
        said = only_box(words)
        grounded += said is not None
        if said is not None:
            told = [side / 1000 for side in (said.left, said.top, said.right, said.bottom)]
            assert box == pytest.approx(told, abs=0.02)
    assert 0 < grounded < len(found)
    # What is not shown is nowhere.
    blind = replace(source, pictures=False)
    assert streamed(drawn(blind, fit=replace(FIT, located=True))).step(0, 0.0).boxes_BT4 is None


def boxed(number: int, answer: str = "(250,0),(500,1000)", **more) -> Example:
    return example(number, "where ?", answer, **more)


def test_rows_of_files_say_where_their_answers_are():
    fit = replace(FIT, located=True)
    many = (tiny.picture(3), tiny.picture(4))
    examples = [
        boxed(0),
        boxed(0, "red"),
        boxed(0, "red", boxes=(Box(0, 8, 4, 16),)),
        boxed(0, "red", boxes=(Box(0, 8, 4, 16), Box(0, 0, 1, 1))),
        boxed(1, "250 0 500 999", task="ground"),
        boxed(1, "250 0 500 999"),
        boxed(2, images=many),
    ]
    found = located(streamed(filed(examples, fit=fit)).step(0, 0.0))
    wanted = [[0.25, 0, 0.5, 1], [0, 0.5, 0.25, 1], [0.25, 0, 0.5, 0.999]]
    assert sorted(box for _, box in found) == [pytest.approx(box) for box in sorted(wanted)]
    assert streamed(filed(examples)).step(0, 0.0).boxes_BT4 is None


def test_boxes_of_a_changed_picture_are_changed_with_it():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[8:13, 3:6] = 255
    seen = boxed(0, "red", boxes=(Box(3, 8, 6, 13),), images=(pixels,))
    fit = replace(FIT, located=True)
    rows, ends = filed([seen], fit=fit, flip=True, turn=True, shift=2), set()
    for index in range(20):
        row = rows.row(index, None)
        assert row.located is not None
        x, y, wide, high = row.located[0].tolist()
        down, across = np.nonzero(row.pictures[0, ..., 0])
        assert [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2] == pytest.approx(
            [across.min() / 16, down.min() / 16, (across.max() + 1) / 16, (down.max() + 1) / 16]
        )
        ends.add((x, y))
    assert len(ends) > 4


def test_a_box_in_words_moves_with_its_picture():
    rows, said = filed([boxed(0)], fit=replace(FIT, located=True), flip=True), set()
    for index in range(12):
        row = rows.row(index, None)
        words = TEXT.decode(row.documents[0].tokens.tolist())
        box = only_box(words)
        assert box is not None and row.located is not None
        said.add(words[words.index("(") :])
        x, _, wide, _ = row.located[0].tolist()
        assert (box.left, box.right) == pytest.approx(
            (1000 * (x - wide / 2), 1000 * (x + wide / 2)), abs=1
        )
    assert said == {"(250,0),(500,1000)", "(500,0),(750,999)"}


def test_an_answer_that_is_cut_away_is_nowhere():
    turns = (*example().turns, Turn("user", "where ?"), Turn("assistant", "(250,0),(500,1000)"))
    talk = replace(example(), turns=turns)
    whole = filed([talk], fit=replace(FIT, located=True)).row(0, None)
    room = len(TEXT.encode(turns[:3]).tokens) - 1
    cut = filed([talk], fit=replace(FIT, located=True, row_tokens=room + 4)).row(0, None)
    assert whole.located is not None and cut.located is not None
    assert not np.isnan(whole.located[0]).any() and np.isnan(cut.located[0]).all()


def test_a_stage_may_leave_out_what_answers_are_about():
    stage = StageConfig(until=0.5, about=False)
    made = streamed(drawn(fit=replace(FIT, about=True)), stages=[stage])
    assert made.step(0, 0.0).about_BTAO is None and made.step(0, 0.5).about_BTAO is not None


def world() -> scenes.World:
    return scenes.World(seed=0, objects=SOURCE.objects)


def test_scenes_can_be_told_instead_of_shown():
    source = replace(SOURCE, pictures=False, told=True)
    row = drawn(source, fit=replace(FIT, row_tokens=400)).row(3, None)
    seen = drawn(fit=replace(FIT, row_tokens=400)).row(3, None)
    assert len(row.pictures) == 0 and len(seen.documents) > 1
    # One conversation: what there is to be seen, once, and then the same questions and answers.
    (talk,) = row.documents
    said = TEXT.decode(talk.tokens.tolist())
    assert said.count(" background") == 1
    for plain in seen.documents:
        asked = TEXT.decode(plain.tokens.tolist())
        assert " background" not in asked and asked in said
    # Those that do not fit are left out; what each answer is about is known.
    short = drawn(source, fit=replace(FIT, row_tokens=80, about=True)).row(3, None)
    assert len(short.documents) == 1 and short.documents[0].num_inputs <= 80
    assert short.about is not None and short.documents[0].learned.any()
    begins = np.diff(short.documents[0].learned.astype(int), prepend=0) == 1
    assert 1 < len(short.about[0]) == begins.sum() < len(seen.documents)
    with pytest.raises(ValidationError, match="only scenes are told, and in place of"):
        SourceConfig(told=True)


def test_a_stage_without_words_is_pictures_alone():
    stage = StageConfig(until=0.5, captions=0, questions=0)
    made = streamed(drawn(fit=replace(FIT, patches=(4, 4))), stages=[stage])
    batch = made.step(0, 0.0)
    assert (batch.targets_BT == -1).all() and batch.tokens_BT.shape[1] == collate.ROUND
    assert len(batch.pictures_NCHW) == 3
    words = made.step(0, 0.5)
    assert (words.targets_BT >= 0).any()
    assert torch.equal(words.pictures_NCHW, batch.pictures_NCHW)
    with pytest.raises(RecipeError, match="no caption and no question"):
        streamed(stages=[stage]).step(0, 0.0)


# Pictures that break.


@pytest.fixture
def broken(tmp_path) -> tuple[list[Example], Path]:
    """Eight pictures that were read as good; one of them was cut short since."""
    examples = sources.read(layouts.as_csv(tmp_path, rows_of(8))).examples
    path = tmp_path / "images" / "0005.png"
    path.write_bytes(path.read_bytes()[:40])
    return examples, path


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_is_skipped_and_told(broken, workers):
    examples, _ = broken
    whole = [batch for _, batch in loaded(streamed(filed(examples), batch=4), workers, total=4)]
    reasons = [reason for batch in whole for reason in batch.skipped]
    assert len(reasons) == 2  # two epochs
    assert all("train.csv:7: " in reason and "\n" in reason for reason in reasons)
    assert Counter(len(batch.origins) for batch in whole) == {4: 2, 3: 2}
    assert all("train.csv:7" not in origin for batch in whole for origin in batch.origins)


def test_rows_beside_a_broken_picture_are_as_without_it(broken):
    examples, path = broken
    damaged = streamed(filed(examples), batch=8).step(0, 0.0)
    path.write_bytes(layouts.png(5))
    mended = streamed(filed(examples), batch=8).step(0, 0.0)
    stay = [i for i, origin in enumerate(mended.origins) if "train.csv:7" not in origin]
    assert damaged.origins == tuple(mended.origins[i] for i in stay) and len(stay) == 7
    assert torch.equal(damaged.pictures_NCHW, mended.pictures_NCHW[stay])
    assert torch.equal(damaged.tokens_BT, mended.tokens_BT[stay])


def test_a_batch_without_any_picture_left_is_an_error(broken):
    examples, path = broken
    for each in path.parent.iterdir():
        each.unlink()
    with pytest.raises(DataError, match="none of the 3 pictures of a batch") as error:
        streamed(filed(examples)).step(0, 0.0)
    assert "train.csv" in error.value.where and "seesay data check" in error.value.fix


def test_pictures_are_decoded_once(tmp_path, monkeypatch):
    """With the files gone, those still come that fit in what is kept."""
    examples = sources.read(layouts.as_csv(tmp_path, rows_of(4))).examples
    for room, comes in ((1 << 20, 4), (2 * 16 * 16 * 3, 2)):
        monkeypatch.setattr(reading, "KEPT_BYTES", room)
        layouts.pictures(tmp_path, 4)
        rows = filed(examples)
        first = {rows.row(i, None).origin: rows.row(i, None).pictures for i in range(4)}
        for path in (tmp_path / "images").iterdir():
            path.unlink()
        again = {}
        for index in range(4, 8):
            try:
                again[rows.row(index, None).origin] = rows.row(index, None).pictures
            except PictureError:
                continue
        assert len(again) == comes
        assert all((first[origin] == pixels).all() for origin, pixels in again.items())


# Errors come as they are.


def test_a_batch_whose_pictures_all_break_is_made_of_a_later_one(broken):
    """The broken picture is told once, in its turn; every step has rows."""
    examples, path = broken
    damaged = [streamed(filed(examples), batch=1).step(step, 0.0) for step in range(8)]
    path.write_bytes(layouts.png(5))
    mended = [streamed(filed(examples), batch=1).step(step, 0.0) for step in range(9)]
    (lost,) = (i for i in range(8) if "train.csv:7" in mended[i].origins[0])
    assert [len(batch.skipped) for batch in damaged] == [int(i == lost) for i in range(8)]
    assert "train.csv:7: " in damaged[lost].skipped[0]
    for step in range(8):
        there = mended[step + 1 if step == lost else step]
        assert_same(replace(damaged[step], skipped=()), there)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_comes_whole_and_in_its_turn(broken, workers, monkeypatch):
    """The batches before it come first."""
    monkeypatch.setattr(stream, "LATER", 0)
    examples, _ = broken
    whole = [e for e in examples if e.origin.row != 7]
    intact = [streamed(filed(whole), batch=1).step(step, 0.0).origins for step in range(4)]
    lost = next(e for e in whole if str(e.origin) == intact[2][0])
    Path(str(lost.images[0])).unlink()
    found = []
    with pytest.raises(DataError, match="none of the 1 pictures") as error:
        made = streamed(filed(whole), batch=1)
        steps = made.steps(total=4, progress=lambda step: 0.0)
        for _, batch in loader(made, steps, workers=workers):
            found.append(batch.origins)
    assert found == intact[:2]
    assert type(error.value) is DataError and error.value.fix
    assert error.value.where.startswith(f"{lost.origin}: ")


# Augmentation.


def test_augmentation_is_new_each_epoch_and_leaves_the_kept_picture_alone():
    rows = filed([example()], flip=True, shift=3)
    made = [rows.row(index, None).pictures for index in range(8)]
    assert len({each.tobytes() for each in made}) > 4
    assert (rows.tiles(rows.examples[0], rows.look(rows.examples[0]))[0] == tiny.picture(0)).all()
    for index, before in enumerate(made):
        assert (rows.row(index, None).pictures == before).all()
