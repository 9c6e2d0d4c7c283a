"""Sequential: step after step, each with what the one before it has made.

    python examples/patterns/sequential.py
    tagent run examples/patterns/sequential.py --input text="Row, row, row your boat"

Nothing says that `counts` comes behind `words`: its parameter of that name does.
"""

from collections import Counter

from tagent.pipeline import Pipeline


def split_words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return [word.strip(".,;:!?").lower() for word in text.split()]


def count_words(words: list[str]) -> dict[str, int]:
    """Return how often each word is there, the most frequent first."""
    return dict(Counter(words).most_common())


def write_report(counts: dict[str, int]) -> str:
    """Return one line about the most frequent word."""
    word, times = next(iter(counts.items()))
    return f"The most frequent of {len(counts)} words is {word!r}: it is there {times} times."


pipeline = (
    Pipeline("sequential")
    .step("words", run=split_words)
    .step("counts", run=count_words)
    .step("report", run=write_report)
)

if __name__ == "__main__":
    from tagent import run_agent

    result = run_agent(pipeline, inputs={"text": "Row, row, row your boat, gently down the stream"})
    print(" -> ".join(result.step_outputs))
    print(result.final_output)
