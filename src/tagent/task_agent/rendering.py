"""Facts and history -> the text of a prompt, within a number of characters. Pure; it never drops anything silently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tagent.task_agent.fences import defused, fair_shares, fenced
from tagent.task_agent.retrieval.ranking import TextIndex

HISTORY = "history"
LEFT_OUT = "left out"

LEAST_SHOWN = 40
"""Characters of a cut text below which it is rather left out: a few words mislead more than they tell."""

RELEVANT_SHARE = 0.75
"""Of the room, what relevant facts may take while others need it too. So one huge fact cannot push out all others."""

NAME_WEIGHTS = (2.0, 1.0)
"""What a match counts in a fact's name and in its text."""

_SEPARATOR = 1
_NAMES_SEPARATOR = ", "
_COUNT_LENGTH = len(" and 1000000000 more")


def rendered(facts: Mapping[str, str], history: Sequence[str], *, about: str = "", room: int | None = None) -> str:
    """Return the facts, then the history, each fenced, in at most `room` characters.

    Args:
        facts: Name -> text.
        history: What happened, the oldest first.
        about: What relevant facts have words in common with.
        room: In characters, tags, notices and separators included; None for no limit.
    """
    entries = _entries(facts, history)
    whole = "\n".join(entry.whole for entry in entries)
    if room is None or len(whole) <= room:
        return whole
    relevant = _relevant(facts, about) if about else []
    others = [number for number in range(len(facts)) if number not in relevant]
    past = [len(facts)] if history else []
    page = _Page.of(entries, [*relevant, *past, *others], room)
    if page is None:
        return ""
    page.fill_in_order(relevant, max(int(page.left * RELEVANT_SHARE), page.left - page.needs([*past, *others])))
    page.fill_in_order(past, max(page.left // 2, page.left - page.needs(others)))
    page.fill_fairly(others)
    return page.text()


def least_characters(facts: Mapping[str, str], history: Sequence[str]) -> int:
    """Return in how many characters all of it is whole, or at least all names are told."""
    entries = _entries(facts, history)
    whole = sum(len(entry.whole) + _SEPARATOR for entry in entries) - _SEPARATOR
    return max(min(whole, _shell(LEFT_OUT) + sum(entry.name_length for entry in entries)), 0)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A fact, or the history, which has lines and is cut from its beginning."""

    name: str
    text: str
    lines: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        return fenced(self.name, self.text)

    @property
    def name_length(self) -> int:
        return len(defused(self.name)) + len(_NAMES_SEPARATOR)

    def within(self, room: int) -> str:
        """Return as much of it as fits into `room` characters, fenced; empty if that is not worth showing."""
        whole = self.whole
        if len(whole) <= room:
            return whole
        return _newest(self.lines, room) if self.lines else _cut(self.name, self.text, room)


@dataclass(slots=True)
class _Page:
    """What is shown so far. Room to name every entry is kept, and comes free when the entry is shown.

    Attributes:
        entries: All entries, in the order in which they are shown.
        named: The numbers of those that are named if they are not shown; the others are only counted.
        left: Characters still free.
    """

    entries: Sequence[_Entry]
    named: frozenset[int]
    left: int
    shown: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Sequence[_Entry], by_importance: Sequence[int], room: int) -> "_Page | None":
        """Return an empty page of `room` characters; None if not even a count of the entries fits."""
        left = room - _shell(LEFT_OUT) - sum(entry.name_length for entry in entries)
        if left >= 0:
            return cls(entries, frozenset(by_importance), left)
        # More names than room: half of it goes to names, of the most important entries; the rest is counted.
        left = room - _shell(LEFT_OUT) - _COUNT_LENGTH
        if left < 0:
            return None
        named: list[int] = []
        for_names = left // 2
        for number in by_importance:
            for_names -= entries[number].name_length
            if for_names < 0:
                break
            named.append(number)
        return cls(entries, frozenset(named), left - sum(entries[number].name_length for number in named))

    def need(self, number: int) -> int:
        """Return what showing an entry whole takes, beyond the room that naming it takes."""
        return len(self.entries[number].whole) + _SEPARATOR - self._kept_for(number)

    def needs(self, numbers: Sequence[int]) -> int:
        return sum(map(self.need, numbers))

    def fill_in_order(self, numbers: Sequence[int], room: int) -> None:
        """Show entries, the first ones first. One that does not fit leaves half of the room to those after it."""
        shares: dict[int, int] = {}
        free = min(room, self.left)
        for number in numbers:
            need = self.need(number)
            shares[number] = need if need <= free else free // 2
            free -= shares[number]
        for number in numbers:
            more = min(self.need(number) - shares[number], free)
            free -= more
            self._show(number, shares[number] + more)

    def fill_fairly(self, numbers: Sequence[int]) -> None:
        """Show entries, small ones whole and large ones alike; if they are too many, the first ones."""
        shown = [number for number in numbers if number in self.named]
        needs = {str(number): self.need(number) for number in shown}
        while True:
            shares = fair_shares({str(number): needs[str(number)] for number in shown}, max(self.left, 0))
            squeezed = [
                number for number in shown if shares[str(number)] < min(needs[str(number)], self._least(number))
            ]
            if not squeezed:
                break
            dropped = set(squeezed[len(squeezed) // 2 :])
            shown = [number for number in shown if number not in dropped]
        for number in shown:
            self._show(number, shares[str(number)])

    def text(self) -> str:
        """Return the page: what is shown, then what is left out."""
        blocks = [self.shown[number] for number in sorted(self.shown)]
        missing = [number for number in range(len(self.entries)) if number not in self.shown]
        if missing:
            names = _NAMES_SEPARATOR.join(self.entries[number].name for number in missing if number in self.named)
            counted = sum(number not in self.named for number in missing)
            more = f"{' and ' if names else ''}{counted} more" if counted else ""
            blocks.append(fenced(LEFT_OUT, names + more))
        return "\n".join(blocks)

    def _kept_for(self, number: int) -> int:
        return self.entries[number].name_length if number in self.named else 0

    def _least(self, number: int) -> int:
        entry = self.entries[number]
        return _shell(entry.name) + _notice(entry.text) + LEAST_SHOWN + _SEPARATOR - self._kept_for(number)

    def _show(self, number: int, room: int) -> None:
        block = self.entries[number].within(room + self._kept_for(number) - _SEPARATOR)
        if block:
            self.shown[number] = block
            self.left -= len(block) + _SEPARATOR - self._kept_for(number)


def _entries(facts: Mapping[str, str], history: Sequence[str]) -> list[_Entry]:
    entries = [_Entry(name, text) for name, text in facts.items()]
    return [*entries, _Entry(HISTORY, "\n".join(history), tuple(history))] if history else entries


def _relevant(facts: Mapping[str, str], about: str) -> list[int]:
    """Return the numbers of the facts that have words in common with `about`, the best first."""
    return [number for number, _ in TextIndex(tuple(facts.items()), weights=NAME_WEIGHTS).ranked(about)]


def _shell(name: str) -> int:
    return len(fenced(name, ""))


def _notice(text: str) -> int:
    """Return how long the notice of a cut is at most."""
    return len(f"\n[cut here: {len(text)} of {len(text)} characters shown]")


def _cut(name: str, text: str, room: int) -> str:
    """Return the beginning of `text`, fenced, in at most `room` characters; empty below `LEAST_SHOWN`."""
    length = room - _shell(name) - _notice(text)
    while length >= LEAST_SHOWN:
        block = fenced(name, text, max_characters=length)
        if len(block) <= room:
            return block
        length -= len(block) - room  # what was defused made it longer
    return ""


def _newest(lines: Sequence[str], room: int) -> str:
    """Return the newest of `lines` that fit into `room` characters, fenced; or the newest one, cut."""
    used = _shell(HISTORY) + len(_earlier(len(lines), len(lines)))
    kept = 0
    for line in reversed(lines):
        used += len(defused(line)) + _SEPARATOR
        if used > room:
            break
        kept += 1
    while kept:
        block = fenced(HISTORY, "\n".join([_earlier(len(lines) - kept, len(lines)), *lines[-kept:]]))
        if len(block) <= room:
            return block
        kept -= 1  # two lines together looked like a closing tag, which was defused
    return _cut(HISTORY, "\n".join([_earlier(len(lines) - 1, len(lines)), lines[-1]]), room)


def _earlier(missing: int, of: int) -> str:
    return f"[the first {missing} of {of} entries are left out]"
