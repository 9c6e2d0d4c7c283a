"""A pipeline whose agents can reach no model and no tool: they have doubles that only know what a run has recorded."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tagent.budget import LIMITS, Budget
from tagent.config import MODEL_OF_PURPOSE, TAgentConfig
from tagent.pipeline import bindings
from tagent.pipeline.approval import approval_of
from tagent.pipeline.conditions import condition_of
from tagent.pipeline.models import Dependency, DependencyType, ExecutionMode, Pipeline, PipelineStep, Work
from tagent.pipeline.outputs import output_type
from tagent.pipeline.replay.at_work import Standstill, WorkNotes
from tagent.pipeline.replay.recorded import RecordedAt
from tagent.pipeline.replay.recorded_agents import CallsOfParts, RecordedModels, RecordedTool
from tagent.pipeline.replay.recorded_code import RecordedCode
from tagent.pipeline.rules import needs_condition_part
from tagent.ports.toolsets import MCPServer
from tagent.task_agent.tools.tool import tools_by_name

NO_TOOLS = TAgentConfig(tools=())
NO_LIMITS = TAgentConfig.of(dict.fromkeys(LIMITS))


def with_doubles(
    pipeline: Pipeline,
    config: TAgentConfig,
    recorded: RecordedAt,
    standstill: Standstill,
    *,
    recorded_functions: bool,
    added: Collection[str] = (),
) -> Pipeline:
    """Return a copy of `pipeline` that asks no model and calls no tool, uses no cache, and has no limits.

    Args:
        pipeline: The pipeline.
        config: Settings below its own.
        recorded: What the run has recorded.
        standstill: When what was cut off in the recording is told that nobody will cut it off.
        recorded_functions: Whether its functions are not called either.
        added: Steps whose functions are not called in any case.
    """
    copy = Pipeline(pipeline, config=TAgentConfig.of(pipeline.config).merged(NO_TOOLS, NO_LIMITS), budget=Budget())
    copy.on_budget = "fail"
    copy.before_step = [WorkNotes(recorded.depth).note, *(() if recorded_functions else copy.before_step)]
    if recorded_functions:
        copy.after_step = []
    names = {step.name for step in pipeline.steps}
    shared = config.merged(TAgentConfig.of(pipeline.config))
    for step in copy.steps:
        double = _Double(step, recorded, standstill)
        is_recorded = recorded_functions or step.name in added
        is_given = step.name in recorded.given or double.is_cached_inside
        if is_recorded or is_given or step.agent is not None or step.wait_for is not None:
            step.depends_on = bindings.dependencies(step, names, pipeline.global_constraints)
        step.depends_on = _as_seen(step.depends_on, recorded, step.name)
        step.budget, step.circuit, step.cache = None, None, None
        if (asked := approval_of(step.approval)) is not None:
            step.approval = replace(asked, timeout=None)  # whoever answers does so at once
        if is_given:
            double.give()
            continue
        inner_config = shared.merged(TAgentConfig.of(step.config))
        double.agents(shared)
        if step.pipeline is not None:
            step.pipeline = with_doubles(
                step.pipeline,
                inner_config,
                recorded.inside(step.name),
                standstill,
                recorded_functions=is_recorded,
            )
        # Nobody sends a message, or asks another's agent, a second time.
        if is_recorded or step.agent is not None or step.wait_for is not None:
            double.works(is_whole=is_recorded)
        if is_recorded:
            double.conditions()
    return copy


def _as_seen(dependencies: Sequence[str | Dependency], recorded: RecordedAt, step: str) -> list[str | Dependency]:
    """Return the dependencies, and of those that were waited for with patience whether they were waited for to the end.

    In a replay time does not pass as it did, so it cannot say whose patience ended.
    """
    if step not in recorded.seen:
        return list(dependencies)
    seen = recorded.seen[step]
    return [
        replace(it, wait_seconds=None if it.step in seen else 0.0)
        if isinstance(it, Dependency) and it.type is DependencyType.SOFT and it.wait_seconds is not None
        else it
        for it in dependencies
    ]


class _Double:
    """Makes the doubles of one step, which it changes."""

    def __init__(self, step: PipelineStep, recorded: RecordedAt, standstill: Standstill) -> None:
        self._step = step
        self._recorded = recorded
        self._standstill = standstill
        self._code = RecordedCode(step.name, recorded, standstill)
        self._output = output_type(step)

    def agents(self, shared: TAgentConfig) -> None:
        """Give the agents of the step a model and tools that only know what is recorded."""
        step = self._step
        if not bindings.has_agents(step):
            return
        own = TAgentConfig.of(step.config)
        calls = CallsOfParts(step.name, self._recorded)
        given = [*shared.merged(own).tools, *step.tools]
        tools = tools_by_name(tool for tool in given if not isinstance(tool, MCPServer))
        has_servers = any(isinstance(tool, MCPServer) for tool in given)
        of_servers = calls.names - tools.keys() if has_servers else set()
        step.tools = [RecordedTool.like(tool, calls) for tool in tools.values()]
        step.tools += [RecordedTool.named(name, calls) for name in sorted(of_servers)]  # servers are not asked
        model = RecordedModels(step.name, self._recorded, self._standstill)
        models = TAgentConfig.of(dict.fromkeys(MODEL_OF_PURPOSE.values(), model))
        step.config = own.merged(NO_TOOLS, NO_LIMITS, models)
        step.model = model

    def works(self, *, is_whole: bool) -> None:
        """Have the step's functions, its foreign agent and its event give what is recorded.

        Args:
            is_whole: Whether its merge and its compensation do so too, if they are functions.
        """
        step, output = self._step, self._output
        step.output_schema = output.declared
        is_foreign = step.agent is not None
        if step.branches:
            doubled = {
                name: self._branch(work, is_foreign=is_foreign) for name, work in bindings.branches_of(step).items()
            }
            step.branches = doubled if isinstance(step.branches, Mapping) else list(doubled.values())
        elif step.run is not None or is_foreign or step.wait_for is not None:
            step.run = self._code.function(step.run, output)
            step.wait_for = step.goal = None
        step.agent = None
        if is_whole and callable(step.inputs):
            step.inputs = self._code.inputs()
        if is_whole and callable(step.merge):
            step.merge = self._code.merge(output)
        if is_whole and callable(step.compensate):
            step.compensate = self._code.function(None)
        if is_whole:
            step.max_retries = 0  # what is recorded is the last attempt

    def _branch(self, work: Work, *, is_foreign: bool) -> Work:
        return self._code.function(work) if is_foreign or callable(work) else work

    def conditions(self) -> None:
        """Have the functions that say whether the step runs say again what they said."""
        step = self._step
        if step.when is not None and (judged := condition_of(step.when)).functions:
            step.when = self._code.route(judged)
        if step.until is not None and (judged := condition_of(step.until)).functions:
            step.until = self._code.until(judged)
        if not needs_condition_part(step):
            return
        if step.condition is not None:
            step.condition = self._code.condition(condition_of(step.condition))
        step.depends_on = [self._checked(it) if isinstance(it, Dependency) else it for it in step.depends_on]

    def _checked(self, dependency: Dependency) -> Dependency:
        if dependency.check is None or not condition_of(dependency.check).functions:
            return dependency
        return replace(dependency, check=self._code.check(condition_of(dependency.check), dependency.step))

    @property
    def is_cached_inside(self) -> bool:
        """Whether the step is a pipeline that did not run, or of which a part did not, as its output was there."""
        works = self._recorded.of_step(self._step.name) if self._step.pipeline is not None else ()
        return any(work.completed is not None and work.completed.cached for work in works)

    def give(self) -> None:
        """Have the step give the output that a person wrote for it, whatever it would do."""
        step = self._step
        step.output_schema = self._output.declared
        step.run = self._code.function(None, self._output)
        step.goal = step.agent = step.wait_for = step.branches = step.for_each = step.merge = step.condition = None
        step.pipeline = step.inputs = step.when = step.switch_on = step.until = step.max_times = step.approval = None
        step.item_schema = step.min_success = None
        step.enabled = True
        step.depends_on = [
            Dependency(it.step, DependencyType.SOFT) for it in step.depends_on if isinstance(it, Dependency)
        ]
        if step.execution_mode != ExecutionMode.SERIAL:
            step.execution_mode = ExecutionMode.CONCURRENT
