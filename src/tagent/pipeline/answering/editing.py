"""An output that a reviewer has edited: it has to fit the type of its step before anybody writes it."""

from tagent.pipeline.answering.errors import ApprovalOutputError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import first_definition, latest_definition, load_events
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import output_type
from tagent.pipeline.rules import route_taken, routes_of
from tagent.pipeline.state import PipelineState, fold
from tagent.pipeline.stored.changed import with_changes
from tagent.pipeline.stored.definition import bind
from tagent.pipeline.stored.origins import code_of
from tagent.ports.services import Services


async def checked_output(
    output: object, run_id: str, path: str, services: Services, *, pipeline: Pipeline | None
) -> object:
    """Return what a reviewer wants to count as the output of a step, as JSON values that fit its type.

    Args:
        output: JSON values, or a value of the step's type.
        run_id: The run.
        path: The step; one inside another by its path, `outer/inner`.
        services: Where the run is kept.
        pipeline: The code; None loads it from where the run remembers it came from.

    Raises:
        ApprovalOutputError: If the code has no such step, so that nobody knows the type.
        StepOutputError: If the output does not fit.
        NoPipelineError: If the pipeline was built in code and is not given.
        PipelineLoadError: If its file does not give it any more.
        DefinitionMismatchError: If the code does not fit the run.
        StoreError: If the store fails.
    """
    first = await first_definition(services.store, run_id)
    events = await load_events(services.store, run_id, is_whole=False)
    hint = f"Give it: approve({run_id!r}, {path!r}, output=..., pipeline=...), or `--pipeline FILE`."
    code = pipeline or code_of(first, run_id=run_id, hint=hint)
    pipeline = bind(latest_definition(first, events), code)
    step = step_at(pipeline, path, fold(ExecutionGraph.build(pipeline), events))
    if step is None:
        why = "The code has no such step, so that nobody knows what its output has to be. Approve it as it is."
        raise ApprovalOutputError(run_id, path, why)
    plain = output_type(step).dump(output, step=path)
    routes = routes_of(step)
    if routes is not None and route_taken(plain, routes) is None:
        raise ApprovalOutputError(run_id, path, f"It has to name one of its routes: {', '.join(routes)}.")
    return plain


def step_at(pipeline: Pipeline, path: str, state: PipelineState | None = None) -> PipelineStep | None:
    """Return the step at a path; None if there is none.

    Args:
        pipeline: The pipeline as it is defined.
        path: The step; one inside another by its path, `outer/inner`.
        state: Where its run stands, whose steps may have added others.

    Raises:
        DefinitionMismatchError: If the code of an added step is not there any more.

    Example:
        >>> inner = Pipeline("inner").step("draft", run=lambda: "a draft")
        >>> outer = Pipeline("outer").step("texts", pipeline=inner, for_each="topics")
        >>> [found.name for path in ("texts", "texts/2/draft") if (found := step_at(outer, path))]
        ['texts', 'draft']
    """
    if state is not None and state.changes:
        pipeline = with_changes(pipeline, state.changes)
    for step in pipeline.steps:
        if path == step.name:
            return step
        if step.pipeline is None or not path.startswith(f"{step.name}/"):
            continue
        rest = path.removeprefix(f"{step.name}/")
        part, _, behind_part = rest.partition("/")
        found = step_at(step.pipeline, rest, state and state.inner_of(step.name))
        if found is None and behind_part:
            found = step_at(step.pipeline, behind_part, state and state.inner_of(step.name, part))
        if found is not None:
            return found
    return None
