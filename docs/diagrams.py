"""Writes the diagrams that are drawn from code into the documents: `make diagrams`."""

import re
from pathlib import Path

from tagent.task_agent.state_machine import TABLE

PAGE = Path(__file__).parent / "explanation" / "agent.md"


def main() -> None:
    """Replace the state diagram of the agent's page by that of its table."""
    page = PAGE.read_text(encoding="utf-8")
    drawn = re.sub(r"(?s)```mermaid\nstateDiagram-v2.*?```", f"```mermaid\n{TABLE.mermaid()}\n```", page)
    PAGE.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
