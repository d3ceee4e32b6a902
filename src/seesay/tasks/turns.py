"""What is asked of a predictor: an example's turns without the truth."""

from seesay.errors import DataError
from seesay.records import Example, Turn


def before_truth(example: Example) -> tuple[Turn, ...]:
    """The turns up to the last user's; an empty one (a bare caption) where there is none."""
    turns = example.turns
    while turns and turns[-1].role == "assistant":
        turns = turns[:-1]
    return turns or (Turn("user", ""),)


def first_line(text: str) -> str:
    """A short answer as a model gives it: its first line, without "Answer:" before it."""
    lines = text.strip().splitlines()
    line = lines[0].strip() if lines else ""
    head, colon, rest = line.partition(":")
    return rest.strip() if colon and head.strip().lower() == "answer" else line


def truth(example: Example) -> str:
    """The assistant's last turn, which a test cannot do without."""
    if not example.answer:
        raise DataError(
            "no answer to score against",
            where=str(example.origin),
            fix="end its turns with the assistant's",
        )
    return example.answer
