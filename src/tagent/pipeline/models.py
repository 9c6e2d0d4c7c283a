"""What people write: a pipeline, its steps, and how they depend on each other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, Literal, Self, TypedDict, Unpack

from pydantic import BaseModel

from tagent.budget import Budget
from tagent.circuit import CircuitPolicy
from tagent.config import TAgentConfig
from tagent.exceptions import nearest
from tagent.pipeline.approval import Approval, ApprovalOf
from tagent.pipeline.awaited import Event
from tagent.pipeline.conditions import Condition
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.hooks import AfterStep, BeforeStep
from tagent.pipeline.kinds import DependencyType, ExecutionMode, RunStatus, StepStatus
from tagent.pipeline.result import PipelineResult
from tagent.pipeline.triggers import Trigger
from tagent.ports.language_model import LanguageModel
from tagent.ports.toolsets import MCPServer
from tagent.retries import RetryPolicy
from tagent.task_agent.foreign import declared_output
from tagent.task_agent.tools.tool import Tool

ToolLike = Callable[..., object] | Tool | MCPServer

MemoryUse = Literal["run", "pipeline"]
"""Which memory steps use."""

OnFailure = Literal["continue", "fail_fast", "rollback"]
"""What a run does when a step has failed that is not optional."""

OnBudget = Literal["fail", "wait"]
"""What a run does when its budget leaves no room for a model call."""

Check = str | Condition | Callable[..., object]
"""A condition: as text, as an object, or as a function whose parameters are filled by name."""

Work = str | Callable[..., object]
"""A goal, or a function whose parameters are filled by name."""

CacheUse = Literal["run", "forever"] | float | timedelta
"""How long an output may be used again: within its run, for ever, or for so many seconds."""

IfNotReached = Literal["fail", "keep"]
"""What becomes of a step whose rounds are used up before what it is repeated for is reached."""

__all__ = [
    "CacheUse", "Check", "Dependency", "DependencyType", "ExecutionMode", "Fallback", "IfNotReached", "MemoryUse",
    "OnBudget", "OnFailure", "Pipeline", "PipelineResult", "PipelineStep", "RunStatus", "StepOptions", "StepStatus",
    "ToolLike", "Work",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency that says more than a name.

    Attributes:
        step: The step depended on.
        type: What is needed of it.
        path: For DATA: what its output must hold, like `items[0].price`; empty for the whole output.
        wait_seconds: For SOFT: how long to wait at most, from when all else is there; None waits until it is settled.
        on_skip: For HARD: what becomes of this step if that one was left out by its own condition.
        check: For VALIDATION: what its `output` must fulfil; None asks for a field `valid`, `passed` or `approved`
            that is true.

    Example:
        >>> from tagent import run_pipeline
        >>> pipeline = Pipeline("p").step("search", run=lambda: {"hits": []})
        >>> first_hit = Dependency("search", DependencyType.DATA, path="hits[0]")
        >>> result = run_pipeline(pipeline.step("read", run=lambda search: search, depends_on=[first_hit]))
        >>> result.step_metadata["read"]["code"]
        'dependency_unmet'
    """

    step: str
    type: DependencyType = DependencyType.HARD
    path: str = field(default="", kw_only=True)
    wait_seconds: float | None = field(default=None, kw_only=True)
    on_skip: Literal["run", "skip"] = field(default="run", kw_only=True)
    check: Check | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        kind: object = self.type
        if isinstance(kind, str) and not isinstance(kind, DependencyType):
            with suppress(ValueError):  # validation names an unknown type
                object.__setattr__(self, "type", DependencyType(kind))


@dataclass(frozen=True, slots=True)
class Fallback:
    """What takes the place of a step that has failed for good.

    Attributes:
        step: A step that runs only then; what it gives is the output of the failed one.
        output: What the output is instead, where no step is named.

    Example:
        >>> from tagent import run_pipeline
        >>> pipeline = Pipeline("p").step("rate", run=lambda: 1 / 0, max_retries=0, on_error=Fallback(output=1.0))
        >>> result = run_pipeline(pipeline)
        >>> result.final_output, result.step_metadata["rate"]["substituted_by"]
        (1.0, 'default')
    """

    step: str = ""
    output: object = field(default=None, kw_only=True)


