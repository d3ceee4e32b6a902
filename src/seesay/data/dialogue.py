"""Dialogue: conversations as LLaVA, ShareGPT and chat services write them -> turns."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from seesay.data.finder import Refused
from seesay.records import Turn

MARK = "<image>"
VIDEO = "<video>"  # read as the same
_MARKED = re.compile(rf"\s*{MARK}")
_LEADING = re.compile(rf"^(?:\s*{MARK})+")
SPEAKERS: dict[str, Literal["user", "assistant", "system"]] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}


def turns_of(cell: Any, *, num_pictures: int) -> tuple[Turn, ...]:
    """The turns of a conversation, without its picture marks, ending with the assistant's.

    What the system says goes before what the user says next. A user who only shows the picture has
    no turn: what follows is a caption. Pictures are shown where their marks stand (`among`).

    Raises:
        Refused: no turns, an unknown speaker, an empty turn, marks that are not as many as the
            pictures, two turns of one speaker, or none of the assistant at the end.
    """
    messages = [_spoken(message, number) for number, message in enumerate(_messages(cell), 1)]
    texts = [text for _, text in messages]
    marks = sum(text.count(MARK) for text in texts)
    if marks not in (0, num_pictures):
        raise Refused(f"{marks} {MARK} marks and {num_pictures} pictures")
    inside, system, turns = among(texts), "", []
    for number, (role, text) in enumerate(messages, 1):
        text = text.strip() if inside else text.replace(MARK, "").strip()
        if role == "system":
            system = text
            continue
        if role == "user":
            text, system = "\n".join(filter(None, (system, text))), ""
        _add(turns, role, text, number)
    if not turns or turns[-1].role != "assistant":
        raise Refused("a conversation that does not end with the assistant's turn")
    if inside and (placed := sum(len(turn.pictures) for turn in turns)) != marks:
        raise Refused(f"{placed} of {marks} {MARK} marks are in what the user or assistant says")
    return tuple(turns)


def messages(turns: Sequence[Turn], *, num_pictures: int) -> list[dict[str, str]]:
    """Turns as LLaVA writes them, which `turns_of` reads as the same.

    Pictures in front stand before what the user says first; one who says nothing only shows them.
    Marks in people's own words, which would be taken for pictures, are left out.
    """
    front = num_pictures - sum(len(turn.pictures) for turn in turns)
    said = [(turn.role, _written(turn)) for turn in turns]
    if front and (not said or said[0][0] != "user"):
        said.insert(0, ("user", ""))
    marks = "\n".join([MARK] * front)
    made = [
        ("human" if role == "user" else "gpt", f"{marks}\n{text}" if front and not i else text)
        for i, (role, text) in enumerate(said)
    ]
    return [{"from": name, "value": text.strip()} for name, text in made]


def _written(turn: Turn) -> str:
    """A turn's text with a mark where each picture is shown, behind its reasoning."""
    cuts = (0, *turn.pictures, len(turn.text))
    pieces = [turn.text[a:b].replace(MARK, "") for a, b in zip(cuts, cuts[1:], strict=False)]
    text = MARK.join(pieces)
    return f"<think>{turn.reasoning}</think>{text}" if turn.reasoning else text


def among(texts: Sequence[str]) -> bool:
    """Whether pictures are shown inside texts: several, and not all of them before any word.

    Of one picture, where its mark stands says nothing: it stands in front, for all questions on it.
    """
    whole = "".join(texts)
    return whole.count(MARK) > 1 and MARK in _LEADING.sub("", whole, count=1)


def shown(role: Literal["user", "assistant"], text: str, reasoning: str = "") -> Turn:
    """A turn whose pictures are shown where their marks stand."""
    words, places = "", []
    for number, piece in enumerate(_MARKED.split(text)):
        places += [len(words)] if number else []
        words += piece if words else piece.lstrip()
    return Turn(role, words.rstrip(), reasoning, tuple(min(p, len(words.rstrip())) for p in places))


def _add(turns: list[Turn], role: Literal["user", "assistant"], text: str, number: int) -> None:
    if role == "user" and not text and not turns:
        return
    if not text:
        raise Refused(f"turn {number} is empty")
    if turns and turns[-1].role == role:
        raise Refused(f"turn {number} is a second turn of the {role}")
    reasoning, text = _thought(text) if role == "assistant" else ("", text)
    if MARK in reasoning:
        raise Refused(f"turn {number} shows a picture in its reasoning")
    turn = shown(role, text, reasoning)
    if not turn.text and not (role == "user" and turn.pictures):
        what = "reasons but does not answer" if reasoning else "says nothing"
        raise Refused(f"turn {number} {what}")
    turns.append(turn)


def _thought(text: str) -> tuple[str, str]:
    """The reasoning that a text of the assistant's opens with, and the rest."""
    reasoning, ended, rest = text.partition("</think>")
    if not ended:
        return "", text
    return reasoning.strip().removeprefix("<think>").strip(), rest.strip()


def _messages(cell: Any) -> Sequence[Any]:
    if isinstance(cell, str):  # in a CSV cell
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise Refused(f"a conversation that is not JSON: {error}") from None
    if not isinstance(cell, list) or not cell:
        raise Refused("no conversation: expected a list of turns")
    return cell


def _spoken(message: Any, number: int) -> tuple[Literal["user", "assistant", "system"], str]:
    if not isinstance(message, Mapping):
        raise Refused(f"turn {number} is a {type(message).__name__}; expected from and value")
    speaker = message.get("from", message.get("role"))
    role = SPEAKERS.get(str(speaker).lower())
    if role is None:
        raise Refused(f"turn {number} is from '{speaker}'; known: {', '.join(SPEAKERS)}")
    return role, _text(message.get("value", message.get("content")), number)


def _text(content: Any, number: int) -> str:
    if isinstance(content, list):  # chat services: parts of text and pictures
        return "\n".join(_part(part, number) for part in content)
    if not isinstance(content, str):
        raise Refused(f"turn {number} is empty")
    content = content.replace(VIDEO, MARK)
    try:
        content.encode()
    except UnicodeEncodeError:
        raise Refused(f"turn {number} is not valid Unicode: {ascii(content)[:60]}") from None
    return content


def _part(part: Any, number: int) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in ("image", "image_url", "video", "video_url"):
        return MARK
    if kind == "text":
        return _text(part.get("text"), number)
    raise Refused(f"turn {number} holds a part of type '{kind}'; known: text, image")
