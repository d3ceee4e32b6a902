"""`seesay ask`: caption a picture, or answer a question about it."""

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from seesay.commands.options import print_json, say


def ask(
    run: str,
    picture: Path,
    question: str | None = None,
    /,
    *,
    beams: Annotated[int, Parameter(validator=Number(gte=1))] = 1,
    temperature: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    top_p: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 1.0,
    max_tokens: Annotated[int, Parameter(validator=Number(gte=1))] = 96,
    seed: int = 0,
    json: bool = False,
) -> int | None:
    """Caption a picture or a video, or answer a question about it.

    Args:
        run: A run's folder or a checkpoint folder.
        picture: The picture or video file, or a folder of numbered frames.
        question: What to ask; without it, the model captions.
        beams: Beams to search with; 1 is greedy.
        temperature: Above 0, sample instead, the more freely the higher.
        top_p: When sampling, only among the likeliest tokens that make up this probability.
        max_tokens: Longest answer, its reasoning included, in tokens.
        seed: Seed of the sampling.
        json: Print the answer, its reasoning and their probabilities as one JSON object.
    """
    from seesay.commands.measure import recipe_of
    from seesay.data import images, video
    from seesay.predict import Decoding, Prompt, load
    from seesay.records import Turn

    # A bad picture is said before a model is opened.
    pictures = (picture,)
    if picture.is_dir() or picture.suffix.lower() in video.EXTENSIONS:
        pictures = video.frames(picture, recipe_of(run).data.video)
    images.load(pictures[0])
    how = Decoding(most=max_tokens, temperature=temperature, top_p=top_p, beams=beams, seed=seed)
    predictor = load(run, decoding=how)
    asked = Prompt(pictures, (Turn("user", question or ""),))
    answer = predictor.answer([asked])[0]
    if json:
        logs = answer.log_probabilities
        print_json(
            {
                "question": question,
                "answer": answer.text,
                "reasoning": answer.reasoning,
                "probability": math.exp(sum(logs)),
                "token_log_probabilities": logs,
            }
        )
    else:
        if answer.reasoning:
            say(f"reasoning: {answer.reasoning}")
        print(answer.text)
    return None
