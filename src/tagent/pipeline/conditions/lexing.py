"""The words of a condition as text. Every text is taken apart in one pass; what is no word is an error."""

import re
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from tagent.pipeline.conditions.errors import ConditionError
from tagent.pipeline.conditions.tree import MAX_LENGTH

Kind = Literal["double", "integer", "word", "string", "sign", "end"]

_TOKEN: Final = re.compile(
    r"""
      (?P<space> [ \t\r\n\f]+ | //[^\r\n]* )
    | (?P<double> (?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)? | \d+[eE][+-]?\d+ )
    | (?P<integer> 0x[0-9a-fA-F]+ | \d+ )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<string> "(?:[^"\\\r\n]|\\.)*" | '(?:[^'\\\r\n]|\\.)*' )
    | (?P<sign> && | \|\| | [=!<>]= | [-+*/%!<>?:.,()\[\]] )
    """,
    re.VERBOSE | re.ASCII,
)

_ESCAPE: Final = re.compile(
    r"""\\(?:([abfnrtv\\'"`?])|x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.?))""",
    re.DOTALL,
)
_SHORT: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

_INSTEAD: Final = {
    "=": "Write == for equality.",
    "&": "Write && between parts that must both hold.",
    "|": "Write || between parts of which one must hold.",
    "{": "Maps cannot be written; compare fields one by one.",
    '"': "The text has no end: close it with the same quotation mark, and write \\n for a new line.",
    "'": "The text has no end: close it with the same quotation mark, and write \\n for a new line.",
    "`": 'Write ["..."] for a name that is no word.',
    "$": "Write steps.NAME or inputs.NAME for a value.",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text.

    Attributes:
        kind: What kind of word it is.
        text: It as it is written; empty at the end.
        place: The number of characters before it.
    """

    kind: Kind
    text: str
    place: int


def tokens_of(text: str) -> list[Token]:
    """Return the words of `text`, with a last one of the kind `end`.

    Raises:
        ConditionError: If it is too long, or something in it is no word.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(
            f"The condition has {len(text):,} characters; at most {MAX_LENGTH:,} are allowed.",
            text=text[:MAX_LENGTH],
            hint="Split it, or compute a part of it in a step.",
        )
    found: list[Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or text.startswith(('"""', "'''"), place):
            refuse_character(text, place)
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are the kinds, and `space`
        if match.lastgroup != "space":
            found.append(Token(kind, match.group(), place))
        place = match.end()
    found.append(Token("end", "", len(text)))
    return found


def refuse_character(text: str, place: int) -> NoReturn:
    """Refuse what stands at `place`.

    Raises:
        ConditionError: Always.
    """
    character = text[place]
    if text.startswith(('"""', "'''"), place):
        refuse(text, place, "texts in three quotation marks are not part of the language.", hint="Use one, and \\n.")
    refuse(text, place, f"{character!a} means nothing here.", hint=_INSTEAD.get(character, ""))


def refuse(text: str, place: int, problem: str, *, word: str = "", hint: str = "") -> NoReturn:
    """Refuse `text` for a problem at `place`; for a `word` that stands for nothing, if that is what is wrong.

    Raises:
        ConditionError: Always.
    """
    raise ConditionError(
        f"The condition {shortened(text)!a} cannot be read at character {place + 1}: {problem}",
        text=text,
        word=word,
        hint=hint,
    )


def shortened(text: str, most: int = 200) -> str:
    """Return `text`, cut after `most` characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def string_of(token: Token, text: str) -> str:
    """Return the string that a token of the kind `string` stands for.

    Raises:
        ConditionError: If it holds an escape that the language does not have.
    """
    written = token.text[1:-1]
    if "\\" not in written:
        decoded = written
    else:

        def character(match: re.Match[str]) -> str:
            short, *numbers, octal, _other = match.groups()
            if short is not None:
                return _SHORT.get(short, short)
            digits = next((number for number in numbers if number is not None), None)
            code = int(digits, 16) if digits is not None else int(octal, 8) if octal is not None else -1
            if not 0 <= code <= 0x10FFFF:
                place = token.place + 1 + match.start()
                refuse(text, place, f"{match.group()!a} is no escape.", hint="Write \\\\ for a backslash.")
            return chr(code)

        decoded = _ESCAPE.sub(character, written)
    if any("\ud800" <= character <= "\udfff" for character in decoded):
        refuse(text, token.place, "the text holds half a character (a lone surrogate).")
    return decoded
