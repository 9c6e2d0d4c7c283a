"""What an agent is told besides its goal: named data and history, within a token budget."""

from collections.abc import Mapping

from tagent.task_agent.fences import as_text
from tagent.task_agent.rendering import least_characters, rendered
from tagent.tokens import CHARACTERS_PER_TOKEN, tokens_in


class EnhancedContextManager:
    """Facts and history for prompts, rendered within a token budget.

    Attributes:
        goal: What all of it is for.
        max_tokens: The budget, counted as four characters per token.

    Example:
        >>> context = EnhancedContextManager("Describe the package")
        >>> context.add_fact("name", "pydantic")
        >>> print(context.render())
        <data name="name">pydantic</data>
    """

    def __init__(self, goal: str = "", *, max_tokens: int = 16_000) -> None:
        self.goal = goal
        self.max_tokens = max_tokens
        self._facts: dict[str, object] = {}
        self._history: list[str] = []

    @property
    def facts(self) -> Mapping[str, object]:
        """Name -> value, in the order in which they were first added."""
        return self._facts

    @property
    def history(self) -> tuple[str, ...]:
        """What happened, in order."""
        return tuple(self._history)

    def add_fact(self, name: str, value: object) -> None:
        """Keep `value` under `name`, replacing an earlier one."""
        self._facts[name] = value

    def add_history(self, entry: str) -> None:
        """Append one line of what happened."""
        self._history.append(entry)

    @property
    def tokens(self) -> int:
        """How many tokens the facts and the history take when nothing is cut, tags included."""
        return tokens_in([rendered(self._texts(), self._history)])

    @property
    def least_tokens(self) -> int:
        """From which budget on every fact, and the history, is at least named.

        Example:
            >>> context = EnhancedContextManager()
            >>> context.add_fact("page", "long " * 1000)
            >>> context.render(max_tokens=context.least_tokens)
            '<data name="left out">page</data>'
        """
        return -(-least_characters(self._texts(), self._history) // CHARACTERS_PER_TOKEN)

    def render(self, about: str = "", *, max_tokens: int | None = None) -> str:
        """Return the facts, then the history, each fenced, within the budget; nothing is lost in silence.

        When all of it does not fit, the facts that fit `about` get room first, the best whole; then the
        newest history; then the other facts, small ones whole and large ones alike. What is cut says where,
        and what is left out is named at the end. Below `least_tokens` some of it is only counted.

        Args:
            about: What the prompt is about: the goal. Empty if all facts matter alike.
            max_tokens: The budget, tags, notices and separators included; None for the manager's own.

        Raises:
            FullTextSearchError: If SQLite cannot search text, and not everything fits.
        """
        room = (self.max_tokens if max_tokens is None else max_tokens) * CHARACTERS_PER_TOKEN
        return rendered(self._texts(), self._history, about=about, room=room)

    def _texts(self) -> dict[str, str]:
        return {name: as_text(value) for name, value in self._facts.items()}
