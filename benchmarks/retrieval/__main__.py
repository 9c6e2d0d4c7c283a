"""Prints the table of the measurement and writes the figure of the documentation.

`python -m benchmarks.retrieval`; with `--no-figure` nothing is written.
"""

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.retrieval.figure import drawing
from benchmarks.retrieval.measuring import LIMIT, STYLES, Outcome, described_tokens, goals, outcomes, tools

FIGURE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "images" / "retrieval.svg"
LIMITS = (4, 8, 12, 16, 24, 32, 48, 64, 96)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--no-figure", action="store_true", help="only print the tables")
    options = parser.parse_args()
    all_tools = tools()
    for name in ("test", "development"):
        found = asyncio.run(outcomes(all_tools, goals(name)))
        print(f"{name} goals, {len(all_tools)} tools, {LIMIT} described\n\n{table(found)}\n\n{costs(found)}\n")
        missing = [outcome.goal for outcome in found if not outcome.in_prompt]
        print("Not in the prompt: " + ("; ".join(f"{goal.id} ({goal.tool})" for goal in missing) or "none") + "\n")
    print(f"All {len(all_tools)} described: {described_tokens(tuple(all_tools.values())):,.0f} tokens")
    if not options.no_figure:
        by_limit = {limit: asyncio.run(outcomes(all_tools, goals("test"), limit=limit)) for limit in LIMITS}
        FIGURE.parent.mkdir(parents=True, exist_ok=True)
        FIGURE.write_text(drawing(by_limit), encoding="utf-8")
        print(f"Figure: {FIGURE.name}")


def table(found: Sequence[Outcome]) -> str:
    """Return the shares by style, as a Markdown table."""
    lines = [
        "| Goals | | right tool first | in the first 5 | described | in the prompt | catalogue added |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for style in (*STYLES, "all"):
        some = [outcome for outcome in found if style in {outcome.goal.style, "all"}]
        ranks = [outcome.rank for outcome in some if outcome.rank is not None]
        counts = (
            ranks.count(1),
            sum(rank <= 5 for rank in ranks),
            len(ranks),
            sum(outcome.in_prompt for outcome in some),
            sum(outcome.has_catalogue for outcome in some),
        )
        lines.append(f"| {style} | {len(some)} | " + " | ".join(f"{count / len(some):.0%}" for count in counts) + " |")
    return "\n".join(lines)


def costs(found: Sequence[Outcome]) -> str:
    """Return what the selections take, in tokens and milliseconds."""
    told = []
    for has_catalogue, name in ((False, "without"), (True, "with")):
        tokens = [outcome.tokens for outcome in found if outcome.has_catalogue is has_catalogue]
        told.append(f"{statistics.fmean(tokens):,.0f} tokens {name} the catalogue" if tokens else f"none {name} it")
    seconds = sorted(outcome.seconds for outcome in found)
    milliseconds = f"{statistics.median(seconds) * 1000:.1f} ms, at most {seconds[-1] * 1000:.1f} ms"
    return f"{'; '.join(told)}; mean {statistics.fmean(o.tokens for o in found):,.0f}. `select`: {milliseconds}."


if __name__ == "__main__":
    main()
