"""Writes the diagrams that are drawn from code into the documents: `make diagrams`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tagent.pipeline.course.tables import PART_TABLE, STEP_TABLE
from tagent.task_agent.state_machine import TABLE

EXPLANATION = Path(__file__).parent / "explanation"

PAGES: Mapping[Path, Sequence[str]] = {
    EXPLANATION / "agent.md": (TABLE.mermaid(),),
    EXPLANATION / "architecture.md": (STEP_TABLE.mermaid(), PART_TABLE.mermaid()),
}
"""Page -> its state diagrams, in their order on it."""

_DRAWN = re.compile(r"```mermaid\nstateDiagram-v2.*?```", re.DOTALL)


def with_diagrams(page: str, diagrams: Sequence[str]) -> str:
    r"""Return the text of a page with its state diagrams replaced by these, one for one.

    Raises:
        ValueError: If the page has more or fewer of them.

    Example:
        >>> with_diagrams("```mermaid\nstateDiagram-v2\n    A --> B\n```", ["stateDiagram-v2\n    A --> C"])
        '```mermaid\nstateDiagram-v2\n    A --> C\n```'
    """
    if (found := len(_DRAWN.findall(page))) != len(diagrams):
        raise ValueError(f"The page has {found} state diagrams, and {len(diagrams)} are to be drawn.")
    left = iter(diagrams)
    return _DRAWN.sub(lambda _: f"```mermaid\n{next(left)}\n```", page)


def main() -> None:
    """Draw the diagrams of all pages anew."""
    for page, diagrams in PAGES.items():
        page.write_text(with_diagrams(page.read_text(encoding="utf-8"), diagrams), encoding="utf-8")


if __name__ == "__main__":
    main()