_ABOUT_OTHERS = (ExecutionMode.SERIAL, ExecutionMode.CONCURRENT)
"""The modes that say when a step may run beside others. One with parts runs them at once, whatever is said."""


@dataclass(slots=True)
class PipelineStep:
    """One unit of a pipeline: a goal for an agent, a function, an event to wait for, or a pipeline of its own.

    Attributes:
        id: A label, `step_1` and so on when left empty. Everything else knows a step by its name.
        name: Its name, unique in the pipeline.
        goal: What an agent is to reach. `{name}` and `{name.path}` are replaced where the first word
            is an input or a step.
        constraints: Rules for the agent, placeholders as in the goal.
        depends_on: The steps that must be done before: names, or `Dependency` values.
        execution_mode: When it may run beside others.
        timeout: Seconds for one attempt; None means without limit.
        retry_count: A label of the definition. How often a run tried is in its `step_metadata`.
        max_retries: How many attempts may follow a failed first one, from 0.
        tools_filter: The names of the tools that the agent may use; None means all, empty means none.
        output_schema: What the output must be, a Pydantic model or any type that Pydantic can check.
        run: The function to call instead of an agent, sync or async. Its parameters are filled by
            name: a step's output, an input, or a `StepContext`.
        agent: Who works on the goal instead of an agent of ours: a `pydantic_ai.Agent`, or an async function that
            takes the prompt, and a `ToolContext` if it has a parameter of this type. Its own type of output holds
            where `output_schema` is left out.
        wait_for: What the step waits for instead of working: a message, `event(...)` or the pattern of its topic,
            that is sent after the run began. What the message says is its output; `timeout` is how long it waits.
        pipeline: The pipeline that the step runs as its work; what that comes to is its output.
        inputs: What that pipeline is given: input name -> path, like `order.id`, or a function whose parameters are
            filled by name and that returns them all. None fills its inputs by name, as parameters are.
        when: The condition that the step is there to judge; it gives the route `then` or `otherwise`. See `when`.
        switch_on: The path whose value names the route to take. See `switch`.
        routes: Route -> the steps that run only if the step's output names it; with `default` for any other output.
        until: Have the work done again, round by round, until this holds of its `output`. See `repeat`.
        max_times: How many rounds there are at most, from 1.
        if_not_reached: Whether the step fails when the last round did not reach `until`, or keeps what that gave.
        read_data: Paths like `facts.version`: what the agent is told of earlier outputs, instead of
            the whole outputs of its dependencies.
        tools: Functions that the agent may use besides those of the run, and servers of tools.
        retry: How long to wait between attempts.
        model: The model for this step.
        config: Other settings for this step.
        enabled: Whether the run has the step at all: a condition of the run's inputs, or just that.
        condition: What must hold when its dependencies are settled; else the step is skipped. A CONDITIONAL step
            without one asks the model whether those of its constraints hold that say when it is to be done.
        branches: Goals or functions that run at once, by name or in a list; they make the step PARALLEL_MERGE.
        for_each: The path of a list, like `search.items`; the goal or the function runs for each of its items, at once,
            and knows it as `item`, and its place from 0 as `index`. It makes the step PARALLEL_MERGE too.
        merge: What becomes of the outputs of the parts: a `list` in their order (the default of `for_each`), a `dict`
            by name (that of branches), what a function makes of it, or any other text: a goal for the model.
        item_schema: What the output of each part must be; None takes it from `output_schema`, where that is a list
            or a dict of something.
        max_concurrency: How many parts run at once, from 1.
        min_success: A count (int) of how many parts must succeed, from 0, or a share (float) of them, up to 1.0: `1`
            means one and `1.0` all. None means all.
        optional: Whether the run is complete without it: those that depend on it go on without its output.
        on_error: What takes its place if it fails for good: a step's name, or a `Fallback`.
        compensate: What undoes its effects when a run that is to `rollback` fails: a function or a goal.
        circuit: When it is left alone for a while, because it failed again and again, in whichever run of this process.
        approval: What somebody has to say yes to: `start` (or True) before it starts, `output` before its output, and
            what the step itself learned, saved, wrote and sent, counts, or an `Approval` that says more. Meanwhile the
            run waits durably. Its parts and the steps inside it are not held back by `output`.
        cache: Whether its output is used again where it has the same work, inputs, model and tools: within the `run`,
            `forever`, or for so many seconds.
        budget: What it may spend.
        memory: `pipeline` remembers from run to run: what the step learns, saves and comes to is kept in the
            pipeline's memory, and its agent is told what of that fits its goal. `run` forgets it with the run.
            None leaves it to the pipeline.

    Example:
        >>> step = PipelineStep(name="text", goal="Describe {facts.name}", output_schema=str, timeout=60, max_retries=1)
        >>> Pipeline("report", steps=[step]).steps[0].id
        'step_1'
    """

    id: str = ""
    name: str = ""
    goal: str | None = None
    constraints: Sequence[str] = ()
    depends_on: Sequence[str | Dependency] = ()
    execution_mode: ExecutionMode = ExecutionMode.SERIAL
    timeout: float | None = None
    retry_count: int = 0
    max_retries: int = 3
    tools_filter: Sequence[str] | None = None
    output_schema: object = None
    run: Callable[..., object] | None = None
    agent: object = None
    wait_for: str | Event | None = None
    pipeline: "Pipeline | None" = None
    inputs: Mapping[str, str] | Callable[..., object] | None = None
    when: Check | None = None
    switch_on: str | None = None
    routes: Mapping[str, str | Sequence[str]] | None = None
    until: Check | None = None
    max_times: int | None = None
    if_not_reached: IfNotReached = "fail"
    read_data: Sequence[str] = ()
    tools: Sequence[ToolLike] = ()
    retry: RetryPolicy = RetryPolicy()
    model: str | LanguageModel | None = None
    config: TAgentConfig | Mapping[str, object] | None = field(default=None, repr=False)
    enabled: bool | str | Condition = True
    condition: Check | None = None
    branches: Mapping[str, Work] | Sequence[Work] | None = None
    for_each: str | None = None
    merge: Work | None = None
    item_schema: object = None
    max_concurrency: int = 16
    min_success: float | None = None
    optional: bool = False
    on_error: str | Fallback | None = None
    compensate: Work | None = None
    circuit: CircuitPolicy | None = None
    approval: bool | ApprovalOf | Approval | None = None
    cache: CacheUse | None = None
    memory: MemoryUse | None = None
    budget: Budget | Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        if (self.for_each is not None or self.branches) and self.execution_mode in _ABOUT_OTHERS:
            self.execution_mode = ExecutionMode.PARALLEL_MERGE
        if self.agent is not None and self.output_schema is None:
            self.output_schema = declared_output(self.agent)


