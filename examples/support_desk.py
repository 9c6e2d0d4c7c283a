"""A mail at the support desk: what it is about decides which way the run goes, and both ways end in one reply.

    tagent run examples/support_desk.py                                           # a refund that is small enough
    tagent run examples/support_desk.py --input text="I want 900 euros back"      # one that somebody has to look at
    tagent run examples/support_desk.py --input text="It crashes when I print"    # a bug: two steps
    tagent run examples/support_desk.py --input text="I like it"                  # anything else

All are functions, so that it runs without a key. A goal with `output_schema=Literal["refund", "bug", "other"]`
in the place of `classify` would let a model decide.
"""

import re
from typing import Literal

from pydantic import BaseModel, Field

from tagent.pipeline import Pipeline, switch, when


class MailInputs(BaseModel):
    """What the pipeline is given."""

    text: str = Field(default="Please give me my 20 euros back.", description="The mail.")
    paid_at_once: float = Field(default=50.0, description="Up to how many euros nobody has to look at a refund.")


class Mail(BaseModel):
    """What a mail is about."""

    kind: Literal["refund", "bug", "other"]
    euros: float = 0.0


def classify(text: str) -> Mail:
    """Return what a mail is about, by the words in it."""
    said = text.lower()
    if "back" in said or "refund" in said:
        amount = re.search(r"\d+", said)
        return Mail(kind="refund", euros=float(amount[0]) if amount else 0.0)
    return Mail(kind="bug" if "crash" in said else "other")


def pay(classify: Mail) -> str:
    """Pay a refund."""
    return f"we have paid {classify.euros:.2f} euros back"


def look_into(classify: Mail) -> str:
    """Have somebody look at a refund."""
    return f"somebody looks at your {classify.euros:.2f} euros"


def reproduce(text: str) -> str:
    """Find out what was done before it went wrong."""
    return text.lower().partition("when ")[2] or "no idea how"


def report(reproduce: str) -> str:
    """Write the bug down."""
    return f"we have written it down ({reproduce})"


def thank() -> str:
    """Be polite."""
    return "thank you"


def reply(
    pay: str | None = None, look_into: str | None = None, report: str | None = None, thank: str | None = None
) -> str:
    """Return the reply, whichever way it came about."""
    return f"Hello, {pay or look_into or report or thank}."


pipeline = (
    Pipeline("support_desk", "Answers a mail", inputs=MailInputs)
    .step("classify", run=classify)
    .add_step(switch("classify.kind", {"refund": "is_small", "bug": "reproduce"}, default="thank", name="way"))
    .add_step(
        when("steps.classify.euros <= inputs.paid_at_once", name="is_small").then("pay").otherwise("look_into"),
    )
    .step("pay", run=pay)
    .step("look_into", run=look_into)
    .step("reproduce", run=reproduce)
    .step("report", run=report)
    .step("thank", run=thank)
    .step("reply", run=reply)
)

if __name__ == "__main__":
    from tagent import run_pipeline

    for mail in ("Please give me my 20 euros back.", "I want 900 euros back", "It crashes when I print", "I like it"):
        result = run_pipeline(pipeline, inputs={"text": mail})
        print(f"{mail:35}{result.final_output}")
