"""Why a run came to what it came to, for people: a line for each step that did not simply complete."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagent.pipeline.course.skip_codes import NOT_SELECTED
from tagent.pipeline.events import ASIDE, BY_HAND
from tagent.pipeline.kinds import RunStatus, StepStatus

MOST_PARTS = 3
"""How many of the failed parts of a step are named; the others are counted."""

MOST_NAMES = 8
"""How many of the steps that are not done yet are named."""

LONGEST_REASON = 600
"""Characters of a reason; what a function has raised may be a book."""

Facts = Mapping[str, Any]
"""What `step_metadata` says of a step or a part."""

_HOW = {
    StepStatus.SKIPPED: "was skipped",
    StepStatus.CANCELLED: "was cancelled",
    StepStatus.FAILED: "failed",
    StepStatus.COMPENSATED: "was undone",
}

_LISTS_PROBLEMS = frozenset({"pipeline.change", "pipeline.invalid"})
"""Codes of reasons that list problems, each in a line that begins with a dash."""

_UNSEEN = {
    "not settled": "had not ended",
    "failed": "had failed",
    "skipped": "was left out",
    "cancelled": "was cancelled",
}
"""What is said of a SOFT dependency whose output a step did not see."""


def explanation(
    pipeline: str, status: RunStatus, steps: Mapping[str, Facts], *, code: str = "", reason: str = ""
) -> Iterator[str]:
    """Yield the lines that say why a run came to what it came to: first the run, then its steps.

    Args:
        pipeline: The pipeline's name.
        status: Where the run stands.
        steps: Step name -> its facts, as in `PipelineResult.step_metadata`.
        code: Why the run ended before its steps did, or waits; empty if it did not.
        reason: The same for people.

    Example:
        >>> skipped = {"status": StepStatus.SKIPPED, "code": "disabled", "reason": "It is disabled."}
        >>> list(explanation("report", RunStatus.COMPLETED, {"draft": skipped}))
        ["The run of 'report' completed.", "- 'draft' was skipped [disabled]: It is disabled."]
    """
    how = {RunStatus.PARTIAL: "completed in part", RunStatus.CANCELLED: "was cancelled", RunStatus.WAITING: "waits"}
    reason, problems = _problems(code, reason)
    yield _sentence(f"The run of {pipeline!r} {how.get(status, _past(status))}", code, reason)
    yield from _listed(problems)
    for name, facts in steps.items():
        if facts.get("code") != NOT_SELECTED:
            yield from _of_step(name, facts)
    yield from _of_the_rest(steps)
    yield from _still_open([name for name, facts in steps.items() if not facts["status"].is_terminal])


def _past(status: RunStatus) -> str:
    return "is not finished" if status is RunStatus.RUNNING else status.value


def _of_step(name: str, facts: Facts) -> Iterator[str]:
    if unseen := facts.get("unseen"):
        yield f"- {name!r} went on without {_listed_unseen(unseen)}."
    failed = {} if facts["status"] is StepStatus.COMPENSATED else _failed_parts(facts)
    if (asked := facts.get("asked")) is not None:
        yield _sentence(f"- {name!r} waits for approval", "", asked["question"])
    yield from _of_asked_inside(name, facts)
    told = _fate(facts, failed)
    if told:
        which = ", which is optional," if facts.get("optional") and facts["status"] is StepStatus.FAILED else ""
        yield f"- {name!r}{which} {told}"
        yield from _listed(_problems(facts.get("code", ""), facts.get("reason", ""))[1])
        yield from _of_parts(failed)


def _listed(problems: Sequence[str]) -> Iterator[str]:
    for problem in problems[:MOST_NAMES]:
        yield f"    - {_line(problem)}"
    if len(problems) > MOST_NAMES:
        yield f"    and {len(problems) - MOST_NAMES} more."


def _of_asked_inside(name: str, facts: Facts) -> Iterator[str]:
    """Yield which steps inside a step wait for somebody's word, each by its path; of many the first ones."""
    if facts["status"].is_terminal:
        return
    asked = list(_asked_inside(name, facts))
    for path, question in asked[:MOST_NAMES]:
        yield _sentence(f"- {path!r} waits for approval", "", question)
    if len(asked) > MOST_NAMES:
        yield f"  and {len(asked) - MOST_NAMES} more steps inside {name!r}."


