"""What can go wrong with a pipeline.

PipelineError
├── PipelineValidationError     the definition has mistakes; it lists all of them
├── InputError                  the inputs do not fit the pipeline
├── PipelineLoadError           a file does not give a pipeline
├── ConditionError              a condition cannot be read, or cannot be answered
├── DeadlockError               no step can start, yet some have not finished
├── RunStoppedError             a run was asked to stop, between two steps
└── StepError                   one attempt at a step failed
    ├── StepTimeoutError        it took too long
    ├── StepOutputError         its output is not JSON or does not fit its schema
    ├── StepInputError          what it needs from earlier steps is not there
    ├── StepRouteError          its output names none of its routes
    ├── StepNotReachedError     its rounds are over, and what it is repeated for is not reached
    ├── StepPipelineError       the pipeline that it runs did not complete
    └── StepFailedError         its function raised
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tagent.exceptions import TAgentError, text_of
from tagent.pipeline.places import place_of
from tagent.retries import MISTAKES

_MOST_SHOWN = 10
_LONGEST_SHOWN = 60


class PipelineError(TAgentError):
    """Something is wrong with a pipeline or its run.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> try:
        ...     Pipeline("report").step("text", "Describe it", max_retry=3)
        ... except PipelineError as error:
        ...     print(error)
        step('text') has no option 'max_retry'. Did you mean 'max_retries'?
    """

    code = "pipeline"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a definition.

    Attributes:
        code: For programs: `unknown_step`, `cycle`, ...
        message: What is wrong, and where.
        step: The step it is about; empty for the pipeline as a whole.
        severity: An `error` forbids the run, a `warning` is probably a mistake, a `hint` could be better.

    Example:
        >>> from tagent.pipeline import Pipeline, validate
        >>> [problem] = validate(Pipeline("report").step("text", "Describe it", depends_on=["facts"]))
        >>> problem.code, problem.severity, str(problem)
        ('unknown_step', 'error', "step 'text': It depends on the unknown step 'facts'.")
    """

    code: str
    message: str
    step: str = ""
    severity: Literal["error", "warning", "hint"] = "error"

    def __str__(self) -> str:
        return f"step {self.step!r}: {self.message}" if self.step else self.message


def has_problems(what: str, problems: Sequence[Problem]) -> str:
    """Return the message that something has these problems, each in a line of its own.

    Example:
        >>> print(has_problems("The pipeline 'report'", [Problem("bad_timeout", "It must be positive.", "text")]))
        The pipeline 'report' has 1 problem:
          - step 'text': It must be positive.
    """
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return "\n  - ".join([f"{what} has {count}:", *map(str, problems)])


class PipelineValidationError(PipelineError):
    """The definition has mistakes.

    Attributes:
        pipeline: The pipeline's name.
        problems: All of them, in definition order.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> try:
        ...     run_pipeline(Pipeline("report").step("text", "Describe it", timeout=0, depends_on=["facts"]))
        ... except PipelineValidationError as error:
        ...     [problem.code for problem in error.problems]
        ['bad_timeout', 'unknown_step']
    """

    code = "pipeline.invalid"

    def __init__(self, pipeline: str, problems: Sequence[Problem]) -> None:
        self.pipeline = pipeline
        self.problems = tuple(problems)
        super().__init__(has_problems(f"The pipeline {pipeline!r}", problems))


class InputError(PipelineError):
    """The inputs given to a run do not fit its pipeline.

    Attributes:
        pipeline: The pipeline's name.
        inputs: The inputs that are missing, unknown or do not fit.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> try:
        ...     run_pipeline(Pipeline("hello").step("greet", run=lambda name: f"Hello, {name}."))
        ... except InputError as error:
        ...     error.inputs
        ('name',)
    """

    code = "pipeline.inputs"

    def __init__(self, pipeline: str, problems: Mapping[str, str], *, hint: str = "") -> None:
        self.pipeline = pipeline
        self.inputs = tuple(problems)
        listed = " ".join(f"{name!r} {problem}" for name, problem in problems.items())
        super().__init__(f"The inputs do not fit the pipeline {pipeline!r}: {listed}", hint=hint)


