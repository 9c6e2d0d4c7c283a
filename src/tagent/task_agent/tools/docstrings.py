"""A function's docstring -> what it does, and what each parameter means: Google, reST or numpy form."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from griffe import DocstringSection

_HAS_SECTIONS = re.compile(
    r"^[ \t]*(?:(?:Args|Arguments|Params|Parameters|Keyword Args|Keyword Arguments|Other Parameters|Raises|Examples?)"
    r":?[ \t]*$|:(?:param|parameter|arg|argument|key|keyword|raises?)\b)",
    re.MULTILINE,
)

_DOCTEST = ">>>"


@dataclass(frozen=True, slots=True)
class Described:
    """What a docstring says.

    Attributes:
        summary: All of it but what is said of the parameters and of errors, and the examples for programmers.
        parameters: Parameter -> what it means, on one line.
    """

    summary: str
    parameters: dict[str, str] = field(default_factory=dict)


def described(docstring: str) -> Described:
    r"""Return what a docstring, as `inspect.getdoc` gives it, says of a function and its parameters.

    Args:
        docstring: In any form; one without such sections is a summary as it is.

    Example:
        >>> described("Return the weather.\n\nArgs:\n    city: Where.").parameters
        {'city': 'Where.'}
    """
    if not _HAS_SECTIONS.search(docstring):
        return Described(docstring)
    sections = _sections(docstring)
    parameters: dict[str, str] = {}
    for section in sections:
        if section.kind.value in {"parameters", "other parameters"}:
            for parameter in section.value:
                parameters.setdefault(parameter.name.lstrip("*"), " ".join(parameter.description.split()))
    told = [text for section in sections if (text := _told(section))]
    return Described("\n\n".join(told), parameters)


def _sections(docstring: str) -> "list[DocstringSection]":
    from griffe import Docstring  # slow to import, and few tools need it

    if re.search(r"^[ \t]*:\w+", docstring, re.MULTILINE):
        return Docstring(docstring).parse("sphinx", warnings=False)
    if re.search(r"^[ \t]*-{3,}[ \t]*$", docstring, re.MULTILINE):
        return Docstring(docstring).parse("numpy", warnings=False)
    return Docstring(docstring).parse("google", warnings=False)


def _told(section: "DocstringSection") -> str:
    match section.kind.value:
        case "text":
            return str(section.value).strip()
        case "returns":
            returned = " ".join(" ".join(item.description.split()) for item in section.value)
            return f"Returns: {returned}" if returned else ""
        case "admonition":
            return "" if _DOCTEST in section.value.contents else f"{section.title}: {section.value.contents}"
        case "examples":
            shown = "\n".join(str(text) for _, text in section.value)
            return "" if _DOCTEST in shown else f"Examples: {shown}"
        case _:
            return ""
