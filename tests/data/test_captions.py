"""Captions: of several of one picture, one a visit, or two joined; the same for the same visit."""

from collections import Counter

import pytest
import tiny

from seesay.data import captions
from seesay.data.fit import Fit
from seesay.data.rows import FileRows
from seesay.records import Example, Origin, Turn

WORDS = tiny.text()
FIT = Fit(size=(16, 16), picture_tokens=4, row_tokens=96)
SAID = ("a red one", "a small ring.", "two")


def caption(number: int, text: str, *, ask: str = "", group: str = "g", task="caption") -> Example:
    turns = ((Turn("user", ask),) if ask else ()) + (Turn("assistant", text),)
    return Example((tiny.picture(),), turns, Origin("a.csv", number), task=task, group=group)


SEVERAL = [caption(i, text) for i, text in enumerate(SAID)]


def texts(row) -> list[str]:
    return [WORDS.decode(d.tokens.tolist()).strip() for d in row.documents]


def rows(examples, mixed: str, fit: Fit = FIT) -> FileRows:
    return FileRows(examples, text=WORDS, fit=fit, seed=0, mixed=mixed)


def test_all_captions_share_a_row_unless_they_take_turns():
    assert sorted(texts(rows(SEVERAL, "all").row(0, None))) == sorted(SAID)
    seen = Counter()
    for index in range(90):
        (said,) = texts(rows(SEVERAL, "one").row(index, None))
        seen[said] += 1
    assert seen.keys() == set(SAID) and min(seen.values()) > 15


def test_two_are_joined_as_sentences():
    seen = {texts(rows(SEVERAL, "joined").row(index, None))[0] for index in range(60)}
    wanted = {f"{a.rstrip('.')}. {b}" for a in SAID for b in SAID if a != b}
    assert seen == wanted
    one, other = caption(0, "一只猫"), caption(1, "白色的猫。")
    assert captions.joined(one, other).answer == "一只猫。白色的猫。"
    assert captions.joined(other, one).answer == "白色的猫。一只猫"


def test_a_visit_is_the_same_again():
    for how in ("one", "joined"):
        made = [texts(rows(SEVERAL, how).row(index, None)) for index in range(5)]
        assert made == [texts(rows(SEVERAL, how).row(index, None)) for index in range(5)]


def test_only_captions_asked_for_alike_take_turns():
    colour = "what colour is it ?"
    others = [caption(3, "red", ask="what ?", task="vqa"), caption(4, "b", ask=colour),
              caption(5, "yes", ask=colour), caption(6, "c", group="other")]  # fmt: skip
    made = rows([*SEVERAL, *others], "one")
    found = {len(r.documents): texts(r) for r in (made.row(i, None) for i in range(2))}
    assert found.keys() == {3, 1} and found[1] == ["c"]
    assert "what ?red" in found[3]
    assert sum("colour" in text for text in found[3]) == 1


@pytest.mark.parametrize(("how", "most"), [("one", 9), ("joined", 24)])
def test_a_row_has_room_for_whichever_comes(how, most):
    """Pictures with more captions than a row could hold need one row all the same."""
    several = [caption(i, text) for i, text in enumerate(("a red one", "b", "two rings", "yes"))]
    made = rows(several, how, Fit(size=(16, 16), picture_tokens=4, row_tokens=4 + 2 + most))
    assert len(made.rows) == 1 and len(rows(several, "all").rows) == 1
    for index in range(20):
        assert made.row(index, None).length(4) <= 4 + 2 + most


def test_claims_take_turns_too():
    fit = Fit(size=(16, 16), picture_tokens=4, row_tokens=96, claimed=True, spoken=False)
    assert len(rows(SEVERAL, "all", fit).row(0, None).claims) == 3
    assert len(rows(SEVERAL, "one", fit).row(0, None).claims) == 1
