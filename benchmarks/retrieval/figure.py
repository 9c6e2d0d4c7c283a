"""Outcomes by limit -> a plain SVG of how often the right tool is described, by style."""

from collections.abc import Mapping, Sequence

from benchmarks.retrieval.measuring import STYLES, Outcome

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 24, 48
COLOURS = {"in the prompt": "#111111", "plain": "#1b7837", "paraphrase": "#b35806", "portuguese": "#2166ac"}
DASHES = {"in the prompt": "6 4", "plain": "none", "paraphrase": "none", "portuguese": "none"}


def drawing(by_limit: Mapping[int, Sequence[Outcome]]) -> str:
    """Return the figure: the limit of described tools to the right, shares of goals upwards."""
    lines = {
        "in the prompt": [sum(outcome.in_prompt for outcome in found) / len(found) for found in by_limit.values()],
        **{style: [_described(found, style) for found in by_limit.values()] for style in STYLES},
    }
    parts = [*_axes(tuple(by_limit))]
    for position, (name, shares) in enumerate(lines.items()):
        points = [(_x(number, len(by_limit)), _y(share)) for number, share in enumerate(shares)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        colour = COLOURS[name]
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{DASHES[name]}"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        label = "in the prompt (all)" if name == "in the prompt" else f"described: {name}"
        parts.append(_text(WIDTH - RIGHT + 12, TOP + 16 + 20 * position, label, colour=colour))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="sans-serif" font-size="12">\n'
        "<title>Share of goals whose right tool of 500 is described, by the number of described tools</title>\n"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _described(found: Sequence[Outcome], style: str) -> float:
    some = [outcome for outcome in found if outcome.goal.style == style]
    return sum(outcome.rank is not None for outcome in some) / len(some)


def _axes(limits: Sequence[int]) -> list[str]:
    parts = []
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{tenth * 10} %", anchor="end"))
    parts += [
        _text(_x(number, len(limits)), HEIGHT - BOTTOM + 18, str(limit), anchor="middle")
        for number, limit in enumerate(limits)
    ]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "tools described in the prompt", anchor="middle"))
    return parts


def _x(number: int, of: int) -> float:
    return LEFT + 8 + (WIDTH - RIGHT - LEFT - 16) * number / max(of - 1, 1)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
