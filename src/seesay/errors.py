"""The error tree: what went wrong, where, both numbers, and what to do about it."""

from collections.abc import Sequence


class SeesayError(Exception):
    """A mistake the user can mend; the command line prints it without a traceback and exits 2.

    Args:
        what: what went wrong, in one sentence, with both numbers where two disagree.
        where: the file, row, recipe key or option it happened at (`photos.csv:12`).
        fix: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  {self.fix}" if self.fix else head

    def __reduce__(self):
        # Keyword-only arguments do not survive Exception's own pickling; data workers send these.
        return _rebuild, (type(self), self.what, self.where, self.fix)


def _rebuild(kind: type[SeesayError], what: str, where: str, fix: str) -> SeesayError:
    return kind(what, where=where, fix=fix)


class DataError(SeesayError):
    """A data source, row or column that cannot be read as examples."""


class PictureError(DataError):
    """A picture that is missing, broken, too large, or not a picture."""


class LengthError(DataError):
    """Text or picture tokens that do not fit, or whose counts disagree."""


class RecipeError(SeesayError):
    """A recipe key or value that is unknown or out of range."""


class CheckpointError(SeesayError):
    """A checkpoint folder that is missing, half-written, altered or of another version."""


class CapabilityError(SeesayError):
    """A model asked for what its family cannot do."""


class TrainingError(SeesayError):
    """Training that cannot go on: a loss that is not finite, a full disk."""


def nearest(name: str, known: Sequence[str]) -> str:
    """`name`'s nearest neighbour in `known` as a question, or the whole list where none is near."""
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
