"""Which way a run goes: branches that are taken or not, and steps that are done again until something holds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

from tagent.pipeline.exceptions import PipelineError, StepRouteError
from tagent.pipeline.models import Check, ExecutionMode, IfNotReached, PipelineStep
from tagent.pipeline.rules import DEFAULT_ROUTE, route_taken, routes_of

THEN = "then"
OTHERWISE = "otherwise"


class When(PipelineStep):
    """A step that judges a condition, and so decides which steps run; `when` makes it.

    Example:
        >>> step = when("inputs.amount > 100", name="is_large").then("ask").otherwise("pay")
        >>> step.name, step.routes
        ('is_large', {'then': ('ask',), 'otherwise': ('pay',)})
    """

    __slots__ = ()

    def then(self, *steps: str) -> Self:
        """Name the steps that run only if the condition holds, and return the step.

        Raises:
            PipelineError: If something is no name of a step.

        Example:
            >>> when("inputs.amount > 100").then("check", "pay").routes
            {'then': ('check', 'pay'), 'otherwise': ()}
        """
        return self._leading_to(THEN, steps)

    def otherwise(self, *steps: str) -> Self:
        """Name the steps that run only if the condition does not hold, and return the step.

        Raises:
            PipelineError: If something is no name of a step.
        """
        return self._leading_to(OTHERWISE, steps)

    def _leading_to(self, route: str, steps: Sequence[str]) -> Self:
        for given in steps:
            told: object = given
            if not isinstance(told, str):
                message = f"`{route}` names the steps of a branch, and a {type(told).__name__} is no name."
                raise PipelineError(message, hint='Add the step to the pipeline, and write its name: .then("pay").')
        before = self.routes or {}
        self.routes = {**before, route: (*before.get(route, ()), *steps)}
        return self


def when(condition: Check, *, name: str = "") -> When:
    """Return a step that judges a condition, and so decides which steps run.

    Those behind `then` run only if it holds, those behind `otherwise` only if it does not. They wait for it, so none of
    them needs to name it in `depends_on`. What depends on steps of a branch that was not taken, and on nothing else,
    is left out too; what also depends on steps that ran goes on. The output of the step is `then` or `otherwise`.

    Args:
        condition: A text over `steps` and `inputs`, what `field` gives, or a function. It is judged once, when the
            steps that it reads are settled, and is on record.
        name: The name of the step; without one the pipeline calls it `when_` and its place in it, from 1.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("refunds").add_step(when("inputs.amount > 100").then("ask").otherwise("pay"))
        >>> pipeline = pipeline.step("ask", run=lambda: "asked").step("pay", run=lambda: "paid")
        >>> run_pipeline(pipeline, inputs={"amount": 40}).final_output
        'paid'
    """
    routes: dict[str, tuple[str, ...]] = {THEN: (), OTHERWISE: ()}
    return When(name=name, when=condition, routes=routes, execution_mode=ExecutionMode.CONCURRENT)


def switch(
    on: str, routes: Mapping[str, str | Sequence[str]], *, default: str | Sequence[str] | None = None, name: str = ""
) -> PipelineStep:
    """Return a step that looks at a value, and so decides which steps run.

    The output of the step is the route that is taken. The steps of the routes need not depend on it.

    Args:
        on: The path of the value in the output of a step, or in an input: a text, a bool or a whole number.
        routes: Value -> the step, or the steps, that run only if it is that. Of a bool the values are called `true` and
            `false`.
        default: Those that run with any other value; without it, such a value fails the step.
        name: The name of the step; without one the pipeline calls it `switch_` and its place in it, from 1.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("mail").step("classify", run=lambda: {"kind": "bug"})
        >>> pipeline = pipeline.add_step(switch("classify.kind", {"refund": "pay", "bug": "fix"}, default="answer"))
        >>> for branch in ("pay", "fix", "answer"):
        ...     pipeline = pipeline.step(branch, run=lambda: None)
        >>> [name for name, it in run_pipeline(pipeline).step_metadata.items() if it["status"] == "completed"]
        ['classify', 'switch_2', 'fix']
    """
    every = dict(routes) if default is None else {**routes, DEFAULT_ROUTE: default}
    return PipelineStep(name=name, switch_on=on, routes=every, execution_mode=ExecutionMode.CONCURRENT)


def repeat(
    step: PipelineStep, *, until: Check | None = None, max_times: int = 5, if_not_reached: IfNotReached = "fail"
) -> PipelineStep:
    """Return `step` as one whose work is done again, round by round.

    Each round knows as `previous` what the round before it gave, None in the first, and as `round` its number from 1:
    as parameters of its function, or as placeholders of its goal. A round that is done is never done again, and what
    the last one gives is the output of the step. Timeout and retries are those of each round.

    Args:
        step: The step.
        until: What ends it: a text over `output`, which is what the round gave, `steps` and `inputs`; what `field`
            gives; or a function with `output`, `previous` and `round` among its parameters. None for a fixed number of
            rounds.
        max_times: How many rounds there are at most, from 1 to 1,000.
        if_not_reached: What becomes of it when the last round did not reach `until`: it may `fail`, or `keep` what that
            round gave.

    Raises:
        PipelineError: If `step` is no step: the name of one, for example, or a function.

    Example:
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> def halved(number: int, previous: int | None) -> int:
        ...     return (number if previous is None else previous) // 2
        >>> step = PipelineStep(name="halved", run=halved)
        >>> pipeline = Pipeline("p").add_step(repeat(step, until="output < 10", max_times=8))
        >>> result = run_pipeline(pipeline, inputs={"number": 100})
        >>> result.final_output, sorted(result.step_metadata["halved"]["parts"])
        (6, ['1', '2', '3', '4'])
    """
    given: object = step
    if not isinstance(given, PipelineStep):
        message = f"`repeat` takes a step that is made already, not a {type(given).__name__}."
        hint = "Write repeat(PipelineStep(name=..., run=...), ...), or .step(name, ..., until=..., max_times=...)."
        raise PipelineError(message, hint=hint)
    return replace(step, until=until, max_times=max_times, if_not_reached=if_not_reached)


def required_route(step: PipelineStep, output: object) -> str | None:
    """Return the route that an output of `step` names, given as JSON values; None for a step without routes.

    Raises:
        StepRouteError: If it names none.
    """
    routes = routes_of(step)
    if routes is None or step.when is not None:  # without `otherwise` it starts nothing then
        return None
    if (taken := route_taken(output, routes)) is None:
        raise StepRouteError(step.name, routes, given=output, switched_on=step.switch_on or "")
    return taken
