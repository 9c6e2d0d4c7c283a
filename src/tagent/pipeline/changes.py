"""What a running step changes about steps that have not started. Plain JSON values, committed with its success."""

from collections.abc import Iterable, Mapping
from dataclasses import field

from tagent.values import value


@value
class Change:
    """A change of a run's steps.

    Attributes:
        added: The new steps, as they are stored in a definition.
        linked: New dependencies: `{"step": who depends, "on": the dependency as it is stored}`.
        unlinked: Dependencies that are no more: (who depended, on which step).
        enabled: Step name -> whether the run has it from now on.
    """

    added: tuple[Mapping[str, object], ...] = ()
    linked: tuple[Mapping[str, object], ...] = ()
    unlinked: tuple[tuple[str, str], ...] = ()
    enabled: Mapping[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.added or self.linked or self.unlinked or self.enabled)


@value
class ChangeBy:
    """A change that counts, and who made it: a step, or a part of it."""

    step: str
    part: str
    change: Change


def added_by(changes: Iterable[ChangeBy]) -> dict[str, str]:
    """Return the name of each step that was added -> the step that added it."""
    return {str(spec["name"]): by.step for by in changes for spec in by.change.added}


def events_awaited(change: Change) -> set[str]:
    """Return the names of the steps that a change adds and that do nothing but wait for an event.

    Example:
        >>> sorted(events_awaited(Change(({"name": "paid", "wait_for": {"pattern": "orders.paid"}}, {"name": "b"}))))
        ['paid']
    """
    return {str(spec["name"]) for spec in change.added if spec.get("wait_for")}


def told_change(change: Change) -> str:
    """Return what changes, for people.

    Example:
        >>> told_change(Change(({"name": "b"},), ({"step": "c", "on": {"step": "b"}},), (("c", "a"),), {"d": False}))
        'adds b; c waits for b; c does not wait for a; leaves out d'
    """
    told = [f"adds {', '.join(str(spec['name']) for spec in change.added)}"] if change.added else []
    told += [f"{link['step']} waits for {_source(link['on'])}" for link in change.linked]
    told += [f"{step} does not wait for {on}" for step, on in change.unlinked]
    told += [f"{'enables' if is_enabled else 'leaves out'} {step}" for step, is_enabled in change.enabled.items()]
    return "; ".join(told)


def _source(dependency: object) -> object:
    return dependency["step"] if isinstance(dependency, Mapping) else dependency
