"""What people write: a pipeline, its steps, and how they depend on each other."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypedDict, Unpack

from pydantic import BaseModel, PlainSerializer

from tagent.config import TAgentConfig
from tagent.exceptions import nearest
from tagent.pipeline.awaited import Event
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.triggers import Trigger
from tagent.ports.language_model import LanguageModel, TokenUsage
from tagent.ports.toolsets import MCPServer
from tagent.retries import RetryPolicy
from tagent.task_agent.foreign import declared_output
from tagent.task_agent.tools.tool import Tool

ToolLike = Callable[..., object] | Tool | MCPServer

MemoryUse = Literal["run", "pipeline"]
"""Which memory steps use."""


class ExecutionMode(StrEnum):
    """When a step may run beside others.

    Example:
        >>> from tagent.pipeline import PipelineScheduler
        >>> pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT).step("a", "Find A").step("b", "Find B")
        >>> [step.name for step in PipelineScheduler(pipeline).get_ready_steps()]
        ['a', 'b']
    """

    SERIAL = "serial"
    """Never at the same time as another SERIAL step of the run; definition order decides. The default."""
    CONCURRENT = "concurrent"
    """As soon as its dependencies allow."""
    CONDITIONAL = "conditional"
    """Only if its condition holds."""
    PARALLEL_MERGE = "parallel_merge"
    """Several branches at once, merged into one output."""


class DependencyType(StrEnum):
    """What a step needs of another.

    Example:
        >>> Dependency("facts").type, Dependency("facts", DependencyType.DATA, path="hills").path
        (<DependencyType.HARD: 'hard'>, 'hills')
    """

    HARD = "hard"
    """It must have completed."""
    SOFT = "soft"
    """Its output is welcome, not required."""
    DATA = "data"
    """It must have completed, and its output must hold a certain path."""
    VALIDATION = "validation"
    """It must have completed, and its output must pass a check."""


class StepStatus(StrEnum):
    """Where a step stands in a run.

    Example:
        >>> StepStatus.WAITING.is_terminal, StepStatus.SKIPPED.is_terminal
        (False, True)
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """An attempt failed; the next one is due later."""
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"

    @property
    def is_terminal(self) -> bool:
        """Whether the step will not run any more."""
        return self not in {StepStatus.PENDING, StepStatus.RUNNING, StepStatus.WAITING}


class RunStatus(StrEnum):
    """Where a run stands.

    Example:
        >>> from tagent import run_pipeline
        >>> pipeline = Pipeline("p").step("good", run=lambda: 1).step("bad", run=lambda: 1 / 0, max_retries=0)
        >>> run_pipeline(pipeline).status
        <RunStatus.PARTIAL: 'partial'>
    """

    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    """Every step completed."""
    PARTIAL = "partial"
    """A step failed, but a step on which none depends completed."""
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency that says more than a name.

    Attributes:
        step: The step depended on.
        type: What is needed of it.
        path: For DATA: what its output must hold, like `items[0].price`; empty for the whole output.
        wait_seconds: For SOFT: how long to wait at most; None waits until it is settled.

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


