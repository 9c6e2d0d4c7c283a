"""A text is made shorter round by round, until it fits; each round begins with what the one before it came to.

    tagent run examples/shorten.py
    tagent run examples/shorten.py --input longest:=20    # it does not get there: the step fails
    tagent runs show RUN_ID                               # each round, with its own attempts

Kill it in the middle and resume it: the rounds that are done are not done again. A function does the work,
so that it runs without a key; a goal like "Say it in fewer words: {previous.text}" would let a model do it.
"""

from pydantic import BaseModel, Field

from tagent.pipeline import Pipeline, PipelineStep, repeat

TEXT = "Well, it is really quite a long and very wordy way of saying that tea is actually good"


class TextInputs(BaseModel):
    """What the pipeline is given."""

    text: str = Field(default=TEXT, description="What is to be made shorter.")
    longest: int = Field(default=40, description="How many characters it may have.")


class Shortened(BaseModel):
    """What a round came to."""

    text: str
    dropped: str = ""


_NEEDLESS = (
    "well,",
    "really",
    "quite",
    "very",
    "actually",
    "wordy",
    "long",
    "and",
    "a",
    "way",
    "it",
    "is",
    "of",
    "saying",
)
"""Words that can go, in this order."""


def shorten(text: str, previous: Shortened | None) -> Shortened:
    """Return the text with one word less."""
    words = (previous.text if previous else text).split()
    for needless in _NEEDLESS:
        for place, word in enumerate(words):
            if word.lower() == needless:
                return Shortened(text=" ".join([*words[:place], *words[place + 1 :]]), dropped=word)
    return Shortened(text=" ".join(words))


def publish(shorten: Shortened) -> str:
    """Return what is published."""
    return shorten.text[:1].upper() + shorten.text[1:] + "."


pipeline = (
    Pipeline("shorten", "Makes a text shorter until it fits", inputs=TextInputs)
    .add_step(
        repeat(
            PipelineStep(name="shorten", run=shorten),
            until="output.text.size() <= inputs.longest",
            max_times=12,
        )
    )
    .step("publish", run=publish)
)

if __name__ == "__main__":
    from tagent import run_pipeline

    result = run_pipeline(pipeline)
    print(f"{len(result.step_metadata['shorten']['parts'])} rounds: {result.final_output}")
