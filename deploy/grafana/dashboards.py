"""Writes the dashboards: python3 deploy/grafana/dashboards.py. deploy/check.py compares what is committed with it.

A panel is a title, a unit and its queries, each with what it is called in the legend. Panels stand in rows of 24 columns.
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${source}"}
# Of the instances that are chosen above the panels.
I = 'instance=~"$instance"'
HTTP = "onsale_http_request_seconds_bucket"


def rate(figure, labels=""):
    return f"rate({figure}{{{labels + ', ' if labels else ''}{I}}}[$__rate_interval])"


ERRORS = rate("onsale_http_requests_total", 'status=~"5.."')


def quantile(q, figure, by="", labels=""):
    return f"histogram_quantile({q}, sum by ({by}le) ({rate(figure, labels)}))"


def graph(title, unit, *queries, width=8, about=None, stacked=False, least=0):
    custom = {"fillOpacity": 8, "showPoints": "never"}
    if stacked:
        custom = {"fillOpacity": 40, "showPoints": "never", "stacking": {"mode": "normal"}}
    return {"type": "timeseries", "title": title, "unit": unit, "queries": queries, "width": width, "height": 8,
            "custom": custom, "about": about, "least": least}


def number(title, unit, query, width=4, about=None, steps=()):
    return {"type": "stat", "title": title, "unit": unit, "queries": [(query, title)], "width": width, "height": 4,
            "about": about, "steps": steps}


def heat(title, unit, query, width=8, about=None):
    return {"type": "heatmap", "title": title, "unit": unit, "queries": [(query, "{{le}}")], "width": width, "height": 8,
            "about": about}


DASHBOARDS = {
    "on-sale": ("onsale", "On sale", "One screen for the hour in which tickets are sold.", [
        number("Sells", "bool_yes_no", f"min(onsale_ready{{{I}}})", about="Whether every server is ready",
               steps=[(None, "red"), (1, "green")]),
        number("Places left", "short", f'sum(onsale_performance_places{{state="left", {I}}})',
               about="Of the 100 busiest performances that are on sale"),
        number("Places sold", "short", f'sum(onsale_performance_places{{state="sold", {I}}})'),
        number("Sold per second", "ops", f"sum({rate('onsale_sales_total')})"),
        number("People waiting", "short", f'sum(onsale_queue_people{{state="waiting", {I}}})'),
        number("Errors", "percentunit",
               f'(sum({ERRORS}) or vector(0)) '
               f"/ sum({rate('onsale_http_requests_total')})",
               about="Requests that were answered 5xx", steps=[(None, "green"), (0.001, "orange"), (0.01, "red")]),
        graph("Places left, by performance", "short",
              (f'topk(20, onsale_performance_places{{state="left", {I}}})', "{{performance}}"), width=12),
        graph("Places", "short", (f"sum by (state) (onsale_performance_places{{{I}}})", "{{state}}"), width=12, stacked=True),
        graph("Holds and sales", "ops", (f"sum({rate('onsale_holds_total')})", "held"),
              (f"sum({rate('onsale_sales_total')})", "sold"), (f"sum({rate('onsale_holds_lapsed_total')})", "lapsed")),
        graph("Revenue", "short", (f"sum({rate('onsale_sales_points_total')})", "points paid a second"),
              (f"sum({rate('onsale_refunds_points_total')})", "points refunded a second")),
        graph("Refused, by reason", "reqps", (f"sum by (reason) ({rate('onsale_refusals_total')}) > 0", "{{reason}}")),
        graph("Requests", "reqps", (f"sum by (status) ({rate('onsale_http_requests_total')})", "{{status}}"), stacked=True),
        graph("Time to answer", "s", (quantile(0.5, HTTP), "p50"), (quantile(0.95, HTTP), "p95"), (quantile(0.99, HTTP), "p99")),
        graph("p50, by route", "s", (quantile(0.5, HTTP, "method, route, "), "{{method}} {{route}}")),
        graph("p95, by route", "s", (quantile(0.95, HTTP, "method, route, "), "{{method}} {{route}}")),
        graph("p99, by route", "s", (quantile(0.99, HTTP, "method, route, "), "{{method}} {{route}}")),
        graph("Errors, by status", "reqps",
              (f'sum by (status) ({ERRORS}) or vector(0)',
               "{{status}}")),
        graph("People in queues", "short", (f"sum by (state) (onsale_queue_people{{{I}}})", "{{state}}")),
        graph("Let in per minute", "short", (f"sum by (queue) (onsale_queue_admitted_per_second{{{I}}}) * 60", "{{queue}}")),
        graph("Outputs behind", "s", (f"max by (output) (onsale_output_lag_seconds{{{I}}})", "{{output}}")),
    ]),
    "queues": ("onsale-queues", "Queues", "Who waits, who is let in, and whether people were told right.", [
        number("Open queues", "short", f"sum(onsale_queue_open{{{I}}})"),
        number("Waiting", "short", f'sum(onsale_queue_people{{state="waiting", {I}}})'),
        number("Looking at it", "short", f'sum(onsale_queue_people{{state="present", {I}}})',
               about="Of those who wait: who gave a sign of life of late"),
        number("Inside", "short", f'sum(onsale_queue_people{{state=~"admitted|active", {I}}})'),
        number("Let in per minute", "short", f"sum(onsale_queue_admitted_per_second{{{I}}}) * 60"),
        number("Streams", "short", f"sum(onsale_streams_open{{{I}}})"),
        graph("Waiting, by queue", "short",
              (f'sum by (queue) (onsale_queue_people{{state="waiting", {I}}})', "{{queue}}"), width=12),
        graph("Inside, by queue", "short",
              (f'sum by (queue) (onsale_queue_people{{state=~"admitted|active", {I}}})', "{{queue}}"), width=12),
        graph("Let in per minute, by queue", "short",
              (f"sum by (queue) (onsale_queue_admitted_per_second{{{I}}}) * 60", "{{queue}}")),
        graph("Longest wait", "s", (f"max by (queue) (onsale_queue_longest_wait_seconds{{{I}}})", "{{queue}}")),
        graph("Estimates off by", "s", (f"max by (queue) (onsale_queue_eta_error_seconds{{{I}}})", "{{queue}}")),
        graph("People, by state", "short", (f"sum by (state) (onsale_queue_people{{{I}}})", "{{state}}"), stacked=True),
        graph("Joined, let in, finished, gone", "short", (f"sum by (state) (onsale_queue_people_ever{{{I}}})", "{{state}}"),
              about="All people ever"),
        graph("Open", "bool", (f"max by (queue) (onsale_queue_open{{{I}}})", "{{queue}}")),
        graph("Streams", "short", (f"sum(onsale_streams_open{{{I}}})", "open"),
              (f"sum({rate('onsale_streams_lagging_total')})", "fell behind a second")),
        graph("Frames", "ops", (f"sum({rate('onsale_stream_frames_total')})", "frames a second")),
        graph("Sent to streams", "Bps", (f"sum({rate('onsale_stream_bytes_total')})", "bytes a second")),
    ]),
    "engine": ("onsale-engine", "Engine and log", "From the mailbox to the disk.", [
        number("Events per second", "ops", f"sum({rate('onsale_log_events_total')})"),
        number("Syncs per second", "ops", f"sum({rate('onsale_log_commits_total')})"),
        number("Sync, p99", "s", quantile(0.99, "onsale_log_fsync_seconds_bucket"),
               steps=[(None, "green"), (0.02, "orange"), (0.05, "red")]),
        number("Commands waiting", "short", f"sum(onsale_mailbox_depth{{{I}}})"),
        number("Events waiting for the disk", "short", f"sum(onsale_log_position{{{I}}} - onsale_log_durable_position{{{I}}})"),
        number("Size of the log", "bytes", f"sum(onsale_log_bytes{{{I}}})"),
        graph("Time of a sync", "s", (quantile(0.5, "onsale_log_fsync_seconds_bucket"), "p50"),
              (quantile(0.95, "onsale_log_fsync_seconds_bucket"), "p95"),
              (quantile(0.99, "onsale_log_fsync_seconds_bucket"), "p99"), width=12),
        heat("Syncs, by time", "s", f"sum by (le) (increase(onsale_log_fsync_seconds_bucket{{{I}}}[$__rate_interval]))", width=12),
        graph("Events", "ops", (rate("onsale_log_events_total"), "{{instance}}")),
        graph("Syncs", "ops", (rate("onsale_log_commits_total"), "{{instance}}")),
        graph("Events per sync", "short",
              (f"{rate('onsale_log_events_per_commit_sum')} / {rate('onsale_log_events_per_commit_count')}", "mean"),
              (quantile(0.99, "onsale_log_events_per_commit_bucket"), "p99")),
        graph("Commands waiting", "short", (f"onsale_mailbox_depth{{{I}}}", "waiting {{instance}}"),
              (f"onsale_mailbox_commands_max{{{I}}}", "room of one shard {{instance}}")),
        graph("Events waiting for the disk", "short",
              (f"onsale_log_position{{{I}}} - onsale_log_durable_position{{{I}}}", "{{instance}}")),
        graph("Position", "short", (f"onsale_log_durable_position{{{I}}}", "durable {{instance}}")),
        graph("Size of the log", "bytes", (f"onsale_log_bytes{{{I}}}", "{{instance}}")),
        graph("Clock", "s", (f"onsale_clock_offset_seconds{{{I}}}", "ahead of the machine {{instance}}"),
              (f"onsale_clock_stepped_seconds_total{{{I}}}", "set forwards {{instance}}")),
        graph("Answers that took so long", "reqps",
              (f'sum by (le) ({rate(HTTP, "le=~" + chr(34) + "0.01|0.1|1|10" + chr(34))})', "up to {{le}} s")),
    ]),
    "outputs": ("onsale-outputs", "Kafka and read models", "How far those are that events go out to, the backup among them.", [
        number("Going on", "bool_yes_no", f"min(onsale_output_up{{{I}}})", steps=[(None, "red"), (1, "green")]),
        number("Behind", "s", f'max(onsale_output_lag_seconds{{output!="backup", {I}}})',
               steps=[(None, "green"), (5, "orange"), (30, "red")]),
        number("Backup is behind", "s", f'max(onsale_output_lag_seconds{{output="backup", {I}}})',
               about="What would be lost with the disk; where the server ships a backup (backup.to)",
               steps=[(None, "green"), (60, "orange"), (900, "red")]),
        number("Connections in use", "percentunit",
               f'sum(onsale_database_connections{{state="in_use", {I}}}) / sum(onsale_database_connections_max{{{I}}})'),
        number("Questions waiting", "short", f"sum(onsale_database_waiting{{{I}}})"),
        number("Faults", "short", f"sum(onsale_output_faults_total{{{I}}})", about="Since the start"),
        graph("Behind", "s", (f"onsale_output_lag_seconds{{{I}}}", "{{output}} {{instance}}"), width=12),
        graph("Events behind", "short", (f"onsale_output_lag_events{{{I}}}", "{{output}} {{instance}}"), width=12),
        graph("Records", "ops", (rate("onsale_output_records_total"), "{{output}} {{instance}}")),
        graph("Position", "short", (f"onsale_output_position{{{I}}}", "{{output}} {{instance}}"),
              (f"onsale_log_durable_position{{{I}}}", "log {{instance}}")),
        graph("Going on", "bool", (f"onsale_output_up{{{I}}}", "{{output}} {{instance}}")),
        graph("Faults", "ops", (rate("onsale_output_faults_total"), "{{output}} {{instance}}")),
        graph("Connections to the read models", "short",
              (f"sum by (state) (onsale_database_connections{{{I}}})", "{{state}}"),
              (f"sum(onsale_database_connections_max{{{I}}})", "may be open")),
        graph("Questions that wait for one", "short", (f"sum(onsale_database_waiting{{{I}}})", "waiting")),
    ]),
    "machine": ("onsale-machine", "Machine", "What the process uses, and what is left.", [
        number("Cores in use", "short", f"sum({rate('process_cpu_seconds_total', 'job=' + chr(34) + 'onsale' + chr(34))})"),
        number("Memory", "bytes", f'sum(process_resident_memory_bytes{{job="onsale", {I}}})'),
        number("Disk left", "percentunit", f"min(onsale_data_free_bytes{{{I}}} / onsale_data_size_bytes{{{I}}})",
               steps=[(None, "red"), (0.1, "orange"), (0.25, "green")]),
        number("Runs for", "s", f'min(time() - process_start_time_seconds{{job="onsale", {I}}})'),
        number("Connections", "short", f"sum(onsale_connections_open{{{I}}})"),
        number("Certificate ends in", "s", f"min(onsale_tls_certificate_not_after_timestamp_seconds{{{I}}}) - time()",
               about="Where the server itself speaks TLS", steps=[(None, "red"), (172800, "orange"), (1209600, "green")]),
        graph("Processor", "short", (rate("process_cpu_seconds_total", 'job="onsale"'), "cores {{instance}}")),
        graph("Memory", "bytes", (f'process_resident_memory_bytes{{job="onsale", {I}}}', "{{instance}}")),
        graph("Threads", "short", (f'process_threads{{job="onsale", {I}}}', "{{instance}}")),
        graph("Disk left", "bytes", (f"onsale_data_free_bytes{{{I}}}", "left {{instance}}"),
              (f"onsale_data_size_bytes{{{I}}}", "in all {{instance}}")),
        graph("Disk left in 24 hours", "bytes",
              (f"predict_linear(onsale_data_free_bytes{{{I}}}[1h], 86400)", "{{instance}}"),
              about="If the last hour goes on", least=None),
        graph("Written to the log", "Bps", (f"deriv(onsale_log_bytes{{{I}}}[5m])", "{{instance}}"), least=None),
        graph("Open files", "short", (f'process_open_fds{{job="onsale", {I}}}', "open {{instance}}"),
              (f'process_max_fds{{job="onsale", {I}}}', "may be open {{instance}}")),
        graph("Connections", "short", (f"onsale_connections_open{{{I}}}", "open {{instance}}"),
              (f"onsale_connections_max{{{I}}}", "may be open {{instance}}")),
        graph("Versions", "short", (f"sum by (version) (onsale_build_info{{{I}}})", "{{version}}")),
    ]),
}


def panel(number_, spec, x, y):
    defaults = {"unit": spec["unit"]}
    made = {"id": number_, "type": spec["type"], "title": spec["title"], "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": spec["width"], "h": spec["height"]}}
    if spec["about"]:
        made["description"] = spec["about"]
    if spec["type"] == "timeseries":
        if spec["least"] is not None:
            defaults["min"] = spec["least"]
        defaults["custom"] = spec["custom"]
        made["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if spec["type"] == "stat":
        steps = spec["steps"] or [(None, "blue")]
        defaults["color"] = {"mode": "thresholds"}
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"value": at, "color": color} for at, color in steps]}
        made["options"] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"}
    if spec["type"] == "heatmap":
        made["options"] = {"calculate": False, "yAxis": {"unit": spec["unit"]}, "cellGap": 1}
    made["fieldConfig"] = {"defaults": defaults, "overrides": []}
    made["targets"] = [target(index, *query, spec["type"]) for index, query in enumerate(spec["queries"])]
    return made


def target(index, expression, legend, kind):
    made = {"refId": "ABCDEFGH"[index], "expr": expression, "legendFormat": legend, "datasource": SOURCE}
    return {**made, "format": "heatmap"} if kind == "heatmap" else made


def variable(name, label, kind, query, **more):
    return {"name": name, "label": label, "type": kind, "query": query, "refresh": 1, "hide": 0, **more}


def dashboard(uid, title, about, specs):
    panels, x, y, height = [], 0, 0, 0
    for spec in specs:
        if x + spec["width"] > 24:
            x, y = 0, y + height
        height = spec["height"]
        panels.append(panel(len(panels) + 1, spec, x, y))
        x += spec["width"]
    every = {"selected": True, "text": "All", "value": "$__all"}
    return {
        "uid": uid, "title": f"Onsale: {title}" if uid != "onsale" else "Onsale", "description": about, "tags": ["onsale"],
        "timezone": "browser", "schemaVersion": 41, "refresh": "5s", "time": {"from": "now-15m", "to": "now"},
        "links": [{"title": "Onsale", "type": "dashboards", "tags": ["onsale"], "asDropdown": True, "keepTime": True}],
        "templating": {"list": [
            variable("source", "Source", "datasource", "prometheus"),
            variable("instance", "Server", "query", "label_values(onsale_ready, instance)", datasource=SOURCE,
                     multi=True, includeAll=True, allValue=".+", current=every),
        ]},
        "annotations": {"list": [{
            "name": "Alerts", "enable": True, "iconColor": "red", "datasource": SOURCE,
            "expr": 'ALERTS{alertname=~"Onsale.+", alertstate="firing"}', "titleFormat": "{{alertname}}",
        }]},
        "panels": panels,
    }


def text(name):
    return json.dumps(dashboard(*DASHBOARDS[name]), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(text(name))
    for path in FOLDER.glob("*.json"):
        if path.stem not in DASHBOARDS:
            sys.exit(f"{path} is none of these dashboards")
