"""The books after a scenario: what the log holds, against what was acknowledged to those who came."""

import json
import subprocess


def events(binary, data):
    """The log's events, of a server that has stopped."""
    reader = subprocess.Popen([str(binary), "log", str(data)], stdout=subprocess.PIPE, text=True)
    for line in reader.stdout:
        yield json.loads(line)
    if reader.wait() != 0:
        raise RuntimeError("onsale log failed")


def verified(binary, data):
    """What `onsale verify` says: its books and counts."""
    done = subprocess.run([str(binary), "verify", str(data), "--json"], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if not lines:
        return {"ok": False, "first": done.stderr.strip()}, {}
    found = json.loads(lines[-1])
    return found["books"], found["counts"]


class Log:
    """What the books need of a log, read by itself: `onsale verify` is not asked."""

    def __init__(self, binary, data):
        self.capacity, self.owners, self.held, self.paid, self.joined = {}, {}, {}, {}, set()
        self.admitted, self.twice, self.charged, self.spent, self.refunded, self.events = set(), [], 0, 0, 0, 0
        self.sold = {}
        for event in events(binary, data):
            self.events += 1
            take = getattr(self, "_" + event["type"].partition(".")[0], None)
            if take:
                take(event["stream"], event["data"])

    def _PerformanceCreated(self, stream, data):
        chart = data["chart"]
        seats = sum(
            row.get("seat_count") or len(row["seats"])
            for section in chart.get("sections", [])
            for row in section["rows"]
        )
        self.capacity[stream] = seats + sum(area["capacity"] for area in chart.get("areas", []))

    def _SeatsHeld(self, stream, data):
        self.held[data["reservation_id"]] = data["points"]
        for seat in data["seats"]:
            # None of these scenarios gives a place back, so whoever is second is one too many.
            first = self.owners.setdefault((stream, seat["seat"]), data["reservation_id"])
            if first != data["reservation_id"]:
                self.twice.append((stream, seat["seat"]))
            else:
                self.sold[stream] = self.sold.get(stream, 0) + 1

    def _ReservationConfirmed(self, _, data):
        self.paid[data["reservation_id"]] = data["points"]

    def _PointsCharged(self, _, data):
        self.charged += data["points"]

    def _PointsSpent(self, _, data):
        self.spent += data["points"]

    def _PointsRefunded(self, _, data):
        self.refunded += data["points"]

    def _EntryJoined(self, _, data):
        self.joined.add(data["entry_id"])

    def _EntriesAdmitted(self, _, data):
        self.admitted.update(entry["entry_id"] for entry in data["entries"])


def check(binary, data, run, watched):
    """The lines of the books: (what, value, whether it holds). `watched`: everybody waits on a stream."""
    books, counts = verified(binary, data)
    log = Log(binary, data)
    held, paid = dict(run.noted("held")), dict(run.noted("paid"))
    joined = {entry for entry, _ in run.noted("joined")}
    broken = [name for name, value in books.items() if name != "ok" and value]
    fullest = max(((sold, log.capacity[stream]) for stream, sold in log.sold.items()), default=(0, 0))
    overfull = [stream for stream, sold in log.sold.items() if sold > log.capacity[stream]]
    outstanding = counts.get("points_outstanding")
    lines = [
        ("onsale verify: broken rules", ", ".join(broken) or "none", books.get("ok") is True),
        ("places with two owners", len(log.twice), not log.twice),
        (
            "performances above their capacity",
            f"{len(overfull)} (most sold: {fullest[0]:,} of {fullest[1]:,})",
            not overfull,
        ),
        (
            "acknowledged holds that are not in the log",
            f"{count_missing(held, log.held)} of {len(held):,}",
            not count_missing(held, log.held),
        ),
        (
            "acknowledged payments that are not in the log",
            f"{count_missing(paid, log.paid)} of {len(paid):,}",
            not count_missing(paid, log.paid),
        ),
        (
            "acknowledged joins that are not in the log",
            f"{len(joined - log.joined)} of {len(joined):,}",
            joined <= log.joined,
        ),
        (
            "points charged − spent + refunded − outstanding",
            log.charged - log.spent + log.refunded - (outstanding or 0),
            log.charged - log.spent + log.refunded == outstanding and log.spent == sum(log.paid.values()),
        ),
    ]
    if watched:
        told = int(run.total("notified"))
        lines.append(
            (
                "admitted − notified",
                f"{len(log.admitted) - told} ({told:,} were told)",
                len(log.admitted) == told and told > 0,
            )
        )
    return lines, log.events


def count_missing(acknowledged, found):
    """How many are missing, or were something else."""
    return sum(1 for one, points in acknowledged.items() if found.get(one) != points)
