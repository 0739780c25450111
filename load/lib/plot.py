"""Line charts as inline SVG: a page that needs nothing else."""

import math
from html import escape

WIDTH, HEIGHT = 620, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 30
COLOURS = ("#1f6fb2", "#d1731e", "#2f8f4e", "#b0306a", "#6b5bb5")


def steps(highest, count=4):
    """Round numbers from 0 to at least `highest`."""
    if highest <= 0:
        return [0, 1]
    power = 10 ** math.floor(math.log10(highest / count))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor * count >= highest)
    return [step * number for number in range(count + 1)]


def amount(value):
    if value >= 1e9:
        return f"{value / 1e9:.3g} G"
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    if value >= 10_000:
        return f"{value / 1e3:.3g} k"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def chart(title, unit, lines):
    """`lines`: [(label, [(second, value)])]."""
    lines = [(label, points) for label, points in lines if points]
    if not lines:
        return ""
    seconds = max(1.0, max(second for _, points in lines for second, _ in points))
    ticks = steps(max(value for _, points in lines for _, value in points))
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(second, value):
        return f"{LEFT + second / seconds * inner_width:.1f},{TOP + (1 - value / ticks[-1]) * inner_height:.1f}"

    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    out.append(
        f'<text x="{LEFT}" y="14" class="title">{escape(title)} <tspan class="unit">{escape(unit)}</tspan></text>'
    )
    for tick in ticks:
        left, y = at(0, tick).split(",")
        out.append(f'<line x1="{left}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" class="grid"/>')
        out.append(f'<text x="{LEFT - 6}" y="{float(y) + 4:.1f}" class="tick" text-anchor="end">{amount(tick)}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = at(seconds * share, 0).split(",")[0]
        out.append(f'<text x="{x}" y="{HEIGHT - 12}" class="tick" text-anchor="middle">{seconds * share:.0f} s</text>')
    legend = WIDTH - RIGHT
    for number, (label, points) in reversed(list(enumerate(lines))):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(at(*point) for point in sorted(points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        out.append(
            f'<text x="{legend}" y="14" style="fill: {colour}" class="tick" text-anchor="end">{escape(label)}</text>'
        )
        legend -= 7 * len(label) + 14
    out.append("</svg>")
    return "".join(out)
