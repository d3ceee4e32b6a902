"""Rows: pictures come to their rows, documents come apart and together again."""

import pytest
import torch

from seesay.errors import LengthError
from seesay.model.cross import shown
from seesay.model.rows import Apart, Context, owners

MARK = 1


def test_each_picture_belongs_to_the_row_of_its_marks():
    tokens = torch.tensor([[MARK, MARK, 5, 6], [5, 6, 7, 8], [MARK, MARK, MARK, MARK]])
    assert owners(tokens, picture_token=MARK, pictures=3).tolist() == [0, 2, 2]
    assert owners(tokens[1:2], picture_token=MARK, pictures=0).tolist() == []
    with pytest.raises(LengthError, match=r"6 picture marks stand in the text for 4 pictures"):
        owners(tokens, picture_token=MARK, pictures=4)


def test_a_context_holds_each_rows_pictures_and_nothing_else():
    seen = torch.arange(3 * 2 * 2, dtype=torch.float).view(3, 2, 2) + 1
    made = Context.of(seen, torch.tensor([0, 2, 2]), rows=3)
    assert made.features_BSD.shape == (3, 4, 2)
    assert made.real_BS.sum(dim=1).tolist() == [2, 0, 4]
    assert torch.equal(made.features_BSD[0, :2], seen[0])
    assert torch.equal(made.features_BSD[2], seen[1:].flatten(0, 1))
    assert not made.features_BSD[~made.real_BS].any()
    one_each = Context.of(seen, torch.arange(3), rows=3)
    assert torch.equal(one_each.features_BSD, seen) and one_each.real_BS.all()
    none = Context.of(seen[:0], torch.zeros(0, dtype=torch.long), rows=2)
    assert not none.real_BS.any() and none.features_BSD.shape[0] == 2


def test_documents_come_apart_and_together_again():
    documents = torch.tensor([[0, 1, 1, 2, -1], [0, 0, 1, 1, 1]])
    groups = torch.where(documents >= 0, 0, -1)
    apart = Apart.of(documents, groups)
    x = torch.arange(10).view(2, 5)
    assert apart.real_Mt.sum(dim=1).tolist() == [2, 1, 3] and apart.rows_M.tolist() == [0, 0, 1]
    split = apart.split(x)
    assert split[0, :2].tolist() == [1, 2] and split[1, 0] == 3 and split[2].tolist() == [7, 8, 9]
    joined = apart.join(split, like=documents)
    assert torch.equal(joined, x.where(documents > 0, 0))


def test_documents_of_unlike_groups_stay_apart():
    documents, groups = torch.tensor([[0, 1, 1, 0, 1]]), torch.tensor([[0, 0, 0, 1, 1]])
    apart = Apart.of(documents, groups)
    assert apart.real_Mt.sum(dim=1).tolist() == [2, 1]


def test_words_see_the_pictures_shown_last_before_them():
    """p p a b | p c p p d, all of one document; then two in front, for two documents."""
    marks = torch.tensor([[1, 1, 0, 0, 1, 0, 1, 1, 0]]).bool()
    ones = torch.ones_like(marks, dtype=torch.long)
    rows = torch.zeros(5, dtype=torch.long)
    seen = shown(marks, documents=ones, groups=0 * ones, row_N=rows)
    assert seen[0].int().tolist() == [
        [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1],
    ]  # fmt: skip
    marks = torch.tensor([[1, 1, 0, 0, 0, 0]]).bool()
    documents = torch.tensor([[0, 0, 1, 1, 2, -1]])
    groups = torch.tensor([[0, 0, 0, 0, 0, -1]])
    seen = shown(marks, documents=documents, groups=groups, row_N=torch.zeros(2, dtype=torch.long))
    assert seen[0].int().tolist()[2:] == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_a_documents_own_pictures_are_not_anothers():
    marks = torch.tensor([[0, 1, 0, 0, 1, 0]]).bool()
    documents = torch.tensor([[1, 1, 1, 2, 2, 2]])
    seen = shown(
        marks, documents=documents, groups=0 * documents, row_N=torch.zeros(2, dtype=torch.long)
    )
    assert seen[0].int().tolist() == [[0, 0], [1, 0], [1, 0], [0, 0], [0, 1], [0, 1]]
