"""The report: Markdown for a text, HTML with plots for a browser. Both of the same results."""

from html import escape

from . import about, fault_report
from . import result as results
from .plot import chart
from .scenarios import SCENARIOS
from .table import Table, verdict

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1280px; padding: 0 1em; color: #1c2330; }
h2 { margin-top: 2.2em; border-top: 1px solid #d5dae2; padding-top: 1em; }
table { border-collapse: collapse; margin: .6em 0 1em; } td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #b8c0cc; font-weight: 600; } td.n { text-align: right; } .short { white-space: nowrap; }
.pass { color: #1d7a3c; font-weight: 600; } .FAIL { color: #b3202a; font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(520px, 1fr)); gap: 1em; }
svg { width: 100%; height: auto; } svg .grid { stroke: #e2e6ec; } svg .tick, svg .unit { font-size: 11px; fill: #5a6472; }
svg text { font-family: inherit; } svg .title { font-size: 13px; font-weight: 600; }
"""
INTRO = (
    "Server and k6 share this machine; a time is the client's, and holds what k6 itself waits for a processor. The server's own "
    "times, from its histogram, stand beside it. Published figures are those of other systems on other machines; RTT says that "
    "a network is in them."
)
# Where the published shapes were silent.
READINGS = (
    "Read models are kept (SQLite, in the server), as in a sale. Limits of requests per caller are off, and passwords are hashed "
    "cheaply (argon2id, 64 KiB): with the default a sign-up costs some 20 ms of a core, on purpose.",
    "S0, S3-2: whoever joins is somebody new, without an account. S0-C: a push is from the server's decision to let somebody in, "
    "before it is on disk, until k6 has read it on that person's stream; up to 8,000 wait on streams (heavy: 15,000).",
    "S1: nobody may have more than 100 places, so 50 users take turns. All at once: the connections are open before, and the last "
    "answer comes when k6 has dealt with all the others on the same two cores; the line below it is what that takes by itself.",
    "S2, S4: people go through a queue that lets everybody in at once, hold a random free seat, and pay. S4 charges first.",
    "S3 L: people take a second after each request, which the published rates and times come to; P: none.",
)


def ms(value):
    return "-" if value is None else f"{value:,.0f} ms" if value >= 100 else f"{value:.2f} ms"


def number(value):
    return "-" if value is None else f"{value:,.0f}"


def summary(found):
    """One line for each target, and one for each scenario's books."""
    table = Table("", "scenario", "what", "here", "to reach", "verdict", "published by others")
    for one in found:
        for at, line in enumerate(one["verdict"]):
            value = ms(line["value"]) if line["unit"] == "ms" else number(line["value"])
            reach = {None: "", 0: "none"}.get(line["at_most"], f"< {line['at_most']} {line['unit']}")
            table.add(
                one["title"] if at == 0 else "",
                line["what"],
                value,
                reach,
                verdict(line["ok"]),
                one["published"] if at == 0 else "",
            )
        broken = [line["what"] for line in one["books"] if not line["ok"]]
        table.add("", "the books", "; ".join(broken) or "hold", "hold", verdict(not broken), "")
    return table


def requests(one):
    table = Table("Requests, as the client saw them", "request", "count", "avg", "p50", "p95", "p99", "max", "failed")
    for row in one["requests"]:
        table.add(
            row["name"],
            number(row["count"]),
            *(ms(row[figure]) for figure in ("avg", "p50", "p95", "p99", "max")),
            row["failed"],
        )
    return table


def server(one):
    table = Table("The same by the server's own histogram (interpolated)", "route", "count", "p50", "p95", "p99")
    for row in one["server"]:
        table.add(row["route"], number(row["count"]), *(ms(row[figure]) for figure in ("p50", "p95", "p99")))
    return table


def books(one):
    table = Table("The books", "what", "found", "")
    for row in one["books"]:
        table.add(row["what"], row["value"], verdict(row["ok"]))
    return table


def facts(one):
    cpu = one["cpu"]
    both = cpu["server_s"] + cpu["k6_s"]
    others = max(0.0, cpu["all_s"] - both)
    share = f"{100 * cpu['k6_s'] / both:.0f} %" if both else "-"
    memory = f"{one['memory_peak_bytes'] / 1e6:,.0f} MB" if one["memory_peak_bytes"] else "-"
    counted = ", ".join(f"{name.replace('_', ' ')} {value:,.0f}" for name, value in one["counted"].items() if value)
    lines = [
        f"Shape: {one['shape']}.",
        f"Published: {one['published']}." if one["published"] else "",
        f"Processor time: server {cpu['server_s']:.1f} s, k6 {cpu['k6_s']:.1f} s ({share} of both), everything else on the machine "
        f"{others:.1f} s, kept back by its host {cpu['steal_s']:.1f} s; the server's memory at "
        f"most {memory}; {one['events']:,} events in the log." + (f" {counted}." if counted else ""),
        one["note"],
        f"Measured {one['at']}, commit {one['commit']}, {one['seconds']:.0f} s in all.",
    ]
    return [line for line in lines if line]


def rates(rows, name):
    """What a counter gained per second."""
    return [
        (after["second"], max(0.0, (after[name] - before[name]) / max(0.001, after["second"] - before["second"])))
        for before, after in zip(rows, rows[1:])
        if name in before and name in after
    ]


def plots(one):
    rows, latency = one["samples"], one["latency"]

    def of(name, by=1):
        return [(row["second"], row[name] / by) for row in rows if name in row]

    drawn = []
    for name, points in latency.items():
        lines = [
            (figure, [(point[0], point[at]) for point in points]) for figure, at in (("p50", 2), ("p95", 3), ("p99", 4))
        ]
        drawn.append(chart(f"Latency of {name}", "ms", lines))
    drawn.append(
        chart(
            "Throughput",
            "1/s",
            [(name, [(p[0], p[1]) for p in points]) for name, points in latency.items()]
            + [("events", rates(rows, "events"))],
        )
    )
    if any(row.get("waiting") for row in rows):
        drawn.append(chart("People waiting", "", [("waiting", of("waiting"))]))
    if any(row.get("admitted") for row in rows):
        drawn.append(chart("People let in", "1/s", [("admitted", rates(rows, "admitted"))]))
    if any(row.get("sales") for row in rows):
        drawn.append(chart("Sales", "1/s", [("sales", rates(rows, "sales"))]))
    drawn.append(
        chart(
            "Processor time",
            "cores",
            [
                ("server", rates(rows, "server_cpu_s")),
                ("k6", rates(rows, "k6_cpu_s")),
                ("all", rates(rows, "machine_cpu_s")),
            ],
        )
    )
    drawn.append(chart("The server's memory", "MB", [("resident", of("memory_bytes", 1e6))]))
    drawn.append(chart("The server's files and threads", "", [("open files", of("files")), ("threads", of("threads"))]))
    return [one for one in drawn if one]


def in_order(found):
    order = [scenario.name for scenario in SCENARIOS]
    return sorted(
        found.values(), key=lambda one: order.index(one["scenario"]) if one["scenario"] in order else len(order)
    )


def about_all(found):
    """The machine and the versions that all of it was measured with."""
    commits = dict.fromkeys(one["commit"] for one in found)
    return [
        *about.lines(found[0]["machine"]),
        f"Measured at commit {', '.join(commits)}, from {min(one['at'] for one in found)} to {max(one['at'] for one in found)}.",
    ]


def tables_of(kept_result):
    """Tables of load/rivals and the like, kept as rows so that they can be shown again."""
    for kept in kept_result["tables"]:
        table = Table(kept["title"], *kept["head"])
        table.rows = kept["rows"]
        yield table


def tables_of_scale(found):
    """The tables of load/scale, one for each part."""
    for name, part in found["parts"].items():
        size = "full size" if part["by"] == 1 else f"1/{part['by']} of full size"
        table = Table(f"{name} ({size}, {part['at']}, commit {part['commit']})", "what", "found", "to reach", "verdict")
        for row in part["rows"]:
            table.add(row["what"], row["value"], row["reach"], verdict(row["ok"]))
        yield table


def write(short):
    """Writes report.md and report.html of all that was saved, if there is something; their paths."""
    saved = results.saved(short)
    if not saved:
        return []
    scale = saved.pop("scale", None)
    tabled = [saved.pop(name) for name in list(saved) if "tables" in saved[name]]
    faults = fault_report.in_order([saved.pop(name) for name in list(saved) if name.startswith("fault-")])
    found = in_order(saved)
    title = "Onsale under load" + (" (short: the books count, times say little)" if short > 1 else "")
    top = about_all([*found, *tabled, *faults, *([scale] if scale else [])])
    markdown = [f"# {title}\n", *(f"{line}\n" for line in [*top, INTRO]), "".join(f"- {line}\n" for line in READINGS)]
    readings = "".join(f"<li>{escape(line)}</li>" for line in READINGS)
    html = [f"<h1>{title}</h1>", *(f"<p>{escape(line)}</p>" for line in [*top, INTRO]), f"<ul>{readings}</ul>"]
    if found:
        markdown.append(summary(found).markdown())
        html.append(summary(found).html())
    for one in tabled:
        heading = f"{one.get('title', 'Rivals, in the same run')} ({one['at']}, commit {one['commit']})"
        markdown += [f"## {heading}\n", *(table.markdown() for table in tables_of(one))]
        html += [f"<h2>{escape(heading)}</h2>", *(table.html() for table in tables_of(one))]
    if scale:
        markdown += ["## Large things on one machine\n", *(table.markdown() for table in tables_of_scale(scale))]
        html += ["<h2>Large things on one machine</h2>", *(table.html() for table in tables_of_scale(scale))]
    markdown += fault_report.markdown(faults)
    html += fault_report.html(faults)
    for one in found:
        parts = [requests(one), server(one), books(one)]
        markdown += [f"## {one['title']}\n", "\n".join(facts(one)) + "\n", *(part.markdown() for part in parts)]
        html += [f"<h2>{escape(one['title'])}</h2>", *(f"<p>{escape(line)}</p>" for line in facts(one))]
        html += [f'<div class="plots">{"".join(plots(one))}</div>', *(part.html() for part in parts)]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>{"".join(html)}</html>'
    folder = results.folder(short).parent
    stem = "report-short" if short > 1 else "report"
    paths = folder / f"{stem}.md", folder / f"{stem}.html"
    paths[0].write_text("\n".join(markdown))
    paths[1].write_text(page)
    return paths
