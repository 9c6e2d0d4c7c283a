"""Use an output again: the second run reads what the first one has worked out, and pays for what is new.

    python examples/reuse.py

`summaries` runs for each page. The second time one page is new, so one is worked on; the others are there already.
"""

from tempfile import TemporaryDirectory

from tagent import run_pipeline
from tagent.pipeline import Pipeline, PipelineResult


def summarize(item: str) -> str:
    """Return the first words of a page; something dear, in a real program."""
    print(f"  works on {item[:12]!r}")
    return " ".join(item.split()[:2])


def join(summaries: list[str]) -> str:
    """Return all of them in one line."""
    return "; ".join(summaries)


pipeline = (
    Pipeline("digest")
    .step("pages", run=lambda texts: texts)
    .step("summaries", run=summarize, for_each="pages", cache="forever")
    .step("digest", run=join)
)


def show(result: PipelineResult) -> None:
    """Print what a run gave, and how many parts of it were there already."""
    parts = result.step_metadata["summaries"]["parts"].values()
    print(f"  {result.final_output}  ({sum(part['cached'] for part in parts)} of {len(parts)} from the cache)")


def main() -> None:
    """Run it twice, the second time with one page more."""
    pages = ["Seven hills stand by the river.", "The tram is yellow."]
    with TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/runs.db"
        for texts in (pages, ["The tower is old.", *pages]):
            print(f"{len(texts)} pages")
            show(run_pipeline(pipeline, inputs={"texts": texts}, store=store))


if __name__ == "__main__":
    main()
