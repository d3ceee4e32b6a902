"""The page of rows needs nothing else, and shows what the rows are."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from train import runs

from seesay import preview
from seesay.train import setup
from seesay.train.feed import feed


@pytest.fixture(autouse=True)
def few_scenes(monkeypatch):
    monkeypatch.setattr(setup, "SCENES_READ", 20)


class Page(HTMLParser):
    """What a page holds: tags that are open at its end, addresses, tokens, texts."""

    VOID = ("meta", "img", "br", "rect", "circle", "path", "line")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.classes: list[str] = []
        self.said = ""
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.add(tag)
        self.links += [given[name] for name in ("src", "href") if given.get(name)]
        self.classes += (given.get("class") or "").split()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.said += data


def table(source="scenes", **data):
    """A recipe in which each picture has a row to itself."""
    return runs.table(source, data={"pack": False, **data})


def made(tmp_path, table, **how):
    fed = feed(table)
    shown = preview.preview(fed, source="a", count=how.pop("count", 4), **how)
    path = preview.write(tmp_path / "new" / "show.html", shown, command="seesay data show a")
    return shown, Page(path.read_text("utf-8")), path


def test_a_page_needs_nothing_else(tmp_path):
    folder = runs.pictures(tmp_path / "data", 8)
    (folder / "000.txt").write_text("<b>bold & 'quoted'</b>\n")
    shown, page, path = made(tmp_path, table(folder), count=8)
    assert page.open == [] and "script" not in page.tags and "link" not in page.tags
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    text = path.read_text("utf-8")
    assert "<b>bold" not in text and "@import" not in text and not re.search(r"url\(", text)
    assert [p.name for p in path.parent.iterdir()] == ["show.html"]
    tokens = [t for row in shown.rows for d in row.documents for t in d.tokens]
    assert page.classes.count("say") == 2 + sum(token.learned for token in tokens)
    assert page.classes.count("document") == sum(len(row.documents) for row in shown.rows)


def test_pictures_are_the_batchs_to_the_pixel(tmp_path):
    tiled = table(runs.pictures(tmp_path / "data", 6), tiles=[1, 2])
    shown, page, _ = made(tmp_path, tiled, count=3)
    found = []
    for link in page.links:
        data = base64.b64decode(link.split(",", 1)[1])
        found.append(np.asarray(Image.open(io.BytesIO(data))))
    expected = [tile for row in shown.rows for p in row.pictures for tile in p.tiles]
    assert len(found) == len(expected) == 9
    for one, tile in zip(found, expected, strict=True):
        assert np.array_equal(one, tile)
    assert "row 1, column 2" in page.said and "picture 1, whole" in page.said
    assert "picture 1, tile 3" in page.said


def test_what_was_cut_off_is_on_it(tmp_path):
    folder = runs.pictures(tmp_path / "data", 4)
    for path in folder.glob("*.txt"):
        path.write_text("red beside " * 60)
    shown, page, _ = made(tmp_path, table(folder))
    lost = [d.num_lost for row in shown.rows for d in row.documents if d.num_lost]
    assert lost and f"{lost[0]} tokens cut off" in page.said


def test_scenes_and_their_stages(tmp_path):
    stages = [{"until": 0.5, "questions": 0, "captions": 1}]
    shown, page, _ = made(tmp_path, table(stages=stages))
    assert any(d.number > 1 for row in shown.rows for d in row.documents)
    assert page.open == [] and shown.facts["Source"] == "a"
    early, _, _ = made(tmp_path, table(stages=stages), at=0.1)
    assert not any(d.number > 1 for row in early.rows for d in row.documents)


def test_as_data(tmp_path):
    shown, _, _ = made(tmp_path, table(runs.pictures(tmp_path / "data", 5)), count=2)
    told = json.loads(json.dumps(shown.as_dict()))
    assert len(told["rows"]) == 2 and told["facts"]["Rows"] == "2"
    (row, *_) = told["rows"]
    assert row["pictures"][0]["size"] == row["pictures"][0]["tiles"][0] == [16, 16]
    front, document = row["documents"]
    assert front["tokens"][0]["count"] == row["pictures"][0]["tokens"]
    learned = [token["text"] for token in document["tokens"] if token["learned"]]
    assert "".join(learned) == document["said"] and learned[-1] == "<end>"


def test_pictures_that_do_not_decode_are_named(tmp_path):
    folder = runs.pictures(tmp_path / "data", 6)
    for number in range(3):
        path = folder / f"{number:03}.png"
        path.write_bytes(path.read_bytes()[:60])
    shown, page, _ = made(tmp_path, table(folder), count=6)
    assert len(shown.skipped) == 3 and len(shown.rows) == 3
    assert "Left out" in page.said and "000.png" in page.said


def test_rows_that_are_shared_are_those_of_training(tmp_path):
    """Whatever is shown of a batch, pictures share its rows as they do when it is trained on."""
    settings = runs.table(runs.pictures(tmp_path / "data", 12), batch=6)
    shown, page, _ = made(tmp_path, settings, count=2)
    stream = feed(settings).stream(batch=6)
    batch = stream.step(0, 1.0)
    assert len(batch.tokens_BT) < 6 and shown.rows[0].groups > 1
    for b, row in enumerate(shown.rows[: len(batch.origins)]):
        assert row.origin == batch.origins[b]
        assert row.used == int((batch.documents_BT[b] >= 0).sum())
        assert row.groups == int(batch.groups_BT[b].max()) + 1
    assert "groups that see nothing of each other" in page.said
    assert "group 2: document 1" in page.said and "picture 2" in page.said


def test_a_file_is_not_begun_anew(tmp_path):
    shown, _, _ = made(tmp_path, table(runs.pictures(tmp_path / "data", 5)), count=50)
    assert len(shown.rows) == len({row.origin for row in shown.rows}) == 5


def test_tiles_chosen_for_each_picture(tmp_path):
    folder = runs.pictures(tmp_path / "data", 4)
    Image.new("RGB", (64, 16), (9, 99, 9)).save(folder / "000.png")
    shown, page, _ = made(tmp_path, table(folder, tiles="best", max_tiles=4), count=4)
    grids = sorted(picture.grid for row in shown.rows for picture in row.pictures)
    assert grids == [(1, 1), (1, 1), (1, 1), (1, 4)]
    tokens = shown.feed.fit.picture_tokens
    assert shown.facts["Tokens a picture"] == f"up to {5 * tokens}"
    assert "up to 4 tiles of 16×16" in shown.facts["Pictures"] and "row 1, column 4" in page.said
