"""A survey that finds out what is to be done while it runs: the steps are made of what its first one finds.

    python examples/survey.py

Without a key: the functions of the steps do all of it. The first step lists the sources, and adds a step for each, one
that compares them, and, if one of them is out of date, one that asks for a new copy. A crash in between loses none of
them: they are in the run's journal.
"""

from pydantic import BaseModel

from tagent import run_pipeline
from tagent.pipeline import Pipeline, PipelineResult, StepContext

LIBRARY = {
    "atlas": {"year": 2025, "rivers": 165},
    "almanac": {"year": 2011, "rivers": 161},
    "census": {"year": 2024, "rivers": 165},
}


class Finding(BaseModel):
    """What one source says."""

    source: str
    year: int
    rivers: int


def sources(context: StepContext) -> list[str]:
    """List the sources, and have each of them read."""
    names = sorted(LIBRARY)
    reads = [f"read_{name}" for name in names]
    for name, read in zip(names, reads, strict=True):
        context.plan.step(read, run=read_source, depends_on=["sources"], max_retries=1)
        if LIBRARY[name]["year"] < 2020:
            context.plan.step(f"renew_{name}", run=renew, depends_on=[read])
            context.plan.depend("report", on=f"renew_{name}")
    context.plan.step("compare", run=compare, depends_on=reads).depend("report", on="compare")
    return names


def read_source(context: StepContext) -> Finding:
    """Read the source that the step is named after."""
    name = context.step.removeprefix("read_")
    return Finding(source=name, **LIBRARY[name])


def renew(context: StepContext) -> str:
    """Ask for a new copy of a source."""
    return f"asked for a new {context.step.removeprefix('renew_')}"


def compare(**findings: object) -> dict[int, list[str]]:
    """Return what the sources say, and which of them say so."""
    said: dict[int, list[str]] = {}
    for finding in map(Finding.model_validate, findings.values()):
        said.setdefault(finding.rivers, []).append(finding.source)
    return said


def report(sources: list[str], **others: object) -> str:
    """Tell what came of it."""
    asked = [text for name, text in others.items() if name.startswith("renew_")]
    return f"{len(sources)} sources: {others['compare']}; {', '.join(map(str, asked)) or 'all up to date'}"


pipeline = Pipeline("survey", "How many rivers there are").step("sources", run=sources).step("report", run=report)


def main() -> PipelineResult:
    """Run it and return the result."""
    result = run_pipeline(pipeline)
    for name, metadata in result.step_metadata.items():
        print(f"{name:<14} {metadata['status']}")
    print(result.final_output)
    return result


if __name__ == "__main__":
    main()
