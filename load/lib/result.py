"""What came of one scenario: a JSON file that the report is made of, so that scenarios can run apart from each other."""

import json
import subprocess
import time
from pathlib import Path

from .k6 import LOAD, TARGET, quantile_s
from .process import machine

REPOSITORY = LOAD.parent
# Each second's figures in the report; of longer runs as many points as this.
POINTS_MAX = 300


def commit():
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def judged(target, run, short):
    """A line of the verdict. A short run is about the books: what a small machine or a slow build takes decides nothing."""
    metric = run.find(target.metric, target.name)
    trend = (metric or {}).get("trend", {})
    if target.figure == "total":
        value = run.total(target.metric)
    elif target.figure == "sum":
        value = trend.get("avg", 0) * trend.get("count", 0)
    else:
        value = trend.get(target.figure)
    decides = target.always or (short == 1 and target.at_most is not None)
    ok = decides and value is not None and (value == 0 if target.at_most == 0 else value < target.at_most)
    return {
        "what": target.what,
        "value": value,
        "at_most": target.at_most,
        "unit": target.unit,
        "ok": ok if decides else None,
        "always": target.always,
    }


def of(scenario, run, books, events, short, seconds, memory_note=""):
    """The result of a run, as JSON."""
    rows = run.samples
    last = rows[-1] if rows else {}
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "shape": scenario.shape,
        "published": scenario.published,
        "short": short,
        "commit": commit(),
        "at": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "seconds": seconds,
        "machine": machine(),
        "note": memory_note,
        "verdict": [judged(target, run, short) for target in scenario.targets],
        "books": [{"what": what, "value": value, "ok": ok} for what, value, ok in books],
        "requests": requests(run),
        "server": [
            {
                "route": route,
                "count": buckets[float("inf")],
                **{f"p{share}": 1000 * quantile_s(buckets, share / 100) for share in (50, 95, 99)},
            }
            for route, buckets in sorted(run.buckets.items())
            if not route.endswith(("/metrics", "/livez", "/readyz"))
        ],
        "counted": {one["metric"]: run.total(one["metric"]) for one in run.metrics if one["metric"] in COUNTED},
        "events": events,
        "cpu": run.cpu,
        "memory_peak_bytes": last.get("memory_peak_bytes"),
        "latency": latency_series(run),
        "samples": thinned(rows),
    }


COUNTED = ("dropped_iterations", "seats_taken", "notified", "streams_broken", "unexpected")


def requests(run):
    """Every kind of request as the client saw it, and all together; pushes, too."""
    found = []
    for metric in ("http_req_duration", "push_duration"):
        for one in sorted(run.all(metric), key=lambda one: one["name"]):
            if metric == "push_duration" and one["name"] == "":
                continue
            name = "push" if metric == "push_duration" else one["name"] or "all"
            failed = run.find("http_req_failed", one["name"]) if one["name"] else None
            found.append({"name": name, **one["trend"], "failed": int((failed or {}).get("total", 0))})
    return found


def latency_series(run):
    """[(second, requests, p50, p95, p99)] of all requests, and the same of pushes."""
    found = {}
    for name, metric in (("requests", "http_req_duration"), ("pushes", "push_duration")):
        one = run.find(metric)
        if one:
            rows = sorted((int(second), of) for second, of in one["seconds"].items())
            width = max(1, len(rows) // POINTS_MAX)
            found[name] = [
                (
                    group[0][0],
                    sum(of["count"] for _, of in group) / len(group),
                    *(worst(group, share) for share in ("p50", "p95", "p99")),
                )
                for group in (rows[at : at + width] for at in range(0, len(rows), width))
            ]
    return found


def worst(group, share):
    return max(of[share] for _, of in group)


def thinned(rows):
    width = max(1, len(rows) // POINTS_MAX)
    return rows[::width]


def folder(short):
    return TARGET / ("results-short" if short > 1 else "results")


def save(result, short):
    path = folder(short) / f"{result['scenario']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))


def saved(short):
    """All that were saved, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder(short)).glob("*.json"))}


def holds(result):
    """Whether the books hold and no request failed."""
    return all(line["ok"] for line in result["books"]) and all(
        line["ok"] for line in result["verdict"] if line["always"]
    )


def is_short_of_a_target(result):
    return any(line["ok"] is False for line in result["verdict"])