def _asked_inside(path: str, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the paths of the steps inside that wait for somebody's word, and what he is asked."""
    works = {path: facts} | {f"{path}/{part}": of_part for part, of_part in facts.get("parts", {}).items()}
    for outer, work in works.items():
        for name, inside in work.get("steps", {}).items():
            if (asked := inside.get("asked")) is not None:
                yield f"{outer}/{name}", asked["question"]
            yield from _asked_inside(f"{outer}/{name}", inside)


def _listed_unseen(unseen: Mapping[str, str]) -> str:
    told = [f"{name!r}, which {_UNSEEN.get(why, why)}" for name, why in list(unseen.items())[:MOST_NAMES]]
    more = len(unseen) - len(told)
    return ", and ".join(told) + (f", and {more} more" if more else "")


def _fate(facts: Facts, failed_parts: Mapping[str, Facts]) -> str:
    """Return what became of a step and why; empty if it simply completed, or is not done yet and no part has failed."""
    status: StepStatus = facts["status"]
    code, reason = facts.get("code", ""), _own_reason(facts, failed_parts)
    reason, _ = _problems(code, reason)
    if status in _HOW:
        tries = facts.get("attempts", 0)
        after = f" after {tries} attempts" if status is StepStatus.FAILED and tries > 1 else ""
        return _sentence(f"{_HOW[status]}{after}", code, reason)
    if by := facts.get("substituted_by"):
        instead = "has its default output" if by == "default" else f"has the output of {by!r}"
        return _sentence(f"{instead}, as it failed itself", code, reason)
    if status is not StepStatus.COMPLETED:
        return f"is not done yet, and {_counted_of(facts, failed_parts)} failed:" if failed_parts else ""
    if code:
        return _sentence("completed, but", code, reason)
    if failed_parts:
        return f"completed without {_counted_of(facts, failed_parts)}:"
    if (approval := facts.get("approval")) is not None and not facts.get("given_by"):
        return _sentence(_approved(approval), "", approval["comment"])
    condition = facts.get("condition")
    return _sentence("ran, as its condition holds", "", condition["reason"]) if condition else ""


def _counted_of(facts: Facts, parts: Mapping[str, Facts]) -> str:
    return f"{len(parts)} of its {facts.get('part_count', len(parts))} parts"


def _own_reason(facts: Facts, failed_parts: Mapping[str, Facts]) -> str:
    """Return why a step failed, without the reason of the first of its parts at the end, which is told with that."""
    reason: str = facts.get("reason", "")
    of_part: str = next((it["reason"] for it in failed_parts.values()), "")
    if facts.get("code") != "step.parts" or not of_part or not reason.endswith(of_part):
        return reason
    own = reason.removesuffix(of_part).rstrip()
    return f"{own[:-1]}." if own.endswith(":") else own


def _approved(approval: Mapping[str, Any]) -> str:
    """Return who said that a step may run, or that its output counts."""
    if approval["by_default"]:
        return "was approved, as nobody answered in time"
    edited = " with another output" if approval["is_edited"] else ""
    who = f" by {approval['actor']}" if approval["actor"] else ""
    return f"was approved{edited}{who}"


def _failed_parts(facts: Facts) -> Mapping[str, Facts]:
    parts: Mapping[str, Facts] = facts.get("parts", {})
    return {part: it for part, it in parts.items() if it["status"] is StepStatus.FAILED and part not in ASIDE}


def _of_parts(failed: Mapping[str, Facts]) -> Iterator[str]:
    for part, facts in list(failed.items())[:MOST_PARTS]:
        yield _sentence(f"    part {part!r} failed", facts["code"], facts["reason"])
    if len(failed) > MOST_PARTS:
        yield f"    and {len(failed) - MOST_PARTS} more of its parts failed."


def _of_the_rest(steps: Mapping[str, Facts]) -> Iterator[str]:
    """Yield which steps were added, from where outputs are that were there already, and what the run was not to do."""
    for by, names in _grouped(steps, "added_by").items():
        yield f"Added by {by!r}: {_few(names)}."
    for source, names in _grouped(steps, "given_by").items():
        yield f"Given {source if source == BY_HAND else f'by run {source}'}: {_few(names)}."
    if cached := [name for name, facts in steps.items() if facts.get("cached")]:
        yield f"From the cache: {_few(cached)}."
    if aside := [name for name, facts in steps.items() if facts.get("code") == NOT_SELECTED]:
        yield f"Not a part of this run: {_few(aside)}."


def _grouped(steps: Mapping[str, Facts], fact: str) -> dict[str, list[str]]:
    """Return what a fact says -> the steps of which it says so; those of which it is not known are left out."""
    groups: dict[str, list[str]] = {}
    for name, facts in steps.items():
        if told := facts.get(fact):
            groups.setdefault(told, []).append(name)
    return groups


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(map(repr, names[:MOST_NAMES]))}{more}"


def _still_open(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"Not done yet: {_few(names)}."


def _sentence(told: str, code: str, reason: str) -> str:
    """Return it in one line, with the code and the reason if there are any."""
    line = _line(reason)
    coded = f"{told} [{code}]" if code else told
    return f"{coded}: {line}" if line else f"{coded}."


def _line(reason: str) -> str:
    line = " ".join(reason[: 2 * LONGEST_REASON].split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."


def _problems(code: str, reason: str) -> tuple[str, list[str]]:
    """Return what a reason says first, and the problems that it lists, each in a line of its own, if it does."""
    if code not in _LISTS_PROBLEMS:
        return reason, []
    told, *problems = reason.split("\n  - ")
    return told, problems