class PipelineLoadError(PipelineError):
    """A file does not give a pipeline.

    Attributes:
        file: The file as it was named.

    Example:
        >>> from tagent.pipeline.stored.loading import load_pipeline
        >>> try:
        ...     load_pipeline("nowhere/report.py")
        ... except PipelineLoadError as error:
        ...     error.file
        'nowhere/report.py'
    """

    code = "pipeline.load"

    def __init__(self, file: str, message: str, *, hint: str = "") -> None:
        self.file = file
        super().__init__(message, hint=hint)


class DeadlockError(PipelineError):
    """No step can start, yet some have not finished.

    Attributes:
        blocked: Step name -> the names it still waits for.

    Example:
        >>> from tagent.pipeline import Pipeline, PipelineScheduler, StepStatus
        >>> scheduler = PipelineScheduler(Pipeline("p").step("facts", "Find facts").step("text", "Describe {facts}"))
        >>> scheduler.step_status["facts"] = StepStatus.FAILED
        >>> try:
        ...     scheduler.check_deadlock()
        ... except DeadlockError as error:
        ...     error.blocked
        {'text': frozenset({'facts'})}
    """

    code = "pipeline.deadlock"

    def __init__(self, blocked: Mapping[str, frozenset[str]]) -> None:
        self.blocked = blocked
        waits = "; ".join(f"{name!r} waits for {sorted(blocked[name])}" for name in sorted(blocked))
        super().__init__(f"No step can start: {waits}.", hint="Check their `depends_on`.")


class RunStoppedError(PipelineError):
    """A run was asked to stop and has done so, between two steps; it has given its claim up.

    Attributes:
        run_id: The run.
    """

    code = "run.stopped"
    is_retryable = True

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"Run {run_id} was stopped between two steps.", hint="Resume it: nothing is lost.")


class StepError(PipelineError):
    """One attempt at a step failed.

    Attributes:
        step: The step's name.

    Example:
        >>> error = StepTimeoutError("text", seconds=60)
        >>> isinstance(error, StepError), error.step, error.is_retryable
        (True, 'text', True)
    """

    code = "step"

    def __init__(self, step: str, message: str, *, hint: str = "") -> None:
        self.step = step
        super().__init__(message, hint=hint)


