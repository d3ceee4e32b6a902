"""Moderation: the threshold to flag at, chosen on other data, and why something was flagged."""

from collections.abc import Mapping
from dataclasses import replace

from seesay.errors import CapabilityError
from seesay.evaluate.asking import Asker, Meter
from seesay.evaluate.test import How, Reply, Test
from seesay.predict import Prompt
from seesay.tasks import moderate


def set_threshold(asker: Asker) -> None:
    """Choose where to flag, by the best F1 on the examples to learn from; 0.5 without any."""
    test = asker.test
    for example in (*test.examples, *test.dev):
        moderate.allowed(example.options, where=str(example.origin))
    if not test.dev:
        asker.notes["moderate"] = "flagged at 0.5: give other data (--dev) to choose a threshold on"
        return
    dev = Test(test.name, test.dev, How(templates=test.how.templates), seed=test.seed)
    other = Asker(
        asker.predictor,
        dev,
        asker.vectors,
        batch=asker.batch,
        meter=Meter(len(dev.examples), None),
        ways=asker.ways,
    )
    chances = [reply.chances for reply in other.first()]
    asker.threshold = moderate.threshold(chances, dev.examples)
    what = f"the best F1 on {len(dev.examples)} other examples"
    asker.notes["moderate"] = f"flagged at {asker.threshold:.3g}: {what}"


def with_reasons(asker: Asker, replies: Mapping[int, Reply]) -> dict[int, Reply]:
    """Decisions with what the model says when asked why; as they are where it cannot write."""
    examples = asker.test.examples
    prompts = [
        Prompt(examples[i].images, moderate.why(examples[i], reply.text))
        for i, reply in replies.items()
    ]
    try:
        answers = asker.predictor.answer(prompts)
    except CapabilityError:
        return dict(replies)
    said = zip(replies.items(), answers, strict=True)
    return {i: replace(reply, reasoning=answer.text) for (i, reply), answer in said}
