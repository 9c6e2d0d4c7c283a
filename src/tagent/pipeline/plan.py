"""What a step's function changes about the steps behind it: gathered while it runs, committed with its success."""

from dataclasses import dataclass, field, replace
from typing import Self, Unpack

from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.kinds import ExecutionMode
from tagent.pipeline.models import Dependency, Pipeline, PipelineStep, StepOptions


@dataclass(slots=True)
class Plan:
    """A change of the run's steps, as a step's function makes it: `context.plan`.

    Nothing happens at once. When the attempt succeeds, the whole is checked and takes effect together with its output;
    if it does not fit, the step fails with `pipeline.change`. Only steps that have not started can be changed, and
    functions of added steps must be found again by their name in the module, or the package, of the function that adds
    them.

    Attributes:
        default_mode: The execution mode of steps that `step` adds without naming one.
        added: The new steps, in order.
        linked: New dependencies: (who depends, on what), in order.
        unlinked: Dependencies that are to be no more: (who depends, on which step).
        enabled: Step name -> whether the run is to have it.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline, StepContext
        >>> def look(context: StepContext) -> str:
        ...     context.plan.enable("explain").depend("report", on="explain")
        ...     return "odd"
        >>> pipeline = Pipeline("check").step("look", run=look)
        >>> pipeline = pipeline.step("explain", run=lambda: "a leap year", depends_on=["look"], enabled=False)
        >>> pipeline = pipeline.step("report", run=lambda look, explain=None: f"{look}: {explain}")
        >>> run_pipeline(pipeline).final_output
        'odd: a leap year'
    """

    default_mode: ExecutionMode = ExecutionMode.SERIAL
    added: list[PipelineStep] = field(default_factory=list)
    linked: list[tuple[str, Dependency]] = field(default_factory=list)
    unlinked: list[tuple[str, str]] = field(default_factory=list)
    enabled: dict[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is to change."""
        return bool(self.added or self.linked or self.unlinked or self.enabled)

    def step(self, name: str, goal: str | None = None, **options: Unpack[StepOptions]) -> Self:
        """Add a step and return the plan.

        Args:
            name: Its name.
            goal: What an agent is to reach; leave it out when `run` gives a function.
            options: As for `Pipeline.step`.

        Raises:
            PipelineError: If an option is unknown; the nearest one is suggested.
        """
        made = Pipeline("plan", default_mode=self.default_mode).step(name, goal, **options).steps[0]
        made.id = options.get("id", "")  # its place in this plan is not its place in the pipeline
        self.added.append(made)
        return self

    def add(self, step: PipelineStep) -> Self:
        """Add a step that is made already, as `when` and `switch` make them, and return the plan.

        Raises:
            PipelineError: If it is no step.
        """
        given: object = step
        if not isinstance(given, PipelineStep):
            told = f"plan.add(...) takes a step that is made already, not a {type(given).__name__}."
            raise PipelineError(told, hint="Write plan.add(PipelineStep(name=..., run=...)), or plan.step(name, ...).")
        self.added.append(replace(step))
        return self

    def depend(self, step: str, *, on: str | Dependency) -> Self:
        """Have a step that has not started wait for another one, and return the plan.

        Raises:
            PipelineError: If one of them is no name of a step, nor a dependency.
        """
        _require_name(step, "depend")
        _require_name(on.step if isinstance(on, Dependency) else on, "depend")
        self.linked.append((step, Dependency(on) if isinstance(on, str) else on))
        return self

    def undepend(self, step: str, *, on: str) -> Self:
        """Have a step that has not started wait for another one no more, and return the plan.

        What a step reads it always waits for: `on` is a step that it only names in its `depends_on`.

        Raises:
            PipelineError: If one of them is no name of a step.
        """
        _require_name(step, "undepend")
        _require_name(on, "undepend")
        before = len(self.linked)
        self.linked = [(who, dep) for who, dep in self.linked if (who, dep.step) != (step, on)]
        if len(self.linked) == before:
            self.unlinked.append((step, on))
        return self

    def enable(self, step: str) -> Self:
        """Have the run a step that is not `enabled`, and what was left out because of that, and return the plan.

        Raises:
            PipelineError: If it is no name of a step.
        """
        _require_name(step, "enable")
        self.enabled[step] = True
        return self

    def disable(self, step: str) -> Self:
        """Leave out a step that has not started, and return the plan.

        Raises:
            PipelineError: If it is no name of a step.
        """
        _require_name(step, "disable")
        self.enabled[step] = False
        return self


def _require_name(name: object, method: str) -> None:
    if not isinstance(name, str):
        raise PipelineError(f"plan.{method}(...) takes names of steps, not a {type(name).__name__}.")