class StepTimeoutError(StepError):
    """An attempt took longer than the step's `timeout`.

    Attributes:
        seconds: The time that was allowed.

    Example:
        >>> import asyncio
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> async def slow() -> None:
        ...     await asyncio.sleep(60)
        >>> result = run_pipeline(Pipeline("p").step("slow", run=slow, timeout=0.01, max_retries=0))
        >>> result.step_metadata["slow"]["code"], result.step_metadata["slow"]["reason"]
        ('step.timeout', "The step 'slow' did not finish within 0.01 s.")
    """

    code = "step.timeout"
    is_retryable = True

    def __init__(self, step: str, *, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(step, f"The step {step!r} did not finish within {seconds:g} s.")


class StepOutputError(StepError):
    """A step's output cannot be written as JSON, or does not fit its type: when it is given, or read again later.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("p").step("count", run=lambda: "seven", output_schema=int, max_retries=0)
        >>> run_pipeline(pipeline).step_metadata["count"]["code"]
        'step.output'
    """

    code = "step.output"


class StepInputError(StepError):
    """What an attempt needs from earlier steps is not there, or does not fit.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("p").step("facts", run=lambda: "seven")
        >>> def doubled(facts: int) -> int:
        ...     return 2 * facts
        >>> run_pipeline(pipeline.step("doubled", run=doubled, max_retries=0)).step_metadata["doubled"]["code"]
        'step.input'
    """

    code = "step.input"


class StepRouteError(StepError):
    """What a step gave is to say which steps run next, and names none of its routes.

    Args:
        step: The step's name.
        routes: The routes that there are.
        given: What the step gave, or what it chooses by.
        switched_on: The path of what it chooses by; empty for a step whose own output names the route.

    Attributes:
        routes: The routes that there are.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("p").step("triage", run=lambda: "praise", routes={"bug": "fix"}).step("fix", "Fix it")
        >>> facts = run_pipeline(pipeline).step_metadata["triage"]
        >>> facts["code"], facts["reason"].partition(". ")[0]
        ('step.route', "The output 'praise' of the step 'triage' names none of its routes ('bug')")
    """

    code = "step.route"

    def __init__(self, step: str, routes: Collection[str], *, given: object = None, switched_on: str = "") -> None:
        self.routes = tuple(routes)
        listed = ", ".join(repr(route[:_LONGEST_SHOWN]) for route in self.routes[:_MOST_SHOWN])
        listed += ", ..." if len(self.routes) > _MOST_SHOWN else ""
        told = shown(given)
        if switched_on:
            message = f"The step {step!r} chooses by {switched_on!r}, whose value {told} names none of its routes"
            hint = "Add the route, or say default= for all others."
        else:
            message = f"The output {told} of the step {step!r} names none of its routes"
            hint = "Add the route, or one that is called 'default'."
        if isinstance(given, Mapping) and given:
            field = next((name for name, value in given.items() if value in self.routes), next(iter(given)))
            path = f"{switched_on or step}.{field}"[:_LONGEST_SHOWN]
            hint = f"Name the field that says it: switch({path!r}, ...)."
        super().__init__(step, f"{message} ({listed}).", hint=hint)


def shown(value: object) -> str:
    """Return the beginning of a value for a message: in one line, escaped, and short.

    Example:
        >>> shown({"kind": "praise"}), len(shown("x" * 1000))
        ("{'kind': 'praise'}", 60)
    """
    told = repr(value)
    return told if len(told) <= _LONGEST_SHOWN else f"{told[: _LONGEST_SHOWN - 3]}..."


class StepNotReachedError(StepError):
    """The rounds of a step are over, and what it is repeated for is not reached.

    Attributes:
        rounds: How many there were.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("p").step("poll", run=lambda round: round, until="output > 9", max_times=3)
        >>> run_pipeline(pipeline).step_metadata["poll"]["code"]
        'step.not_reached'
    """

    code = "step.not_reached"

    def __init__(self, step: str, *, rounds: int, until: str) -> None:
        self.rounds = rounds
        did = "1 round" if rounds == 1 else f"{rounds:,} rounds"
        message = f"The step {step!r} has done {did}, and `{until}` does not hold of its output."
        super().__init__(step, message, hint="Allow more by max_times, or keep what it gave by if_not_reached='keep'.")


class StepPipelineError(StepError):
    """The pipeline that a step runs has come to anything but its completion.

    Attributes:
        pipeline: That pipeline's name.
        inner_step: The step of it that failed; empty if it ended for another reason.
        inner_code: Why that failed, for programs.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> inner = Pipeline("inner").step("divide", run=lambda: 1 / 0, max_retries=0)
        >>> result = run_pipeline(Pipeline("outer").step("whole", pipeline=inner))
        >>> result.step_metadata["whole"]["code"], result.step_metadata["whole"]["steps"]["divide"]["code"]
        ('step.pipeline', 'step.failed')
    """

    code = "step.pipeline"

    def __init__(self, step: str, pipeline: str, why: str, *, inner_step: str = "", inner_code: str = "") -> None:
        self.pipeline = pipeline
        self.inner_step = inner_step
        self.inner_code = inner_code
        super().__init__(step, f"The pipeline {pipeline!r} of the step {step!r} did not complete: {why}")


class StepFailedError(StepError):
    """A step's function raised.

    Attributes:
        is_retryable: False for mistakes in the program, which no later try can mend.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> def mean(numbers: list[float]) -> float:
        ...     return sum(numbers) / len(numbers)
        >>> result = run_pipeline(Pipeline("p").step("mean", run=mean, max_retries=0), inputs={"numbers": []})
        >>> result.step_metadata["mean"]["code"], result.step_metadata["mean"]["reason"]
        ('step.failed', "The step 'mean' raised ZeroDivisionError: division by zero (..., line 2)")
    """

    code = "step.failed"

    def __init__(self, step: str, cause: BaseException) -> None:
        self.is_retryable = not isinstance(cause, MISTAKES)  # type: ignore[misc]  # one class, two fates
        said = text_of(cause)
        told = f"{type(cause).__name__}: {said}" if said.strip() else type(cause).__name__
        place = place_of(cause)
        super().__init__(step, f"The step {step!r} raised {told}{f' ({place})' if place else ''}")
