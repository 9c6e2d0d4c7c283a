"""What people write of a step: its work, on what it depends, and what takes its place if it fails."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypedDict

from tagent.budget import Budget
from tagent.circuit import CircuitPolicy
from tagent.config import TAgentConfig
from tagent.pipeline.approval import Approval, ApprovalOf
from tagent.pipeline.awaited import Event
from tagent.pipeline.conditions import Condition
from tagent.pipeline.kinds import DependencyType, ExecutionMode
from tagent.ports.language_model import LanguageModel
from tagent.ports.toolsets import MCPServer
from tagent.retries import RetryPolicy
from tagent.task_agent.foreign import declared_output
from tagent.task_agent.tools.tool import Tool

if TYPE_CHECKING:
    from tagent.pipeline.models import Pipeline

ToolLike = Callable[..., object] | Tool | MCPServer

MemoryUse = Literal["run", "pipeline"]
"""Which memory steps use."""

Check = str | Condition | Callable[..., object]
"""A condition: as text, as an object, or as a function whose parameters are filled by name."""

Work = str | Callable[..., object]
"""A goal, or a function whose parameters are filled by name."""

CacheUse = Literal["run", "forever"] | float | timedelta
"""How long an output may be used again: within its run, for ever, or for so many seconds."""

IfNotReached = Literal["fail", "keep"]
"""What becomes of a step whose rounds are used up before what it is repeated for is reached."""


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
        >>> from tagent.pipeline import Pipeline
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
        >>> from tagent.pipeline import Pipeline
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
        >>> from tagent.pipeline import Pipeline
        >>> step = PipelineStep(name="text", goal="Describe {facts.name}", output_schema=str, timeout=60, max_retries=1)
        >>> Pipeline("report", steps=[step]).steps[0].id
        'step_1'
    """

    id: str = ""
    name: str = ""
    goal: str | None = None
    constraints: Sequence[str] = field(default_factory=list)
    depends_on: Sequence[str | Dependency] = field(default_factory=list)
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
