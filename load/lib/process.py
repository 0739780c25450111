"""Processes: what /proc says about them, and a thread that writes it down once a second."""

import os
import threading
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid):
    """Processor time that a process has used so far, s."""
    # The second field, its name, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine_cpu_s():
    """Processor time that everything on this machine has used so far, and that its host has given to others instead, s."""
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS_PER_S, steal / TICKS_PER_S


def status(pid):
    """Memory (bytes) now and at its highest, threads, open files."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value.split()}
    return {
        "memory_bytes": int(fields["VmRSS"]) << 10,
        "memory_peak_bytes": int(fields["VmHWM"]) << 10,
        "threads": int(fields["Threads"]),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
    }


def machine():
    """The machine that figures belong to."""
    cpu = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    memory = next(int(line.split()[1]) << 10 for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return {"cores": os.cpu_count(), "cpu": cpu, "memory_bytes": memory}


class Samples:
    """Once a second: the processor time of both sides, what the server takes, and what it says in /metrics."""

    GAUGES = {
        "onsale_log_position": "events",
        "onsale_sales_total": "sales",
        "onsale_streams_open": "streams",
    }

    def __init__(self, server, k6_pid):
        self.server, self.k6_pid = server, k6_pid
        self.rows = []
        self.server_cpu_before_s = cpu_s(server.pid)
        self.machine_before_s = machine_cpu_s()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        started = time.time()
        while not self.stop.is_set():
            try:
                self.rows.append(self.row(started))
            except (OSError, ValueError, KeyError, StopIteration):
                # One of the two has ended.
                return
            self.stop.wait(1 - (time.time() - started) % 1)

    def row(self, started):
        row = {"second": time.time() - started, "k6_cpu_s": cpu_s(self.k6_pid)}
        row["server_cpu_s"] = cpu_s(self.server.pid) - self.server_cpu_before_s
        row["machine_cpu_s"] = sum(machine_cpu_s())
        row.update(status(self.server.pid))
        row["waiting"] = row["admitted"] = 0
        for name, value in self.server.metrics():
            if name in self.GAUGES:
                row[self.GAUGES[name]] = value
            elif name.startswith("onsale_queue_people{") and 'state="waiting"' in name:
                row["waiting"] += value
            elif name.startswith("onsale_queue_people_ever{") and 'state="admitted"' in name:
                row["admitted"] += value
        return row

    def end(self):
        """Stops; the rows, and the processor time used meanwhile: by the server, by all, and what the host kept back, s."""
        self.stop.set()
        self.thread.join()
        all_s, steal_s = (after - before for after, before in zip(machine_cpu_s(), self.machine_before_s))
        return self.rows, {
            "server_s": cpu_s(self.server.pid) - self.server_cpu_before_s,
            "all_s": all_s,
            "steal_s": steal_s,
        }
