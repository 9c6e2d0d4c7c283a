"""Goals, functions and conditions as they are stored, and how today's code takes the place of what cannot be.

A text is stored as it is. Of a function only the name is, for people: it is bound again from the code.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tagent.pipeline.conditions import condition_of
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.models import Check, Dependency, DependencyType, PipelineStep, Work

Stored = Any
"""JSON values of a definition."""


class DefinitionMismatchError(PipelineError):
    """Today's code does not fit the definition that a run was started with.

    Attributes:
        pipeline: The pipeline's name.
        step: The step that does not fit, one of an inner pipeline by its path, like `outer/inner`; empty when it is
            the pipeline as a whole.
    """

    code = "pipeline.definition_mismatch"

    def __init__(self, pipeline: str, step: str, message: str) -> None:
        self.pipeline = pipeline
        self.step = step
        super().__init__(message, hint="Resume with the code it was started with, or with definition='current'.")


def function_name(function: Callable[..., object]) -> str:
    """Return what a function is called, with the class or function around it."""
    name: str = getattr(function, "__qualname__", type(function).__qualname__)
    return name


def stored_work(work: Work) -> Stored:
    """Return a goal or a function as JSON values.

    Example:
        >>> stored_work("Find it"), stored_work(len)
        ('Find it', {'function': 'len'})
    """
    return work if isinstance(work, str) else {"function": function_name(work)}


def stored_check(given: Check) -> Stored:
    """Return a condition as JSON values: its text, or the names of the functions that it asks.

    Raises:
        ConditionError: If it cannot be read.
    """
    condition = condition_of(given)
    return {"functions": list(map(function_name, condition.functions))} if condition.functions else condition.text


def absent() -> object:
    """Stand for a function that is code, where only the definition is looked at.

    Raises:
        NotImplementedError: Always: a definition alone can be looked at, not run.
    """
    raise NotImplementedError("The definition of a run holds no code.")


def outlined(stored: Stored) -> Work:
    """Return a stored work, or a stored condition, with a function that stands for each that is not there."""
    work: Work = stored if isinstance(stored, str) else absent
    return work


class Binding:
    """One step of a stored definition, on its way to the code of today.

    Args:
        pipeline: The pipeline's name.
        code: The step of today.
        path: The step's name, behind those of the steps around it: `outer/inner`.
    """

    def __init__(self, pipeline: str, code: PipelineStep, *, path: str) -> None:
        self._pipeline = pipeline
        self._code = code
        self._path = path

    def mismatch(self, message: str) -> DefinitionMismatchError:
        """Return the error that says so of the step."""
        return DefinitionMismatchError(self._pipeline, self._path, f"The step {self._path!r} {message}")

    def work(self, stored: Stored, code: Work | None, *, what: str) -> Work | None:
        """Return the stored goal, or the function of today.

        Raises:
            DefinitionMismatchError: If one is a function and the other none.
        """
        if stored is None:
            return None
        if not isinstance(stored, str):
            if not callable(code):
                raise self.mismatch(f"had a function as {what} when the run was started, and has none today.")
            return code
        if callable(code):
            raise self.mismatch(f"had a text as {what} when the run was started, and has a function today.")
        goal: str = stored
        return goal

    def check(self, stored: Stored, code: Check | None, *, what: str) -> Check | None:
        """Return the stored condition, or the one of today if it asks functions.

        Raises:
            DefinitionMismatchError: If one asks functions and the other none.
        """
        if stored is None:
            return None
        asks = code is not None and bool(condition_of(code).functions)
        if not isinstance(stored, str):
            if not asks:
                raise self.mismatch(f"had a function in {what} when the run was started, and has none today.")
            return code
        if asks:
            raise self.mismatch(f"had no function in {what} when the run was started, and has one today.")
        text: str = stored
        return text

    def branches(self, stored: Stored) -> Mapping[str, Work] | list[Work] | None:
        """Return the stored goals and the functions of today, under the stored names.

        Raises:
            DefinitionMismatchError: If a branch is a function in one and a goal in the other.
        """
        if stored is None:
            return None
        today = self._code.branches or ()
        if isinstance(stored, dict):
            known = today if isinstance(today, Mapping) else {}
            named = {name: self._branch(work, known.get(name), name) for name, work in stored.items()}
            return {name: work for name, work in named.items() if work is not None}
        listed = list(today.values()) if isinstance(today, Mapping) else list(today)
        padded = listed + [None] * (len(stored) - len(listed))
        placed = [self._branch(work, padded[at], str(at)) for at, work in enumerate(stored)]
        return [work for work in placed if work is not None]

    def _branch(self, stored: Stored, code: Work | None, name: str) -> Work | None:
        return self.work(stored, code, what=f"the branch {name!r}")

    def dependencies(self, stored: list[Stored]) -> Iterator[Dependency]:
        """Yield the stored dependencies, with the functions of today in their checks.

        Raises:
            DefinitionMismatchError: If a check asked a function and asks none today.
        """
        today: dict[str, list[Check | None]] = {
            name: [it.check for it in self._code.depends_on if isinstance(it, Dependency) and it.step == name]
            for name in {dep["step"] for dep in stored if isinstance(dep.get("check"), dict)}
        }
        for dep in stored:
            check = dep.get("check")
            if isinstance(check, dict):
                checks = today[dep["step"]]
                asking: list[Check | None] = [it for it in checks if it is not None and condition_of(it).functions]
                check = self.check(check, asking[0] if asking else None, what=f"the check of {dep['step']!r}")
                if len(asking) > 1:  # several checks of one step come in their order
                    today[dep["step"]] = asking[1:]
            yield dependency_of(dep, check)


def stored_dependency(dep: Dependency) -> dict[str, object]:
    """Return a dependency as JSON values; without what it does not have, so that older definitions stay as they are.

    Raises:
        ConditionError: If its check cannot be read.
    """
    told: dict[str, object] = {
        "step": dep.step,
        "type": dep.type.value,
        "path": dep.path,
        "wait_seconds": dep.wait_seconds,
    }
    if dep.on_skip != "run":
        told["on_skip"] = dep.on_skip
    if dep.check is not None:
        told["check"] = stored_check(dep.check)
    return told


def dependency_of(stored: Stored, check: Check | None) -> Dependency:
    """Return the dependency that is stored so.

    Raises:
        ValueError: If its type is of no known kind.
    """
    return Dependency(
        stored["step"],
        DependencyType(stored["type"]),
        path=stored["path"],
        wait_seconds=stored["wait_seconds"],
        on_skip=stored.get("on_skip", "run"),
        check=check,
    )
