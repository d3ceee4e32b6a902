"""Objectives: each is the formula it says, and nothing where nothing is to be learned."""

import pytest
import torch

from seesay import objectives
from seesay.metrics.boxes import iou
from seesay.records import Box


def test_caption_is_the_mean_surprise():
    logits, targets = torch.randn(5, 7), torch.tensor([0, 6, 2, 2, 1])
    wanted = -logits.double().log_softmax(-1)[torch.arange(5), targets].mean()
    assert float(objectives.caption(logits, targets)) == pytest.approx(float(wanted), rel=1e-5)


def test_caption_of_no_targets_is_zero_with_a_gradient():
    logits = torch.randn(0, 7, requires_grad=True)
    loss = objectives.caption(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert float(loss.detach()) == 0


def test_patches_is_the_sum_of_each_attributes_mean_where_it_is_known():
    classes, logits = (3, 2), torch.randn(2, 4, 5)
    labels = torch.tensor([[[0, 1, 2, 2], [-1, 0, 1, 1]], [[1, 1, 0, 2], [-1, -1, -1, 0]]])
    wanted = 0.0
    for a, (start, end) in enumerate(((0, 3), (3, 5))):
        logs = logits[..., start:end].double().log_softmax(-1)
        known = [(n, p) for n in range(2) for p in range(4) if labels[n, a, p] >= 0]
        wanted -= sum(float(logs[n, p, labels[n, a, p]]) for n, p in known) / len(known)
    made = objectives.attributes(logits, labels, classes=classes)
    assert float(made) == pytest.approx(wanted, rel=1e-5)


def test_patches_of_which_nothing_is_known_are_zero():
    labels = torch.full((2, 2, 4), -1)
    assert float(objectives.attributes(torch.randn(2, 4, 5), labels, classes=(3, 2))) == 0


def sides(box):
    x, y, wide, high = box.tolist()
    return Box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)


def test_boxes_are_held_against_each_other_by_distance_and_generalised_overlap():
    said, true = torch.rand(2, 6, 4) * 0.4 + 0.1
    wanted = 0.0
    for one, other in zip(said, true, strict=True):
        a, b = sides(one), sides(other)
        hull = (max(a.right, b.right) - min(a.left, b.left)) * (
            max(a.bottom, b.bottom) - min(a.top, b.top)
        )
        overlap = iou(a, b)
        union = (float(one[2:].prod()) + float(other[2:].prod())) / (1 + overlap)
        wanted += 5 * float((one - other).abs().sum()) + 2 * (1 - overlap + (hull - union) / hull)
    made = objectives.box_regression(said, true)
    assert float(made) == pytest.approx(wanted / 6, rel=1e-4)
    assert float(objectives.box_regression(true, true)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [
        ((0.5, 0.5, 1.0, 1.0), (0.25, 0.5, 0.5, 1.0), 1 / 2),  # a half of the whole
        ((0.25, 0.5, 0.5, 1.0), (0.75, 0.5, 0.5, 1.0), 0),  # side by side
        ((0.125, 0.125, 0.25, 0.25), (0.875, 0.875, 0.25, 0.25), -(1 - 2 / 16)),  # corners
        ((0.25, 0.25, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5), 1 / 7 - (9 / 16 - 7 / 16) / (9 / 16)),
    ],
)
def test_generalised_overlap_of_known_boxes(one, other, wanted):
    a, b = torch.tensor([one]), torch.tensor([other])
    assert objectives.generalised_iou(a, b).item() == pytest.approx(wanted, abs=1e-6)
    assert objectives.generalised_iou(b, a).item() == pytest.approx(wanted, abs=1e-6)


def test_no_boxes_are_no_loss_with_a_gradient():
    said = torch.rand(0, 4, requires_grad=True)
    loss = objectives.box_regression(said, torch.zeros(0, 4))
    loss.backward()
    assert float(loss.detach()) == 0


def test_contrastive_is_cross_entropy_both_ways():
    scores = torch.randn(4, 4)
    right = torch.arange(4)
    wanted = sum(torch.nn.functional.cross_entropy(s, right) for s in (scores, scores.T)) / 2
    made = objectives.contrastive(scores, torch.eye(4, dtype=torch.bool))
    assert float(made) == pytest.approx(float(wanted), rel=1e-6)


def test_contrastive_sums_over_all_that_belong_and_asks_nothing_of_what_belongs_to_none():
    scores, positive = torch.randn(2, 3), torch.tensor([[1, 1, 0], [0, 0, 0]]).bool()
    of_pictures = -(scores[0].softmax(0)[:2].sum()).log()
    of_texts = -sum(float(scores[:, text].log_softmax(0)[0]) for text in (0, 1)) / 2
    made = objectives.contrastive(scores, positive)
    assert float(made) == pytest.approx((float(of_pictures) + of_texts) / 2, rel=1e-5)
    assert float(objectives.contrastive(scores, torch.zeros_like(positive))) == 0


def test_sigmoid_contrastive_and_matching_are_binary_cross_entropy():
    scores, positive = torch.randn(3, 5), torch.rand(3, 5) > 0.5
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    wanted = entropy(scores, positive.float(), reduction="sum") / 3
    assert float(objectives.sigmoid_contrastive(scores, positive)) == pytest.approx(float(wanted))
    logits, truth = torch.randn(6), torch.tensor([0, 1, 1, 0, 1, 0])
    assert float(objectives.matching(logits, truth)) == pytest.approx(
        float(entropy(logits, truth.float()))
    )


def test_a_choice_asks_only_those_for_which_something_is_right():
    scores = torch.randn(3, 4)
    positive = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]) == 1
    chance = scores.double().softmax(dim=1)
    wanted = -(chance[0, :2].sum().log() + chance[2, 3].log()) / 2
    assert float(objectives.choice(scores, positive)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(objectives.choice(scores, positive & False)) == 0


def test_an_imitation_is_least_where_both_agree():
    teacher = torch.randn(4, 6)
    wanted = torch.distributions.Categorical(logits=teacher).entropy().mean()
    own = objectives.imitation(teacher + 3.0, teacher)
    assert float(own) == pytest.approx(float(wanted), rel=1e-5)
    assert objectives.imitation(torch.randn(4, 6), teacher) > own
    assert float(objectives.imitation(torch.zeros(0, 6), torch.zeros(0, 6))) == 0