class StepOptions(TypedDict, total=False):
    """The options of `Pipeline.step`: every field of `PipelineStep` but `name` and `goal`."""

    id: str
    constraints: Sequence[str]
    depends_on: Sequence[str | Dependency]
    execution_mode: ExecutionMode
    timeout: float | None
    retry_count: int
    max_retries: int
    tools_filter: Sequence[str] | None
    output_schema: object
    run: Callable[..., object] | None
    agent: object
    wait_for: str | Event | None
    pipeline: "Pipeline | None"
    inputs: Mapping[str, str] | Callable[..., object] | None
    when: Check | None
    switch_on: str | None
    routes: Mapping[str, str | Sequence[str]] | None
    until: Check | None
    max_times: int | None
    if_not_reached: IfNotReached
    read_data: Sequence[str]
    tools: Sequence[ToolLike]
    retry: RetryPolicy
    model: str | LanguageModel | None
    config: TAgentConfig | Mapping[str, object] | None
    enabled: bool | str | Condition
    condition: Check | None
    branches: Mapping[str, Work] | Sequence[Work] | None
    for_each: str | None
    merge: Work | None
    item_schema: object
    max_concurrency: int
    min_success: float | None
    optional: bool
    on_error: str | Fallback | None
    compensate: Work | None
    circuit: CircuitPolicy | None
    approval: bool | ApprovalOf | Approval | None
    cache: CacheUse | None
    memory: MemoryUse | None
    budget: Budget | Mapping[str, object] | None


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
        self.steps: list[PipelineStep] = [replace(step) for step in other.steps] if other else []
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
