"""Two runs step by step: what each step came to in one and in the other."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import unified_diff

from tagent.pipeline.course.records import StepRecord
from tagent.pipeline.course.reports import report_of
from tagent.pipeline.events import ASIDE
from tagent.pipeline.state import PipelineState


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step came to.

    Attributes:
        status: Where it stands; `absent` when the run has no such step.
        output: What it gave, as JSON values.
        code: Why it failed or was skipped, or did not give its own output, for programs; else empty.
        reason: The same for people. It may hold line numbers, so it is not compared.
        cost_usd: The sum of the known prices.
        seconds: How long it took.
        model: Who answered.
        parts: Of its items and branches, if it has any: where they stand -> how many.
    """

    status: str
    output: object = None
    code: str = ""
    reason: str = ""
    cost_usd: float = 0.0
    seconds: float = 0.0
    model: str = ""
    parts: Mapping[str, int] = field(default_factory=dict)


ABSENT = StepOutcome("absent")


@dataclass(frozen=True, slots=True)
class StepDifference:
    """A step in two runs.

    Attributes:
        step: Its name.
        before: What it came to in the first run.
        after: What it came to in the second.
    """

    step: str
    before: StepOutcome
    after: StepOutcome

    @property
    def is_output_equal(self) -> bool:
        """Whether both gave the same JSON; the order of an object's members does not matter."""
        return _json(self.before.output) == _json(self.after.output)

    @property
    def is_equal(self) -> bool:
        """Whether status, output and code are the same, and how many of its parts came to what."""
        before, after = self.before, self.after
        is_output_equal = self.is_output_equal
        return is_output_equal and (before.status, before.code, before.parts) == (after.status, after.code, after.parts)

    def output_diff(self, before: str, after: str) -> tuple[str, ...]:
        """Return the lines of a unified diff of the outputs: of the text when both are text, else of their JSON.

        Args:
            before: What the diff calls the first run.
            after: What it calls the second.
        """
        outputs = (self.before.output, self.after.output)
        as_text = str if all(isinstance(output, str) for output in outputs) else _json
        first, second = (as_text(output).splitlines() for output in outputs)
        return tuple(unified_diff(first, second, before, after, lineterm=""))


def step_differences(before: PipelineState, after: PipelineState) -> tuple[StepDifference, ...]:
    """Return every step of either run, in the order of the first, then of the second."""
    names = dict.fromkeys((*before.statuses, *after.statuses))
    return tuple(StepDifference(name, _outcome(before, name), _outcome(after, name)) for name in names)


def _outcome(state: PipelineState, name: str) -> StepOutcome:
    if name not in state.steps:
        return ABSENT
    record, report = state.steps[name], report_of(state, name)
    return StepOutcome(
        report.status.value,
        record.output,
        record.code,
        record.reason,
        report.cost_usd,
        report.execution_time,
        report.model,
        _parts(record),
    )


def _parts(record: StepRecord) -> dict[str, int]:
    """Return how many items and branches stand where, the most frequent first."""
    items = Counter(part.status.value for name, part in record.parts.items() if name not in ASIDE)
    return dict(items.most_common())


def _json(output: object) -> str:
    return json.dumps(output, indent=2, sort_keys=True, ensure_ascii=False)
