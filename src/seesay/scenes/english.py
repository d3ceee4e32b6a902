"""English: the words of the world and the phrasings of every caption and question."""

from seesay.scenes.tongue import Tongue, bound, checked, phrases
from seesay.scenes.view import COLOUR, SHAPE, SIZE, TEXTURE, Look
from seesay.scenes.world import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, TEXTURES

PLURALS = tuple(f"{shape}es" if shape.endswith("s") else f"{shape}s" for shape in SHAPES)
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
RELATIONS = ("left of", "right of", "above", "below", "in front of", "behind")
AT = (
    *("at the top left", "at the top", "at the top right"),
    *("on the left", "in the centre", "on the right"),
    *("at the bottom left", "at the bottom", "at the bottom right"),
)

# By `motion.STEPS`.
PATHS = (
    *("from right to left", "from left to right", "from bottom to top", "from top to bottom"),
    *("from the bottom right to the top left", "from the bottom left to the top right"),
    *("from the top right to the bottom left", "from the top left to the bottom right"),
)


def _phrase(attributes: int, look: Look, nouns: tuple[str, ...], thing: str) -> str:
    words = []
    if attributes & 4:
        words.append(SIZES[look[SIZE]])
    if attributes & 8:
        words.append(TEXTURES[look[TEXTURE]])
    if attributes & 2:
        words.append(COLOURS[look[COLOUR]])
    words.append(nouns[look[SHAPE]] if attributes & 1 else thing)
    return " ".join(words)


def _one(attributes: int, look: Look) -> str:
    return _phrase(attributes, look, SHAPES, "thing")


def _a(attributes: int, look: Look) -> str:
    text = _one(attributes, look)
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"


PROMPTS = {
    "list": ("",),
    "place": ("say what is where", "name every object and its place"),
    "size": ("name every object and its size", "describe the objects by size"),
    "texture": ("name every object and its texture", "describe the objects by texture"),
    "detail": ("describe every object in detail", "describe the picture in detail"),
    "count": ("count the objects and name them", "how many objects are there, and which"),
    "relation": ("say how two objects lie", "relate two objects"),
    "motion": ("", "say what happens", "describe what everything does"),
}

TEMPLATES = {
    # Captions.
    "caption_place": ("{0} {1}",),
    "caption_at": ("{0} {1}",),
    "caption_detail": ("{0} on a {1} background",),
    "caption_one": ("one object: {0}",),
    "caption_count": ("{1} objects: {0}",),
    "caption_relation": ("{0} {1} {2}",),
    "caption_alone": ("{0} alone",),
    "film_stays": ("{0} stays",),
    "film_moves": ("{0} moves {1}",),
    "film_appears": ("{0} appears",),
    "film_leaves": ("{0} disappears",),
    "film_changes": ("{0} turns {1}",),
    "film_nears": ("{0} comes near {1}",),
    "film_hits": ("{0} hits {1}",),
    # Questions.
    "exist": ("is there {0}", "can you see {0}", "does the picture show {0}"),
    "count": ("how many {0} are there", "count the {0}", "how many {0} can you see"),
    "query": ("what {1} is {0}", "name the {1} of {0}", "which {1} does {0} have"),
    "query_place": ("what {1} is the thing {0}", "name the {1} of the thing {0}"),
    "where": ("where is {0}", "in which part of the picture is {0}"),
    "relation": ("is {0} {1} {2}", "does {0} lie {1} {2}"),
    "more": ("are there more {0} than {1}",),
    "fewer": ("are there fewer {0} than {1}",),
    "as_many": ("are there as many {0} as {1}",),
    "more_fewer": ("are there more or fewer {0} than {1}", "more or fewer {0} than {1}"),
    "same": ("is {0} the same {2} as {1}", "do {0} and {1} have the same {2}"),
    "bigger": ("is {0} bigger than {1}",),
    "smaller": ("is {0} smaller than {1}",),
    "same_query": (
        "what {2} is the other thing of the same {1} as {0}",
        "what {2} is the other thing with the {1} of {0}",
    ),
    "same_count": (
        "how many other things are the same {1} as {0}",
        "how many other things have the {1} of {0}",
    ),
    "or_count": ("how many things are {0} or {1}", "count the things that are {0} or {1}"),
    "but_not": ("is there a thing that is {0} but not {1}",),
    "both": ("is there both {0} and {1}", "can you see both {0} and {1}"),
    "either": ("is there {0} or {1}", "can you see {0} or {1}"),
    "every": ("is every {0} {1}",),
    "chain_query": ("what {3} is the {0} {1} {2}", "name the {3} of the {0} {1} {2}"),
    "chain_count": ("how many {0} are {1} {2}", "count the {0} {1} {2}"),
    "chain_exist": ("is there {0} {1} {2}", "can you see {0} {1} {2}"),
    "chain_noun": ("the {0} {1} {2}",),
    "ground": ("box {0}", "draw a box around {0}", "give the box of {0}"),
    "refer": ("find {0}", "point to {0}", "locate {0}"),
    # Questions on scenes that move.
    "direction": ("which way does {0} move", "in which direction does {0} move"),
    "heading": ("does {0} move {1}",),
    "moving": ("does {0} move", "is {0} moving"),
    "count_moving": ("how many things move", "count the things that move"),
    "becomes": ("what colour does {0} become", "which colour does {0} turn"),
    "was": ("what colour is {0} at first", "which colour does {0} have at first"),
    "event": ("what does {0} do", "what happens to {0}"),
    "appears_first": ("which appears first, {0} or {1}", "what appears first, {0} or {1}"),
    "leaves_first": ("which disappears first, {0} or {1}", "what disappears first, {0} or {1}"),
    "changes_first": ("which changes first, {0} or {1}", "what changes first, {0} or {1}"),
    "touch": ("do {0} and {1} touch", "does {0} hit {1}"),
    "begins_at": ("where is {0} at first", "where does {0} begin"),
    "ends_at": ("where is {0} at the end", "where does {0} end"),
    # Statements.
    "statement": ("true or false: {0}", "is it true that {0}"),
    "state_exist": ("there is {0}",),
    "state_one": ("there is one {0}",),
    "state_count": ("there are {1} {0}",),
    "state_is": ("{0} is {1}",),
    "state_at": ("{0} is {1}",),
    "state_relation": ("{0} is {1} {2}",),
}

TONGUE = checked(
    Tongue(
        name="en",
        one=phrases(_one),
        a=phrases(_a),
        the=phrases(lambda attributes, look: f"the {_one(attributes, look)}"),
        many=phrases(lambda attributes, look: _phrase(attributes, look, PLURALS, "things")),
        singular=(tuple(f"a {shape}" for shape in SHAPES), COLOURS, SIZES, TEXTURES),
        plural=(PLURALS, COLOURS, SIZES, TEXTURES),
        values=(SHAPES, COLOURS, SIZES, TEXTURES),
        attributes=("shape", "colour", "size", "texture"),
        places=PLACES,
        at=AT,
        relations=RELATIONS,
        numbers=NUMBERS,
        counted=NUMBERS,
        backgrounds=BACKGROUNDS,
        yes_no=("yes", "no"),
        true_false=("true", "false"),
        more_fewer_same=("more", "fewer", "same"),
        headings=("left", "right", "up", "down", "up left", "up right", "down left", "down right"),
        paths=PATHS,
        events=("stays", "moves", "appears", "disappears", "changes colour"),
        comma=", ",
        last=" and ",
        clause="",
        exists="",
        prompts=PROMPTS,
        templates=bound(TEMPLATES),
    )
)
