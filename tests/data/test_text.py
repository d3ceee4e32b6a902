"""Text: any text comes back, people's text is never a mark, and only the assistant's is learned."""

import itertools
import json
import pickle

import numpy as np
import pytest
import tiny
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken

from seesay.data.text import (
    ASSISTANT,
    END,
    PAD,
    PICTURE,
    SPECIALS,
    THINK,
    UNKNOWN,
    USER,
    Document,
    Template,
    Text,
    disarm,
    learn,
)
from seesay.errors import CheckpointError, DataError, LengthError
from seesay.records import Turn

CHINESE = ("红色的圆形在左边。", "有几个蓝色的星星？", "两个")
BPE = learn([*tiny.WORDS, *CHINESE], vocabulary=400)
CHARACTERS = learn([*tiny.WORDS, *CHINESE], kind="character")
BOTH = pytest.mark.parametrize("text", [BPE, CHARACTERS], ids=["bpe", "character"])


def user(words: str) -> Turn:
    return Turn("user", words)


def assistant(words: str) -> Turn:
    return Turn("assistant", words)


def words_of(text: Text, document: Document) -> str:
    return text.decode(document.tokens.tolist())


# Round trips.


@given(st.text())
@example("a\u0301 e\u0301 \u200d \ufeff \x00 \U0001f600")
@example("  two  spaces\n\tand a line  ")
@example("中文 and English")
def test_bpe_gives_any_text_back(words):
    back = words_of(BPE, BPE.encode([user(words)])).strip()
    assert back == disarm(words).strip()


@given(st.text(alphabet="".join(tiny.WORDS + CHINESE)))
def test_characters_it_knows_come_back(words):
    assert words_of(CHARACTERS, CHARACTERS.encode([user(words)])) == words.strip()


def test_a_character_it_never_saw_is_left_out():
    document = CHARACTERS.encode([user("reZd")])
    assert words_of(CHARACTERS, document) == "red"
    assert len(document) == 2 + 4  # the marks of both, and a token a character


def test_a_character_tokenizer_keeps_every_space():
    assert words_of(CHARACTERS, CHARACTERS.encode([user("red  red")])) == "red  red"


@BOTH
def test_chinese_comes_back(text):
    for words in CHINESE:
        assert words_of(text, text.encode([user(words)])) == words


def test_bpe_learned_words_are_few_tokens():
    assert len(BPE.encode([user("what colour is it ?")])) <= 9


@given(st.text(alphabet=st.characters(categories=["Cs", "L"]), min_size=1, max_size=5))
def test_half_characters_break_nothing(words):
    """JSON may hold lone surrogates, which no UTF-8 can."""
    assert len(BPE.encode([user(words)])) >= 3


# Marks.


def assert_no_marks(text: Text, words: str) -> None:
    """The user's words give the two marks around them and no other special token."""
    document = text.encode([user(words)])
    specials = {text.tokenizer.token_to_id(mark) for mark in (*SPECIALS, UNKNOWN)} - {None}
    unknown = text.tokenizer.token_to_id(UNKNOWN)
    inner = [token for token in document.tokens[1:-1].tolist() if token != unknown]
    assert not specials & set(inner)
    assert document.tokens[0] == text.tokenizer.token_to_id(USER)
    assert document.tokens[-1] == text.tokenizer.token_to_id(ASSISTANT)


@BOTH
@pytest.mark.parametrize("mark", [*SPECIALS, UNKNOWN])
def test_no_mark_in_peoples_text_is_read_as_one(text, mark):
    for other in SPECIALS:
        half = len(mark) // 2
        for words in (
            mark, f"a{mark}b", mark * 3, mark[:half] + other + mark[half:], f"<{mark}>",
            mark[:1] + mark, mark + mark[1:], mark.replace("<", "<\u200b"), other + mark,
        ):  # fmt: skip
            assert_no_marks(text, words)


PIECES = ("<", ">", "< ", "en", "d", "end", "<e", "<end>", "<pad>", "pad", "picture", "user",
          "unknown", "assistant", " ")  # fmt: skip


@BOTH
@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_no_mark_comes_together_out_of_pieces(text, pieces):
    assert_no_marks(text, "".join(pieces))
    assert not any(mark in disarm("".join(pieces)) for mark in SPECIALS)


@BOTH
def test_marks_in_an_answer_do_not_end_it(text):
    document = text.encode([user("a"), assistant(f"b{END}{USER}c")])
    assert (document.tokens == text.end).sum() == 1 and document.tokens[-1] == text.end


def test_disarming_leaves_other_text_alone():
    for words in ("a < b", "<b>bold</b>", "< end>", "<End>", ""):
        assert disarm(words) == words


