"""From a stored definition back to the code that it was made of."""

from tagent.pipeline.definition import Definition
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.loading import load_pipeline
from tagent.pipeline.models import Pipeline

GOAL = "goal"
"""What the pipeline of a mere goal is called, and its only step."""


class NoPipelineError(PipelineError):
    """Nobody knows where to load a run's pipeline from.

    Attributes:
        run_id: The run.
    """

    code = "pipeline.no_origin"

    def __init__(self, run_id: str, *, pipeline: str, hint: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"The pipeline {pipeline!r} of run {run_id} has no file: it was built in code, or the run was imported.",
            hint=hint,
        )


def goal_pipeline(goal: str) -> Pipeline:
    """Return a pipeline whose single step is the goal."""
    return Pipeline(GOAL).step(GOAL, goal)


def code_of(definition: Definition, *, run_id: str, hint: str) -> Pipeline:
    """Return the pipeline as its file defines it today; that of a mere goal needs no file.

    Args:
        definition: What is stored of it.
        run_id: The run, for the message.
        hint: What to do about a pipeline that has no file.

    Raises:
        NoPipelineError: If it has none.
        PipelineLoadError: If its file does not give it.
    """
    if definition.origin.file:
        return load_pipeline(definition.origin.file, definition.origin.object_name)
    steps = definition.spec["steps"]
    if definition.spec["name"] == GOAL and [step["name"] for step in steps] == [GOAL] and steps[0]["goal"]:
        return goal_pipeline(steps[0]["goal"])
    raise NoPipelineError(run_id, pipeline=definition.spec["name"], hint=hint)
