"""Dialogue: conversations as LLaVA, ShareGPT and chat services write them -> turns."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from seesay.data.finder import Refused
from seesay.records import Turn

MARK = "<image>"
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
    no turn: what follows is a caption.

    Raises:
        Refused: no turns, an unknown speaker, an empty turn, marks that are not as many as the
            pictures, two turns of one speaker, or none of the assistant at the end.
    """
    messages = _messages(cell)
    marks, system, turns = 0, "", []
    for number, message in enumerate(messages, 1):
        role, text = _spoken(message, number)
        marks += text.count(MARK)
        text = text.replace(MARK, "").strip()
        if role == "system":
            system = text
            continue
        if role == "user":
            text, system = "\n".join(filter(None, (system, text))), ""
        _add(turns, role, text, number)
    if marks not in (0, num_pictures):
        raise Refused(f"{marks} {MARK} marks and {num_pictures} pictures")
    if not turns or turns[-1].role != "assistant":
        raise Refused("a conversation that does not end with the assistant's turn")
    return tuple(turns)


def _add(turns: list[Turn], role: Literal["user", "assistant"], text: str, number: int) -> None:
    if role == "user" and not text and not turns:
        return
    if not text:
        raise Refused(f"turn {number} is empty")
    if turns and turns[-1].role == role:
        raise Refused(f"turn {number} is a second turn of the {role}")
    reasoning, text = _thought(text) if role == "assistant" else ("", text)
    if not text:
        raise Refused(f"turn {number} reasons but does not answer")
    turns.append(Turn(role, text, reasoning))


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
    try:
        content.encode()
    except UnicodeEncodeError:
        raise Refused(f"turn {number} is not valid Unicode: {ascii(content)[:60]}") from None
    return content


def _part(part: Any, number: int) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in ("image", "image_url"):
        return MARK
    if kind == "text":
        return _text(part.get("text"), number)
    raise Refused(f"turn {number} holds a part of type '{kind}'; known: text, image")