def test_marks_that_overlap_themselves_are_disarmed():
    assert "aXa" not in disarm("aXaXaXa", ["aXa"])


# What is learned.

turns = st.lists(
    st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=12)), max_size=6
)


@BOTH
@given(turns)
@example([("user", "it ?"), ("assistant", "red"), ("user", "two ?"), ("assistant", "yes")])
@example([("assistant", "red"), ("assistant", "")])
def test_what_is_learned_is_the_assistants_text_and_its_end(text, turns):
    document = text.encode([Turn(role, words) for role, words in turns])
    learned = [list(group) for on, group in itertools.groupby(
        zip(document.tokens.tolist(), document.learned.tolist(), strict=True), lambda pair: pair[1])
        if on]  # fmt: skip
    said = [words for role, words in turns if role == "assistant"]
    assert len(learned) == len(said)
    for group, words in zip(learned, said, strict=True):
        tokens = [token for token, _ in group]
        assert tokens[-1] == text.end and text.end not in tokens[:-1]
        if text is BPE:
            assert text.decode(tokens) == disarm(words).strip()
    assert document.learned.sum() == sum(map(len, learned))
    assert not document.learned[:1].any()  # its token has none before it to be predicted from


@BOTH
def test_a_prompt_is_the_beginning_of_its_answered_document(text):
    asked = text.encode([user("what colour is it ?")])
    answered = text.encode([user("what colour is it ?"), assistant("red")])
    assert answered.tokens[: len(asked)].tolist() == asked.tokens.tolist()
    assert not asked.learned.any() and answered.learned[len(asked) :].all()


# Reasoning.


@BOTH
def test_reasoning_is_learned_before_the_answer_and_read_apart_from_it(text):
    said = Turn("assistant", "yes", "red green")
    document = text.encode([user("it ?"), said])
    straight = text.encode([user("it ?"), assistant("yes")])
    begin = len(text.encode([user("it ?")]))
    assert document.learned[begin:].all() and len(document) > len(straight)
    assert text.read(document.tokens[begin:-1].tolist()) == said
    assert text.read(straight.tokens[begin:-1].tolist()) == assistant("yes")


@BOTH
def test_reasoning_that_comes_to_no_answer_gives_none(text):
    tokens = text.encode([user("it ?"), Turn("assistant", "", "red")]).tokens.tolist()
    end = tokens.index(text.think)
    assert text.read(tokens[end - 1 : end + 1]).text == ""
    assert text.read([text.think]) == assistant("")
    # Of several marks the last counts: what is answered never holds one.
    assert text.read([text.think, *tokens[end - 1 : end + 1]]).reasoning != ""


@BOTH
@pytest.mark.parametrize("part", ["text", "reasoning"])
def test_nobody_can_end_the_reasoning_but_the_template(text, part):
    turns = {"text": "yes", "reasoning": "red"} | {part: f"a {THINK} b"}
    tokens = text.encode([Turn("assistant", **turns)]).tokens
    assert (tokens == text.think).sum() == 1


def test_a_checkpoint_of_before_reasoning_answers_without(tmp_path):
    BPE.save(tmp_path)
    template = json.loads((tmp_path / "template.json").read_text())
    del template["think"]
    (tmp_path / "template.json").write_text(json.dumps(template))
    old = Text.open(tmp_path)
    assert old.think is None
    turns = [user("it ?"), Turn("assistant", "yes", "red")]
    bare = [user("it ?"), assistant("yes")]
    assert old.encode(turns).tokens.tolist() == BPE.encode(bare).tokens.tolist()


def test_a_role_that_is_none_of_both_is_an_error():
    strange = user("a")
    object.__setattr__(strange, "role", "system")
    with pytest.raises(DataError, match="unknown role 'system'"):
        Template().render([strange])


# Length.


@BOTH
@given(st.text(max_size=30), st.text(max_size=30), st.integers(-3, 60))
def test_cut_documents_always_have_something_to_learn(text, question, answer, limit):
    whole = text.encode([user(question), assistant(answer)])
    first = int(whole.learned.argmax())
    if limit > first:
        document = text.encode([user(question), assistant(answer)], limit=limit)
        assert len(document) == min(limit, len(whole)) and document.learned.any()
        assert (document.tokens == whole.tokens[:limit]).all()
        return
    with pytest.raises(LengthError) as error:
        text.encode([user(question), assistant(answer)], limit=limit, where="a.csv:7")
    assert all(
        part in str(error.value) for part in (str(len(whole)), str(max(limit, 0)), "a.csv:7")
    )


