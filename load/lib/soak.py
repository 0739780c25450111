"""The soak: S4 at 60 % load for long, and whether what should stay flat does."""

import statistics

from . import play, result
from .scenarios import soak

# The first part is left out: caches fill, the allocator finds its size.
SETTLING_SHARE = 0.25
# Of what the middle of the run had. Files may not grow at all beyond what a busy second takes.
GROWTH_MAX = {"files": 1.1, "p99": 1.5}
FILES_SLACK = 2
# Pools keep as many threads as were ever busy at once, and some second is the busiest so far. One lost with every thousand
# requests is far more.
THREADS_SLACK = 16
# Memory grows by what is sold: every user, seat and reservation is a state, and snapshots are made. Beyond that it may not.
BYTES_PER_EVENT_MAX = 300
MEMORY_SLACK_BYTES = 64 << 20


def play_for(seconds, program, report):
    """Plays it, judges it, saves it for a report (`report`: as `short` is elsewhere); the result."""
    found = play.play(soak(seconds), program, report=report)
    found["books"] += flatness(found, times_decide=report == 1)
    result.save(found, report)
    return found


def is_flat(found):
    return result.holds(found)


def halves(values):
    """Medians of the first and of the second half of what comes after the settling."""
    values = values[int(len(values) * SETTLING_SHARE) :]
    middle = len(values) // 2
    return statistics.median(values[:middle]), statistics.median(values[middle:])


def flatness(found, times_decide):
    """Lines for the report: (what, from → to, whether that is flat). Of a short run times are only told, as elsewhere."""
    rows = found["samples"]
    # When people leave at the end, everything falls.
    busy = [row for row in rows if row["second"] < rows[-1]["second"] - 12]
    lines = []
    for name, most in (
        ("files", lambda before: max(before * GROWTH_MAX["files"], before + FILES_SLACK)),
        ("threads", lambda before: before + THREADS_SLACK),
    ):
        before, after = halves([row[name] for row in busy])
        ok = after <= most(before)
        lines.append({"what": f"flat: {name}", "value": f"{before:.0f} → {after:.0f}", "ok": ok})
    before, after = halves([row["memory_bytes"] for row in busy])
    events = [row["events"] for row in busy]
    allowed = MEMORY_SLACK_BYTES + BYTES_PER_EVENT_MAX * (events[-1] - events[0])
    lines.append(
        {
            "what": f"flat: memory, beyond {BYTES_PER_EVENT_MAX} bytes for each event",
            "value": f"{before / 1e6:,.0f} MB → {after / 1e6:,.0f} MB",
            "ok": after - before <= allowed,
        }
    )
    points = found["latency"]["requests"]
    points = [point for point in points if point[0] < points[-1][0] - 12]
    before, after = halves([point[4] for point in points])
    lines.append(
        {
            "what": "flat: p99 of all requests",
            "value": f"{before:.1f} ms → {after:.1f} ms",
            "ok": not times_decide or after <= max(before * GROWTH_MAX["p99"], before + 5),
        }
    )
    return lines
