"""Columns: which of a table's is the picture, the question, the answer, the caption, the box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seesay.errors import DataError, nearest

# Role -> the names that people give it, likeliest first.
ROLES: dict[str, tuple[str, ...]] = {
    "image": (
        "image", "images", "image_path", "img_path", "image_file", "img", "file_name", "file_names",
        "filename", "filepath", "file_path", "file", "path", "picture", "pictures", "photo",
        "图片", "图像",
    ),
    "video": ("video", "videos", "video_path", "video_file", "视频"),
    "question": ("question", "query", "prompt", "instruction", "问题"),
    "sentence": ("sentence", "statement", "hypothesis", "text"),
    "answer": ("answer", "answers", "response", "答案"),
    "label": ("label", "labels", "class", "class_name", "标签"),
    "caption": (
        "caption", "captions", "text", "description", "sentence", "title", "alt_text", "alt",
        "描述",
    ),
    "conversation": ("conversations", "conversation", "messages"),
    "options": ("options", "choices"),
    "boxes": ("boxes", "bbox", "bboxes", "objects"),
    "corners": ("corners", "xyxy", "bbox_xyxy"),
    "reasoning": ("reasoning", "rationale", "rationales", "chain_of_thought", "cot"),
    "kind": ("kind", "type", "category"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """What a row is: a task, the role that asks (if any) and the role that holds the truth."""

    task: str
    asks: str
    truth: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that must be there."""
        return (self.asks, self.truth) if self.asks else (self.truth,)

    def __str__(self) -> str:
        return " and ".join(self.roles)


# The first whose roles are all there is taken.
FORMS = (
    Form("dialogue", "", "conversation"),
    Form("vqa", "question", "answer"),
    Form("vqa", "question", "label"),
    Form("ground", "question", "boxes"),
    Form("ground", "question", "corners"),
    Form("vqa", "sentence", "label"),
    Form("vqa", "sentence", "answer"),
    Form("caption", "", "caption"),
    Form("ground", "", "boxes"),
    Form("ground", "", "corners"),
    Form("classify", "", "label"),
    Form("classify", "", "kind"),
)
# Names of a column whose captions are learned too where a table asks questions in other rows.
BESIDE = ("caption", "captions")
# What a row that asks may have besides, and what one may that has a class alone.
ASKED_WITH, CLASSED_WITH = ("options", "reasoning"), ("options",)
# Where things are in the picture: left, top, width, height; or left, top, right, bottom.
PLACES = ("boxes", "corners")
# Tasks that learn from the same rows as another.
SAME_ROWS = {"retrieve": "caption"}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that were found: role -> name. `kinds` are the slices to report by.

    Where the form asks, a `caption` among them is for rows that do not.
    """

    form: Form
    found: Mapping[str, str]
    kinds: tuple[str, ...]
    moving: bool = False  # whether the picture's column is one of videos

    @property
    def image(self) -> str:
        """The picture's column."""
        return self.found["image"]

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        return tuple(dict.fromkeys((*self.found.values(), *self.kinds)))


def find(columns: Sequence[str], given: Mapping[str, str] | None = None, *,
         task: str | None = None, where: str = "") -> Columns:  # fmt: skip
    """What the columns mean, by their names or as `given` (role -> column, "" for none) says.

    Raises:
        DataError: no picture column, no text columns, an unknown role or column.
    """
    none = {role for role, name in (given or {}).items() if not name}  # `--map boxes=`
    given = _given(columns, given or {}, where)
    named = {role: name for role in ROLES if (name := _named(columns, role)) and role not in none}
    roles = named | given
    moving = "video" in given or ("video" in roles and "image" not in roles)
    if moving:
        roles["image"] = roles["video"]
    if "image" not in roles:
        raise _no_picture(columns, where)
    for other in _other_places(roles, given):
        del roles[other]
    texts = set(given) - {"image", "video", "kind", *ASKED_WITH}
    # Boxes may stand beside any text: they decide only where no text is given.
    form = _form(roles, texts - set(PLACES) or texts, task=task)
    if form is None:
        raise _no_text(columns, roles, task=task, where=where)
    used = {"image": roles["image"]} | {role: roles[role] for role in form.roles}
    beside = (*_also(form), *PLACES)
    used |= {role: roles[role] for role in beside if role in roles}
    if form.truth in PLACES and (label := roles.get("label", roles.get("kind"))):
        used["label"] = label
    captions = None
    if form.asks and task is None and "caption" not in none:
        captions = _beside(columns, given)
    if captions is not None and captions not in used.values():
        used["caption"] = captions
    kinds = () if "kind" in none else _kinds(columns, given, set(used.values()))
    return Columns(form, used, kinds, moving)