@dataclass(slots=True)
class PipelineStep:
    """One unit of a pipeline: a goal for an agent, a function, or an event to wait for.

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
        read_data: Paths like `facts.version`: what the agent is told of earlier outputs, instead of
            the whole outputs of its dependencies.
        tools: Functions that the agent may use besides those of the run, and servers of tools.
        retry: How long to wait between attempts.
        model: The model for this step.
        config: Other settings for this step.
        condition: Not available yet, like everything below.
        branches: Not available yet.
        for_each: Not available yet.
        merge: Not available yet.
        optional: Not available yet.
        on_error: Not available yet.
        compensate: Not available yet.
        approval: Not available yet.
        cache: Not available yet.
        memory: `pipeline` remembers from run to run: what the step learns, saves and comes to is kept in the
            pipeline's memory, and its agent is told what of that fits its goal. `run` forgets it with the run.
            None leaves it to the pipeline.
        budget: Not available yet.

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
    read_data: Sequence[str] = ()
    tools: Sequence[ToolLike] = ()
    retry: RetryPolicy = RetryPolicy()
    model: str | LanguageModel | None = None
    config: TAgentConfig | Mapping[str, object] | None = field(default=None, repr=False)
    condition: object = None
    branches: object = None
    for_each: object = None
    merge: object = None
    optional: bool = False
    on_error: object = None
    compensate: object = None
    approval: object = None
    cache: object = None
    memory: MemoryUse | None = None
    budget: object = None

    def __post_init__(self) -> None:
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
    read_data: Sequence[str]
    tools: Sequence[ToolLike]
    retry: RetryPolicy
    model: str | LanguageModel | None
    config: TAgentConfig | Mapping[str, object] | None
    condition: object
    branches: object
    for_each: object
    merge: object
    optional: bool
    on_error: object
    compensate: object
    approval: object
    cache: object
    memory: MemoryUse | None
    budget: object


def _texts(given: Sequence[str]) -> list[str]:
    """Return several texts; a single one is meant as one, not as its letters."""
    return [given] if isinstance(given, str) else list(given)


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
        triggers: Sequence[Trigger] = (),
    ) -> None:
        other = name if isinstance(name, Pipeline) else None
        self.name: str = name.name if isinstance(name, Pipeline) else name
        self.description: str = description or (other.description if other else "")
        self.steps: list[PipelineStep] = [replace(step) for step in other.steps] if other else []
        self.global_constraints: list[str] = [*(other.global_constraints if other else ()), *_texts(global_constraints)]
        self.shared_context: dict[str, Any] = {**(other.shared_context if other else {}), **(shared_context or {})}
        self.inputs: type[BaseModel] | None = inputs or (other.inputs if other else None)
        self.default_mode: ExecutionMode = default_mode or (other.default_mode if other else ExecutionMode.SERIAL)
        self.final: str | None = final or (other.final if other else None)
        self.config: TAgentConfig | Mapping[str, object] | None = other.config if other and config is None else config
        self.memory: MemoryUse = memory or (other.memory if other else "run")
        self.spaces: list[str] = list(dict.fromkeys([*(other.spaces if other else ()), *_texts(spaces)]))
        self.triggers: list[Trigger] = [*(other.triggers if other else ()), *triggers]
        for step in steps:
            self.add_step(step)

    def add_step(self, step: PipelineStep) -> Self:
        """Append `step` and return the pipeline; a step without id gets the next one.

        Example:
            >>> Pipeline("report").add_step(PipelineStep(name="facts", goal="Find facts"))
            Pipeline('report', 1 steps)
        """
        with suppress(ValueError, TypeError):  # validation names an unknown mode
            step.execution_mode = ExecutionMode(step.execution_mode)
        self.steps.append(step)
        if not step.id:
            step.id = f"step_{len(self.steps)}"
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
                raise PipelineError(f"step({name!r}) has no option {option!r}.{nearest(option, known)}")
        options.setdefault("execution_mode", self.default_mode)
        return self.add_step(PipelineStep(name=name, goal=goal, **options))

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, {len(self.steps)} steps)"


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What a run came to.

    Attributes:
        pipeline_name: The pipeline.
        run_id: The run.
        status: Where it ended.
        success: Whether `status` is COMPLETED.
        execution_time: Seconds from start to end.
        total_cost: USD; the sum of the known prices, also of attempts that failed.
        unpriced_calls: Model calls whose price is unknown.
        cost_per_step: Step name -> USD.
        token_usage: Step name -> tokens and requests.
        step_outputs: Step name -> output, for every completed step, as its declared type. A large one
            that is not in memory any more is read from the run's store each time it is asked for.
        step_metadata: Step name -> `status`, `attempts`, `retry_count` (attempts after the first),
            `started_at` and `finished_at` (seconds since 1970-01-01 UTC, None if never),
            `execution_time` (seconds), `model`, `reason` and `code` (why it failed or was skipped),
            `cached` (whether its output came from a cache).
        final_output: The output of the pipeline's `final` step, else of the last step on which no
            other depends; None if it did not complete.
        learned_facts: What steps learned, by name.
        saved_memories: What steps saved, by key.

    Example:
        >>> from tagent import run_pipeline
        >>> result = run_pipeline(Pipeline("report").step("facts", run=lambda: {"hills": 7}))
        >>> result.success, result.final_output, result.step_metadata["facts"]["attempts"]
        (True, {'hills': 7}, 1)
    """

    pipeline_name: str
    run_id: str
    status: RunStatus
    success: bool
    execution_time: float
    total_cost: float = 0.0
    unpriced_calls: int = 0
    cost_per_step: dict[str, float] = field(default_factory=dict)
    token_usage: dict[str, TokenUsage] = field(default_factory=dict)
    step_outputs: Annotated[Mapping[str, Any], PlainSerializer(dict)] = field(default_factory=dict)
    step_metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    final_output: Any = None
    learned_facts: dict[str, Any] = field(default_factory=dict)
    saved_memories: dict[str, Any] = field(default_factory=dict)
