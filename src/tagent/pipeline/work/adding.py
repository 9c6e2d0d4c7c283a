"""What the steps need that an attempt is about to add, before they can be added."""

from collections.abc import Iterator

from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline import bindings
from tagent.pipeline.models import Pipeline
from tagent.pipeline.plan import Plan
from tagent.pipeline.work.event_step import listening
from tagent.pipeline.work.works import Works
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.store import Store


def settings_of_added(plan: Plan, works: Works) -> Iterator[TAgentConfig]:
    """Yield the settings of the agents of new steps; of one that is malformed none, as validation says so."""
    for step in plan.added:
        try:
            found = list(works.settings_of_agents(step))
        except (TAgentError, TypeError, ValueError, AttributeError):
            continue
        yield from found


async def listening_to(plan: Plan, pipeline: Pipeline, *, run_id: str, store: Store) -> Effects:
    """Return what is written with the change, so that new steps see what is sent from then on, and nothing older."""
    awaiting = [step for step in plan.added if step.wait_for is not None]
    if not awaiting:
        return NO_EFFECTS
    try:
        return await listening(Pipeline(pipeline.name, steps=awaiting), run_id=run_id, store=store)
    except (TypeError, ValueError, AttributeError):  # malformed, which validation says
        return NO_EFFECTS


def sources_of(plan: Plan, pipeline: Pipeline) -> set[str]:
    """Return the steps whose outputs new steps and new dependencies may look into."""
    names = {step.name for step in pipeline.steps}
    sources = {dependency.step for _, dependency in plan.linked}
    for step in plan.added:
        try:
            sources.update(dep.step for dep in bindings.dependencies(step, names, pipeline.global_constraints))
        except (TAgentError, TypeError, ValueError, AttributeError):
            continue  # malformed, which validation says
    return sources & names
