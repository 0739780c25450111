"""The faults' part of the report."""

from html import escape

from .plot import chart
from .result import holds
from .table import Table, verdict

TITLE = "Faults, while people buy"
READING = (
    "Each buyer asks again, with the same key, for what was not answered; so at the end everybody has been told what happened, and "
    "“acknowledged / in the log” must be equal. The time until it serves again begins with the kill, the repair or the "
    "end of the trouble, and ends with the first write that is answered: the start of the process and the reading of the log are in it."
)


def in_order(found):
    return sorted(found, key=lambda one: one["order"])


def tables(found):
    """What happened and what it did; and the books of each."""
    first = Table("", "fault", "what happened", "load before", "what buyers saw", "serves again after", "the books")
    for one in found:
        first.add(one["title"], one["happened"], one["load"], one["saw"], one["again"], verdict(holds(one)))
    kinds = list(dict.fromkeys(line["what"] for one in found for line in one["books"]))
    common = [what for what in kinds if all(any(line["what"] == what for line in one["books"]) for one in found)]
    second = Table("Acknowledged / in the log", "fault", *common, "besides")
    for one in found:
        values = {line["what"]: told(line) for line in one["books"]}
        besides = "; ".join(f"{what}: {value}" for what, value in values.items() if what not in common)
        second.add(one["title"], *(values[what] for what in common), besides)
    return [first, second] if found else []


def told(line):
    return line["value"] if line["ok"] else f"{line['value']} FAIL"


def markdown(found):
    return [f"## {TITLE}\n", READING + "\n", *(table.markdown() for table in tables(found))] if found else []


def html(found):
    if not found:
        return []
    plots = "".join(chart(one["title"], "writes/s", [("answered", one["series"])]) for one in found)
    return [
        f"<h2>{escape(TITLE)}</h2><p>{escape(READING)}</p>",
        *(table.html() for table in tables(found)),
        f'<div class="plots">{plots}</div>',
    ]
