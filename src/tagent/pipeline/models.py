"""What people write: a pipeline, which is its steps and what all of them share. `steps` holds what one step is."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, Literal, Self, Unpack

from pydantic import BaseModel

from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.exceptions import nearest
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.hooks import AfterStep, BeforeStep
from tagent.pipeline.kinds import DependencyType, ExecutionMode, RunStatus, StepStatus
from tagent.pipeline.result import PipelineResult
from tagent.pipeline.steps import (
    CacheUse,
    Check,
    Dependency,
    Fallback,
    IfNotReached,
    MemoryUse,
    PipelineStep,
    StepOptions,
    ToolLike,
    Work,
)
from tagent.pipeline.triggers import Trigger

OnFailure = Literal["continue", "fail_fast", "rollback"]
"""What a run does when a step has failed that is not optional."""

OnBudget = Literal["fail", "wait"]
"""What a run does when its budget leaves no room for a model call."""

__all__ = [
    "CacheUse", "Check", "Dependency", "DependencyType", "ExecutionMode", "Fallback", "IfNotReached", "MemoryUse",
    "OnBudget", "OnFailure", "Pipeline", "PipelineResult", "PipelineStep", "RunStatus", "StepOptions", "StepStatus",
    "ToolLike", "Work",
]  # fmt: skip


_INSTEAD: Mapping[str, str] = {
    "fallback": " What takes its place if it fails is said by on_error=.",
    "on_failure": " What takes its place is said by on_error=, what the run does by Pipeline(..., on_failure=...).",
}
"""What to write in the place of options that have another name here, though not a similar one."""


def _several(given: object) -> list[Any]:
    """Return what is given as a list: of None nothing, of a single thing that; a text is one, not its letters."""
    if given is None:
        return []
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def _copied(step: PipelineStep) -> PipelineStep:
    """Return a copy of a step, with lists of its own of what people add to."""
    copied = replace(step)
    for name in ("constraints", "depends_on"):
        if isinstance(given := getattr(step, name), list):
            setattr(copied, name, list(given))
    return copied


def _router_kind(step: PipelineStep) -> str:
    """Return what a step is called that only finds out which steps are to run; empty for any other."""
    if step.when is not None:
        return "when"
    return "switch" if step.switch_on is not None else ""


class Pipeline:
    """Steps, what they depend on, and what all of them share.

    Attributes:
        name: Its name.
        description: What it is for; agents are told.
        steps: Its steps, in definition order.
        global_constraints: Rules for every agent step.
        shared_context: The first values of a run's shared memory.
        inputs: A Pydantic model of what a run is given; None accepts whatever the steps ask for.
        default_mode: The execution mode of steps that `step` adds without naming one.
        final: The step whose output is the run's `final_output`; None takes the last one on which no
            other depends.
        config: Settings for its runs, over those of the environment and of `TAgentConfig`.
        memory: What steps remember unless they say it themselves: `pipeline` from run to run, `run` within one.
        spaces: The memory spaces that it shares with other pipelines, by name.
        triggers: What starts its runs while a worker lives: `on_event(...)` and `on_schedule(...)`.
        on_failure: What a run does when a step has failed: `continue` with all that does not depend on it, `fail_fast`
            and stop the others, or `rollback`: stop them, and undo what completed by its `compensate`.
        budget: What each run may spend.
        on_budget: What a run does when its budget leaves no room for a model call: `fail` the step, or `wait` until
            it is resumed with a larger one.
        before_step: Called before each attempt at a step.
        after_step: Called when an attempt has ended.

    Made from another pipeline it is a copy, with what else is given added or instead.

    Example:
        >>> pipeline = Pipeline("report").step("facts", run=lambda: {"n": 2})
        >>> [step.name for step in pipeline.step("text", "Describe {facts.n}").steps]
        ['facts', 'text']
    """

    def __init__(  # noqa: PLR0913 - what a pipeline has, each by name
        self,
        name: "str | Pipeline",
        description: str = "",
        *,
        steps: Sequence[PipelineStep] = (),
        global_constraints: Sequence[str] = (),
        shared_context: Mapping[str, object] | None = None,
        inputs: type[BaseModel] | None = None,
        default_mode: ExecutionMode | None = None,
        final: str | None = None,
        config: TAgentConfig | Mapping[str, object] | None = None,
        memory: MemoryUse | None = None,
        spaces: Sequence[str] = (),
        triggers: Sequence[Trigger] | Trigger | None = (),
        on_failure: OnFailure | None = None,
        budget: Budget | Mapping[str, object] | None = None,
        on_budget: OnBudget | None = None,
        before_step: Sequence[BeforeStep] | BeforeStep | None = (),
        after_step: Sequence[AfterStep] | AfterStep | None = (),
    ) -> None:
        other = name if isinstance(name, Pipeline) else None
        self.name: str = name.name if isinstance(name, Pipeline) else name
        self.description: str = description or (other.description if other else "")
        self.steps: list[PipelineStep] = [_copied(step) for step in other.steps] if other else []
        self.global_constraints: list[str] = [
            *(other.global_constraints if other else ()),
            *_several(global_constraints),
        ]
        self.shared_context: dict[str, Any] = {**(other.shared_context if other else {}), **(shared_context or {})}
        self.inputs: type[BaseModel] | None = inputs or (other.inputs if other else None)
        self.default_mode: ExecutionMode = default_mode or (other.default_mode if other else ExecutionMode.SERIAL)
        self.final: str | None = final or (other.final if other else None)
        self.config: TAgentConfig | Mapping[str, object] | None = other.config if other and config is None else config
        self.memory: MemoryUse = memory or (other.memory if other else "run")
        self.spaces: list[str] = list(dict.fromkeys([*(other.spaces if other else ()), *_several(spaces)]))
        self.triggers: list[Trigger] = [*(other.triggers if other else ()), *_several(triggers)]
        self.on_failure: OnFailure = on_failure or (other.on_failure if other else "continue")
        self.budget: Budget | Mapping[str, object] | None = other.budget if other and budget is None else budget
        self.on_budget: OnBudget = on_budget or (other.on_budget if other else "fail")
        self.before_step: list[BeforeStep] = [*(other.before_step if other else ()), *_several(before_step)]
        self.after_step: list[AfterStep] = [*(other.after_step if other else ()), *_several(after_step)]
        for step in _several(steps):
            self.add_step(step)

    def add_step(self, step: PipelineStep) -> Self:
        """Append `step` and return the pipeline; a step without id gets the next one.

        A `when` or a `switch` without a name is called by its place, from 1: `when_3`.

        Raises:
            PipelineError: If it is no step.

        Example:
            >>> Pipeline("report").add_step(PipelineStep(name="facts", goal="Find facts"))
            Pipeline('report', 1 steps)
        """
        given: object = step
        if not isinstance(given, PipelineStep):
            told = f"The pipeline {self.name!r} cannot have a {type(given).__name__} as a step."
            raise PipelineError(told, hint="Write PipelineStep(name=..., goal=...), or call step(name, goal).")
        with suppress(ValueError, TypeError):  # validation names an unknown mode
            step.execution_mode = ExecutionMode(step.execution_mode)
        self.steps.append(step)
        if not step.id:
            step.id = f"step_{len(self.steps)}"
        if not step.name and (kind := _router_kind(step)):
            step.name = f"{kind}_{len(self.steps)}"
        return self

    def step(self, name: str, goal: str | None = None, **options: Unpack[StepOptions]) -> Self:
        """Append a step and return the pipeline, for writing steps one behind the other.

        Args:
            name: Its name.
            goal: What an agent is to reach; leave it out when `run` gives a function.
            options: The other fields of `PipelineStep`, which describes them.

        Raises:
            PipelineError: If an option is unknown; the nearest one is suggested.
        """
        known = {field.name for field in fields(PipelineStep)}
        for option in options:
            if option not in known:
                suggestion = _INSTEAD.get(option) or nearest(option, known)
                raise PipelineError(f"step({name!r}) has no option {option!r}.{suggestion}")
        options.setdefault("execution_mode", self.default_mode)
        return self.add_step(PipelineStep(name=name, goal=goal, **options))

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, {len(self.steps)} steps)"
