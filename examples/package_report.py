"""A report on an installed Python package: facts from its metadata, typed judgements from a model.

    tagent run examples/package_report.py --input package=pydantic

Everything that can be read is read: the functions below return facts, and each would do as an agent's
tool too. A model is asked only for what takes judgement, in types it must keep to. The report says which
model that was, what it cost and how long it took, so that nobody mistakes its opinion for a fact.
"""

from email.message import Message
from importlib import metadata
from typing import Literal, cast

from pydantic import BaseModel, Field

from tagent.pipeline import ExecutionMode, Pipeline, StepContext


class ReportInputs(BaseModel):
    """What the pipeline is given."""

    package: str = Field(description="The name of an installed distribution.")


class Facts(BaseModel):
    """What the metadata says."""

    name: str
    version: str
    summary: str
    licence: str
    python: str
    requirements: list[str]
    optional_requirements: int
    classifiers: list[str]
    links: dict[str, str]


class Files(BaseModel):
    """What the distribution consists of."""

    total: int
    python_modules: int
    compiled_modules: int
    typed: bool
    bytes: int


class Purpose(BaseModel):
    """What the package is for, in a model's words."""

    summary: str = Field(description="What the package does, in one sentence.")
    typical_uses: list[str] = Field(description="Two or three things people use it for.", max_length=3)


class Audience(BaseModel):
    """For whom it is and how mature, in a model's judgement."""

    audience: Literal["application developers", "library authors", "data scientists", "operators", "everyone"]
    maturity: Literal["experimental", "usable", "stable", "legacy"]


def read_facts(package: str) -> Facts:
    """Return the facts in the metadata of an installed package."""
    found = _metadata(package)
    required = metadata.requires(package) or []
    return Facts(
        name=found["Name"],
        version=found["Version"],
        summary=found.get("Summary", ""),
        licence=_licence(found),
        python=found.get("Requires-Python", "any"),
        requirements=[line for line in required if "extra ==" not in line],
        optional_requirements=sum("extra ==" in line for line in required),
        classifiers=found.get_all("Classifier") or [],
        links=dict(line.split(", ", 1) for line in found.get_all("Project-URL") or []),
    )


def read_files(package: str) -> Files:
    """Return what files an installed package consists of."""
    files = metadata.files(package) or []
    suffixes = [file.suffix for file in files]
    return Files(
        total=len(files),
        python_modules=suffixes.count(".py"),
        compiled_modules=sum(suffix in {".so", ".pyd"} for suffix in suffixes),
        typed=any(file.name == "py.typed" for file in files),
        bytes=sum(file.size or 0 for file in files),
    )


def read_readme(package: str) -> str:
    """Return the beginning of a package's description, at most 2,000 characters, badges left out."""
    found = _metadata(package)
    text = found.get("Description") or found.get_payload() or ""
    lines = [line for line in str(text).splitlines() if not line.lstrip().startswith(("[![", "![", "<", "[!"))]
    return "\n".join(lines).strip()[:2000]


def write_report(facts: Facts, files: Files, purpose: Purpose, audience: Audience, run: StepContext) -> str:
    """Return the report in Markdown."""
    uses = "\n".join(f"- {use}" for use in purpose.typical_uses)
    requirements = "\n".join(f"- `{line}`" for line in facts.requirements) or "- none"
    links = "\n".join(f"- {label}: {address}" for label, address in facts.links.items()) or "- none"
    return f"""\
# {facts.name} {facts.version}

{facts.summary}

## Facts, from the installed metadata

| | |
|---|---|
| Licence | {facts.licence} |
| Python | {facts.python} |
| Files | {files.total}, of them {files.python_modules} Python and {files.compiled_modules} compiled modules |
| Size | {files.bytes / 1024:,.0f} KiB |
| Ships type hints | {"yes" if files.typed else "no"} |
| Optional requirements | {facts.optional_requirements} |

Requires:

{requirements}

Links:

{links}

## Judgement, from {run.steps["purpose"].model}

{purpose.summary}

{uses}

Audience: {audience.audience}. Maturity: {audience.maturity}.

## How this report was made

| step | model | tokens | cost | seconds |
|---|---|---|---|---|
{_step_rows(run)}
"""


def _step_rows(run: StepContext) -> str:
    return "\n".join(
        f"| {name} | {step.model or 'none'} | {step.usage.total_tokens} "
        f"| {'unknown' if step.unpriced_calls else f'${step.cost_usd:.4f}'} | {step.execution_time:.2f} |"
        for name, step in run.steps.items()
    )


def _metadata(package: str) -> Message:
    return cast("Message", metadata.metadata(package))  # it is one; its declared type shows less of it


def _licence(found: Message) -> str:
    stated = found.get("License-Expression") or found.get("License")
    if stated:
        return str(stated).splitlines()[0]
    named = [line.rsplit(" :: ", 1)[-1] for line in found.get_all("Classifier") or [] if line.startswith("License")]
    return ", ".join(named) or "not stated"


pipeline = (
    Pipeline(
        "package_report",
        "A report on an installed Python package",
        inputs=ReportInputs,
        default_mode=ExecutionMode.CONCURRENT,
    )
    .step("facts", run=read_facts)
    .step("files", run=read_files)
    .step("readme", run=read_readme)
    .step(
        "purpose",
        "Say what the Python package {package} is for.",
        read_data=["facts.summary", "readme"],
        output_schema=Purpose,
    )
    .step(
        "audience",
        "Say for whom the Python package {package} is, and how mature it is.",
        read_data=["facts.summary", "facts.classifiers"],
        output_schema=Audience,
    )
    .step("report", run=write_report, depends_on=["facts", "files", "readme", "purpose", "audience"])
)

if __name__ == "__main__":
    from tagent import run_agent

    print(run_agent(pipeline, inputs={"package": "pydantic"}).final_output)