def _also(form: Form) -> tuple[str, ...]:
    if form.asks:
        return ASKED_WITH
    return CLASSED_WITH if form.truth in ("label", "kind") else ()


def _other_places(roles: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    """Roles that say where things are, but for the one that is said to, or the first."""
    there = [role for role in PLACES if role in roles]
    kept = next((role for role in there if role in given), next(iter(there), ""))
    return [role for role in there if role != kept]


def _given(columns: Sequence[str], given: Mapping[str, str], where: str) -> dict[str, str]:
    lower = {name.lower(): name for name in columns}
    found = {}
    for role, name in given.items():
        if role not in ROLES:
            what = f"'{role}' is not what a column can be"
            raise DataError(what, where=where, fix=nearest(role, tuple(ROLES)))
        if not name:
            continue
        if name.lower() not in lower:
            fix = nearest(name, tuple(columns))
            raise DataError(f"no column '{name}' (for {role})", where=where, fix=fix)
        found[role] = name if name in columns else lower[name.lower()]
    return found


def called(name: str, among: Sequence[str]) -> bool:
    """Whether a column is called as one of these roles is."""
    return any(plain(name) in ROLES[role] for role in among)


def plain(name: str) -> str:
    """A column's name as names are compared."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _named(columns: Sequence[str], role: str) -> str | None:
    known = {plain(name): name for name in reversed(columns)}
    return next((known[alias] for alias in ROLES[role] if alias in known), None)


def _form(roles: Mapping[str, str], given: set[str], *, task: str | None) -> Form | None:
    task = SAME_ROWS.get(task or "", task)
    forms = [form for form in FORMS if form.task == task] or FORMS
    extra = {"caption"} if {"answer", "label"} & given else set()
    fits = (form for form in forms if given - extra <= set(form.roles) <= set(roles))
    # A column cannot both ask and answer.
    return next((form for form in fits if roles.get(form.asks) != roles[form.truth]), None)


def _beside(columns: Sequence[str], given: Mapping[str, str]) -> str | None:
    return given.get("caption", next((name for name in columns if plain(name) in BESIDE), None))


def _kinds(columns: Sequence[str], given: Mapping[str, str], used: set[str]) -> tuple[str, ...]:
    named = (given["kind"],) if "kind" in given else ()
    known = tuple(name for name in columns if plain(name) in ROLES["kind"])
    return tuple(name for name in dict.fromkeys(named + known) if name not in used)


def _no_picture(columns: Sequence[str], where: str) -> DataError:
    if any("." in name or "/" in name for name in columns):
        fix = "the first row looks like data: write a header before it, such as image,caption"
    else:
        fix = f"say which it is: {_said('image')}; {_known('image')}"
    return DataError(f"no picture column among {_listed(columns)}", where=where, fix=fix)


def _no_text(columns: Sequence[str], roles: Mapping[str, str], *, task: str | None,
             where: str) -> DataError:  # fmt: skip
    forms = [form for form in FORMS if form.task == SAME_ROWS.get(task or "", task)] or FORMS
    what = f"no text to learn from among {_listed(columns)}"
    half = next((form for form in forms if set(form.roles) & set(roles)), None)
    missing = [role for role in half.roles if role not in roles] if half else ["caption"]
    if half and missing:
        there = next(role for role in half.roles if role in roles)
        what += f": a {there} but no {', '.join(missing)}"
    needed = "; or ".join(map(str, forms))
    fix = f"needed: {needed}. Say which is which: {_said(missing[0])}"
    return DataError(what, where=where, fix=fix)


def _said(role: str) -> str:
    return f'--map {role}=NAME (in a recipe: columns = {{ {role} = "NAME" }})'


def _known(role: str) -> str:
    return f"known names: {', '.join(ROLES[role])}"


def _listed(columns: Sequence[str]) -> str:
    listed = ", ".join(f"'{name}'" for name in columns[:20])
    return f"{listed} and {len(columns) - 20} more" if len(columns) > 20 else listed
