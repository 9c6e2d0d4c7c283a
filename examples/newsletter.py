"""A newsletter whose end is done again: the interviews took long, and only the text is to be another one.

    tagent run examples/newsletter.py                                               # all of it
    tagent run examples/newsletter.py --start-from draft --from-run RUN_ID --input tone=short
    tagent run examples/newsletter.py --only draft --output figures='{"readers": 9}' --output interviews='["Fine."]'
    tagent runs show RUN_ID                                                         # which outputs were given, by whom

    python examples/newsletter.py                                                   # the same in code

All steps are functions, so that it runs without a key.
"""

from typing import Literal

from pydantic import BaseModel

from tagent import run_pipeline
from tagent.pipeline import ExecutionMode, Pipeline, SelectionError


class LetterInputs(BaseModel):
    """What the newsletter is like."""

    month: str = "November"
    tone: Literal["long", "short"] = "long"


class Figures(BaseModel):
    """What is counted."""

    readers: int


def figures() -> Figures:
    """Return what was counted this month; imagine a slow database."""
    return Figures(readers=12_400)


def interviews(month: str) -> list[str]:
    """Return what readers said; imagine an afternoon on the telephone."""
    return [f"{month} was the best issue so far.", "More recipes, please."]


def draft(month: str, tone: str, figures: Figures, interviews: list[str]) -> str:
    """Return the text."""
    told = " ".join(interviews) if tone == "long" else interviews[0]
    return f"{month}: {figures.readers:,} readers. {told}"


def layout(draft: str) -> str:
    """Return the page."""
    return f"<p>{draft}</p>"


pipeline = (
    Pipeline("newsletter", inputs=LetterInputs, default_mode=ExecutionMode.CONCURRENT)
    .step("figures", run=figures)
    .step("interviews", run=interviews)
    .step("draft", run=draft)
    .step("layout", run=layout)
)

if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        store = {"store": f"file:///{folder}"}
        first = run_pipeline(pipeline, store)
        print(first.final_output)

        shorter = run_pipeline(pipeline, store, start_from="draft", from_run=first.run_id, inputs={"tone": "short"})
        print(shorter.final_output)
        print(shorter.explain())

        corrected = run_pipeline(pipeline, store, from_run=first.run_id, outputs={"figures": {"readers": 12_401}})
        print(corrected.final_output)

        try:
            run_pipeline(pipeline, store, only=["draft", "layot"])
        except SelectionError as error:
            print(error.problems)
        try:
            run_pipeline(pipeline, store, only=["draft"], outputs={"figures": {"readers": "many"}})
        except SelectionError as error:
            print(*error.problems, sep="\n")