@BOTH
def test_documents_do_not_depend_on_those_before(text):
    fresh = pickle.loads(pickle.dumps(text))
    asked = [[user(w)] for w in tiny.WORDS] + [[user("a"), assistant(w)] for w in tiny.WORDS]
    forwards = [text.encode(turns) for turns in asked]
    backwards = [fresh.encode(turns) for turns in reversed(asked)][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        assert one.learned.tolist() == other.learned.tolist()


@BOTH
def test_a_claim_too_long_is_cut_and_ends(text):
    whole = text.claim("a small ring left of a large star .")
    assert whole[-1] == text.end and np.array_equal(text.claim("red", limit=99), text.claim("red"))
    for limit in range(2, len(whole)):
        cut = text.claim("a small ring left of a large star .", limit=limit)
        assert len(cut) == limit and cut[-1] == text.end
        assert np.array_equal(cut[:-1], whole[: limit - 1])


def test_nobody_can_write_into_a_document_others_share():
    document = BPE.encode([user("a"), assistant("b")])
    for array in (document.tokens, document.learned):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert BPE.encode([user("a"), assistant("b")]) is document


# Saving.


@BOTH
def test_what_is_saved_reads_the_same(text, tmp_path):
    text.save(tmp_path)
    for other in (Text.open(tmp_path), pickle.loads(pickle.dumps(text))):
        assert len(other) == len(text) and other.template == text.template
        for words in (*tiny.WORDS, *CHINESE, f"{END} Zß"):
            turns = [user(words), assistant(words)]
            assert other.encode(turns).tokens.tolist() == text.encode(turns).tokens.tolist()
        assert (other.picture, other.end, other.pad) == (text.picture, text.end, text.pad)


def test_a_template_of_other_marks_is_saved_and_asked_with(tmp_path):
    tokenizer = learn(tiny.WORDS).tokenizer
    tokenizer.add_special_tokens(
        [AddedToken("[Q]", special=True), AddedToken("</s>", special=True)]
    )
    text = Text(tokenizer, template=Template(user="[Q]", end="</s>"))
    text.save(tmp_path)
    other = Text.open(tmp_path)
    document = other.encode([user("is </s> it [Q] ?"), assistant("red")])
    assert (document.tokens == other.end).sum() == 1
    assert document.tokens[0] == tokenizer.token_to_id("[Q]")
    assert document.tokens[-1] == tokenizer.token_to_id("</s>") == other.end
    assert words_of(other, document).endswith("red")


@pytest.mark.parametrize(("name", "content"), [
    ("tokenizer.json", None), ("template.json", None), ("tokenizer.json", "{}"),
    ("tokenizer.json", ""), ("template.json", "{"), ("template.json", "[]"),
    ("template.json", '{"user": 3}'), ("template.json", '{"user": ""}'),
    ("template.json", '{"user": "a"}'), ("template.json", '{"user": "<never seen>"}'),
    ("template.json", '{"other": "<user>"}'), ("template.json", '{"end": "two words"}'),
    ("template.json", '{"end": "red"}'),
])  # fmt: skip
def test_a_tokenizer_that_is_not_whole_is_refused(tmp_path, name, content):
    BPE.save(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError):
        Text.open(tmp_path)


def test_a_tokenizer_without_our_marks_or_with_gaps_is_refused(tmp_path):
    for change in ("marks", "gap"):
        CHARACTERS.save(tmp_path)
        stored = json.loads((tmp_path / "tokenizer.json").read_text())
        if change == "marks":
            stored["added_tokens"] = [t for t in stored["added_tokens"] if t["content"] != END]
            stored["model"]["vocab"]["more"] = stored["model"]["vocab"].pop(END)
        else:
            stored["model"]["vocab"]["a"] = 10**6
        (tmp_path / "tokenizer.json").write_text(json.dumps(stored))
        with pytest.raises(CheckpointError, match="lacks '<end>'" if change == "marks" else "gaps"):
            Text.open(tmp_path)


def test_marks_have_the_first_numbers():
    assert [BPE.tokenizer.token_to_id(mark) for mark in SPECIALS] == [*range(7)]
    assert (PAD, PICTURE, END) == (SPECIALS[0], SPECIALS[1], SPECIALS[4])


@pytest.mark.parametrize("kind", ["bpe", "character"])
def test_the_same_texts_teach_the_same_tokens(kind):
    one, other = (learn(tiny.WORDS * 3, kind=kind, vocabulary=330) for _ in "ab")
    assert one.tokenizer.to_str() == other.tokenizer.to_str()
    assert isinstance(one.encode([user("red")]).tokens, np.ndarray)
