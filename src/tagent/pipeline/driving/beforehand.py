"""What is settled before a run begins that does only a part of its pipeline: outputs of an earlier run, or by hand."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from tagent.pipeline.course.reports import parts_done
from tagent.pipeline.course.skip_codes import NOT_SELECTED
from tagent.pipeline.events import BY_HAND, StepGiven, StepSkipped
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.inputs import check_inputs
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.journal.loading import stored_run
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.models import Pipeline
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.selecting import (
    NOT_ASKED_FOR,
    EarlierRun,
    Selected,
    Selection,
    SelectionError,
    left_behind,
    parts_again,
    select,
    untold,
    wrong_routes,
)
from tagent.pipeline.work.large_outputs import LostOutputError, read_output
from tagent.ports.services import Services

logger = logging.getLogger("tagent")


@dataclass(frozen=True, slots=True)
class Beforehand:
    """What is settled.

    Attributes:
        inputs: The inputs by name, as JSON values.
        steps: The steps that run.
        given: Step name -> its output as JSON values, and whose it is: a run's, or `BY_HAND`.
        reasons: Step name -> why it neither runs nor has an output, where there is more to say than that.
    """

    inputs: dict[str, object]
    steps: frozenset[str]
    given: Mapping[str, tuple[object, str]]
    reasons: Mapping[str, str]

    def events(self, graph: ExecutionGraph, *, at: float) -> list[StepGiven | StepSkipped]:
        """Return the events that say so, in definition order."""
        events: list[StepGiven | StepSkipped] = []
        for name in graph.names:
            if name in self.given:
                events.append(StepGiven(name, *self.given[name], at))
            elif name not in self.steps:
                events.append(StepSkipped(name, NOT_SELECTED, self.reasons.get(name, NOT_ASKED_FOR), at))
        return events


async def settle_beforehand(
    selection: Selection,
    pipeline: Pipeline,
    graph: ExecutionGraph,
    types: Mapping[str, OutputType],
    services: Services,
    *,
    inputs: Mapping[str, object] | BaseModel | None,
) -> Beforehand:
    """Return what is settled before a run does this part of `pipeline`. Nothing is written.

    Args:
        selection: What somebody asks for.
        pipeline: The definition.
        graph: What it compiles to.
        types: Step name -> the type of its output.
        services: Where an earlier run is.
        inputs: What the run is given; what is missing is taken from the earlier run.

    Raises:
        SelectionError: If that part cannot be run; it lists all that stands in the way.
        InputError: If the inputs do not fit what runs.
        UnknownRunError: If there is no such earlier run.
    """
    earlier = await earlier_run(selection.from_run, services) if selection.from_run else None
    if earlier is not None and earlier.pipeline != pipeline.name:
        raise SelectionError(pipeline.name, [f"Run {earlier.run_id} is one of another pipeline, {earlier.pipeline!r}."])
    selected = select(selection, pipeline, graph, earlier)
    problems = list(selected.problems)
    given: dict[str, tuple[object, str]] = {}
    for name, output in selection.outputs.items():
        if name in graph.positions:
            try:
                given[name] = types[name].dump(output, step=name), BY_HAND
            except StepOutputError as error:
                problems.append(error.message)
    reasons: dict[str, str] = {}
    if earlier is not None:
        kept = _not_read_now(selected, graph) if services.store_url else frozenset()
        taken, reasons = await _taken_over(earlier, selected, types, services, kept=kept)
        given |= {name: (output, earlier.run_id) for name, output in taken.items()}
        problems += [told for name, told in reasons.items() if name in selected.needed_by]
    problems += wrong_routes({name: output for name, (output, _) in given.items()}, selected.steps, graph)
    if problems:
        raise SelectionError(pipeline.name, problems, hint=_hint(selection, selected))
    warnings = [*untold(pipeline, graph, selected.steps, given)]
    if earlier is not None:
        warnings += left_behind(earlier, given.keys() - selection.outputs.keys())
        warnings += parts_again(earlier, selection, selected.steps)
    for told in warnings:
        logger.warning("%s: %s", pipeline.name, told)
    known = _inputs(pipeline, inputs, earlier)
    return Beforehand(check_inputs(pipeline, known, steps=selected.steps), selected.steps, given, reasons)


async def earlier_run(run_id: str, services: Services) -> EarlierRun:
    """Return what is known of a run, however far it has come.

    Raises:
        UnknownRunError: If no run has this id.
    """
    state = (await stored_run(services.store, run_id)).state()
    completed = [name for name, status in state.statuses.items() if status is StepStatus.COMPLETED]
    outputs = {name: state.steps[name].output for name in completed}
    parts = {
        name: (done, record.count)
        for name, record in state.steps.items()
        if name not in outputs and (done := parts_done(state, name))
    }
    return EarlierRun(run_id, state.pipeline, state.inputs, state.statuses, outputs, tuple(state.changes), parts)


async def _taken_over(
    earlier: EarlierRun,
    selected: Selected,
    types: Mapping[str, OutputType],
    services: Services,
    *,
    kept: Collection[str],
) -> tuple[dict[str, object], dict[str, str]]:
    """Return step name -> its output in the earlier run, as today's type has it; and why others cannot be used.

    Large ones of the steps that are `kept` are left where they are if they are the same today.
    """
    taken: dict[str, object] = {}
    unusable: dict[str, str] = {}
    for name in sorted(selected.from_earlier):
        stored = output = earlier.outputs[name]
        try:
            if isinstance(stored, StoredOutput):
                output = await read_output(services, stored, run_id=earlier.run_id, step=name)
            plain = types[name].dump(types[name].load(output, step=name), step=name)
            taken[name] = stored if name in kept and plain == output else plain
        except (StepOutputError, LostOutputError) as error:
            unusable[name] = f"Run {earlier.run_id}: {error.message}"
    return taken, unusable


def _not_read_now(selected: Selected, graph: ExecutionGraph) -> frozenset[str]:
    """Return the steps of whose outputs none that runs needs anything: they are not needed in memory."""
    return frozenset(
        name for name in selected.from_earlier if all(it.target not in selected.steps for it in graph.outgoing[name])
    )


def _inputs(
    pipeline: Pipeline, given: Mapping[str, object] | BaseModel | None, earlier: EarlierRun | None
) -> Mapping[str, object] | BaseModel | None:
    """Return what is given, with what is missing in it as the earlier run had it."""
    if earlier is None or isinstance(given, BaseModel):
        return given
    known = earlier.inputs
    if pipeline.inputs is not None:
        known = {name: it for name, it in known.items() if name in pipeline.inputs.model_fields}
    return {**known, **(given or {})}


def _hint(selection: Selection, selected: Selected) -> str:
    if not selected.needed_by:
        return ""
    ways = ["have it run too", "give it by hand (outputs=...)"]
    if not selection.from_run:
        ways.append("take it from an earlier run (from_run=...)")
    return f"For what is missing: {', or '.join(ways)}."
