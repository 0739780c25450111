//! The table of figures: names, goals, and how to read each.

use base::report::Figure;

/// A figure that a run can measure.
pub struct Goal {
    pub name: &'static str,
    pub unit: &'static str,
    /// The figure of the same run that it is a share of.
    pub against: Option<&'static str>,
    /// For the share where there is a rival, otherwise for the value; a time, a size, a number of people, and what ends in
    /// `_max` must stay below.
    pub at_least: Option<f64>,
    pub aim: Option<f64>,
    /// How to read it.
    pub meaning: &'static str,
}

const fn goal(name: &'static str, unit: &'static str, meaning: &'static str) -> Goal {
    Goal { name, unit, against: None, at_least: None, aim: None, meaning }
}

impl Goal {
    const fn of(self, rival: &'static str) -> Goal {
        Goal { against: Some(rival), ..self }
    }

    const fn at_least(self, at_least: f64) -> Goal {
        Goal { at_least: Some(at_least), ..self }
    }

    const fn aim(self, aim: f64) -> Goal {
        Goal { aim: Some(aim), ..self }
    }
}

pub const PROJECTIONS: [&str; 8] = [
    "rebuild_sqlite",
    "rebuild_postgres",
    "rebuild_share",
    "copy_bare",
    "answer_to_row_p99",
    "answer_to_row_postgres_p99",
    "my_reservations_sqlite",
    "my_reservations_postgres",
];

pub const OPENING: [&str; 4] = ["opening_poll_p99", "opening_page_p99", "opening_known", "opening_late"];

pub const AGAINST: [&str; 3] = ["noop_against", "hold_against", "purchase_against"];

/// All figures, in the order of the table.
pub const GOALS: [Goal; 56] = [
    goal("noop_post", "1/s", "POST /noop with a hold's headers and body: what HTTP, JSON and this client allow here"),
    goal(
        "hold_durable",
        "1/s",
        "holds of 2 free seats, authenticated, each on disk before its answer; 8 performances in turn",
    )
    .of("noop_post")
    .at_least(0.45)
    .aim(0.65),
    goal("refuse_taken", "1/s", "holds of taken seats, all of one performance, each refused with 409")
        .of("hold_durable")
        .at_least(1.0),
    goal("noop_post_256", "1/s", "noop_post over 256 connections"),
    goal("hold_durable_256", "1/s", "hold_durable over 256 connections").of("noop_post_256").at_least(0.5).aim(0.7),
    goal(
        "hold_p99",
        "ms",
        "99 of 100 holds are answered within this, at half of hold_durable's rate; every request starts on \
                            time whatever the others take, and one that starts late counts from when it should have",
    )
    .at_least(10.0)
    .aim(5.0),
    goal("purchase", "1/s", "hold and pay, one after the other, both on disk").at_least(10_000.0).aim(20_000.0),
    goal("noop_get", "1/s", "GET /noop: what HTTP and this client allow here"),
    goal("availability_304", "1/s", "GET of an availability that has not changed, answered with 304")
        .of("noop_get")
        .at_least(0.8)
        .aim(0.95),
    goal("auth_share", "share", "checking a session's token, as a share of the server's processor time for a hold")
        .at_least(0.05),
    goal(
        "best_available_p99",
        "ms",
        "99 of 100 requests for the best of 100,000 seats are decided within this, in this process, under the worst of five \
         loads",
    )
    .at_least(1.0),
    goal(
        "replacement_p99",
        "ms",
        "99 of 100 holds of taken seats are refused, with others to offer, within this; as best_available_p99",
    )
    .at_least(0.1),
    goal(
        "shard_stall",
        "ms",
        "the longest time that one command, or one part of it, holds the thread of its shard, each command at the largest \
         size that is allowed, in this process; all of them stand in the note",
    )
    .at_least(10.0),
    goal(
        "watch_p99",
        "ms",
        "while one performance sells 2,000 seats/s to those who hold and pay, 99 of 100 changes are at a watcher within \
         this after the buyer's answer; 10,000 watchers of it, looked at by 250 of them",
    )
    .at_least(250.0)
    .aim(200.0),
    goal(
        "watch_core",
        "share",
        "the server's processor time for these watchers, as a share of one core: the same sale with them less without",
    )
    .at_least(1.0)
    .aim(0.8),
    goal(
        "join_durable",
        "1/s",
        "users join a queue in which a million wait, authenticated, each on disk before the answer with place, rank and \
         waiting token",
    )
    .of("noop_post")
    .at_least(0.45)
    .aim(0.65),
    goal(
        "redis_zadd_fsync",
        "1/s",
        "ZADD of Redis with fsync always, by redis-benchmark over as many connections, no HTTP; where there is no \
         redis-server it is not measured",
    ),
    goal("join_beside_redis", "1/s", "join_durable again, beside ZADD").of("redis_zadd_fsync").at_least(0.7).aim(1.0),
    goal("rank_poll", "1/s", "GET of one's entry with the waiting token, by 20,000 of a million who wait")
        .of("noop_get")
        .at_least(0.8)
        .aim(0.9),
    goal("redis_zrank", "1/s", "ZRANK in a set of a million members, measured like redis_zadd_fsync"),
    goal(
        "rank_in_process_p99",
        "ms",
        "99 of 100 looks at somebody's place among ten million take less, in this process; a tenth of all has left",
    )
    .at_least(1.0)
    .aim(0.05),
    goal(
        "memory_per_waiting",
        "bytes",
        "resident memory of all that a server keeps of a queue of ten million, for each of them, in this process",
    )
    .at_least(64.0)
    .aim(24.0),
    goal(
        "opening_polls_max",
        "1/s",
        "polls in the worst second from 120 s before a queue opens to 120 s after it, of a million who ask when they are \
         told to, 20,000/s allowed; in this process",
    )
    .at_least(25_000.0)
    .aim(20_000.0),
    goal(
        "obedient_missed",
        "people",
        "those who ask when they are told to and missed their turn, while policies, hours and states change at random and \
         the server restarts; in this process",
    )
    .at_least(0.0),
    goal(
        "opening_poll_p99",
        "ms",
        "with --opening: 50,000 people ask when they are told to and 10,000 have a stream while a queue opens, is paused and \
         resumed: 99 of 100 polls are answered within this of the instant at which they were due",
    )
    .at_least(50.0),
    goal("opening_page_p99", "ms", "with --opening: one in five of them loads the page again around the opening: 99 of 100 pages")
        .at_least(50.0),
    goal("opening_known", "ms", "with --opening: until each of them has been told their place, from the opening on"),
    goal(
        "opening_late",
        "people",
        "with --opening: those who came when they were told to, and too late; also while all reload at once and after kill -9",
    )
    .at_least(0.0),
    goal(
        "sse_admit_p99",
        "ms",
        "20,000 who wait have a stream each, and 1,000 of them are let in at once: 99 of 100 of these are told within this",
    )
    .at_least(250.0)
    .aim(100.0),
    goal(
        "sse_broadcast_core",
        "share",
        "the server's processor time, as a share of one core, while all of these are told one frame a second and somebody \
         leaves in each",
    )
    .at_least(0.5)
    .aim(0.2),
    goal(
        "restart_million_waiting",
        "ms",
        "from the start of the process until /readyz says 200 and everybody's rank can be asked for, file cache warm; the \
         slower of two: after an orderly stop, after kill -9. As far behind the last snapshot as it may be",
    )
    .at_least(3_000.0)
    .aim(1_000.0),
    goal("raw_fdatasync_1", "1/s", "events of 240 bytes into a plain file, each followed by fdatasync: what the disk allows"),
    goal("log_append_1", "1/s", "the same into the log, in this process: the next event when the one before is durable")
        .of("raw_fdatasync_1")
        .at_least(0.5),
    goal("raw_fdatasync_100", "1/s", "100 events at a time into a plain file"),
    goal("log_append_100", "1/s", "100 events at a time into the log").of("raw_fdatasync_100").at_least(0.5),
    goal("raw_fdatasync_1000", "1/s", "1,000 events at a time into a plain file"),
    goal("log_append_1000", "1/s", "1,000 events at a time into the log").of("raw_fdatasync_1000").at_least(0.5),
    goal("replay", "1/s", "events read, checked and decoded from the log in one go, no snapshot, no server")
        .at_least(500_000.0)
        .aim(1_500_000.0),
    goal(
        "recovery_snapshot",
        "ms",
        "from the start of the process until /readyz says 200, with a snapshot, file cache warm",
    )
    .at_least(3_000.0)
    .aim(1_000.0),
    goal(
        "memory_million",
        "bytes",
        "resident memory of a server that is ready with 1,000,000 wallets and 1,000 performances of \
                                     2,000 seats",
    )
    .at_least(1e9)
    .aim(500e6),
    goal(
        "kafka_publish",
        "1/s",
        "events that the publisher brings into Kafka while it catches up, acknowledged by the broker; with --kafka",
    )
    .of("rdkafka_bare")
    .at_least(0.8),
    goal("rdkafka_bare", "1/s", "the same records out of memory, by a producer with the same settings; with --kafka"),
    goal(
        "answer_to_record_p99",
        "ms",
        "at 2,000 sales/s 99 of 100 are with a Kafka consumer within this after the buyer's answer; with --kafka",
    )
    .at_least(200.0)
    .aim(50.0),
    goal(
        "selling_with_outputs",
        "1/s",
        "purchases with Kafka and read models kept, as a share of those of a server without either; with --kafka",
    )
    .of("purchase")
    .at_least(0.6)
    .aim(0.8),
    goal(
        "noop_against",
        "share",
        "with --against: POST /noop with the other settings or by the other build, as a share of what it is without; the median of \
         pairs of rounds, of which each begins in turn",
    ),
    goal("hold_against", "share", "holds of 2 seats, the same way"),
    goal("purchase_against", "share", "hold and pay, the same way"),
    goal("disk_per_event", "bytes", "bytes on disk per event of the log that replay reads"),
    goal("rebuild_sqlite", "1/s", "with --projections: events made into all read models, from nothing, in SQLite")
        .at_least(50_000.0)
        .aim(150_000.0),
    goal("rebuild_postgres", "1/s", "the same in PostgreSQL").at_least(50_000.0).aim(150_000.0),
    goal(
        "copy_bare",
        "1/s",
        "the same events by the time that PostgreSQL takes to COPY the resulting rows into tables with the same indices",
    ),
    goal("rebuild_share", "1/s", "rebuild_postgres as a share of copy_bare").of("copy_bare").at_least(0.2).aim(0.5),
    goal(
        "answer_to_row_p99",
        "ms",
        "99 of 100 payments are visible in SQLite within this after their answer, at 2,000 sales/s",
    )
    .at_least(500.0)
    .aim(100.0),
    goal("answer_to_row_postgres_p99", "ms", "the same in PostgreSQL").at_least(500.0).aim(100.0),
    goal("my_reservations_sqlite", "1/s", "a page of a user's reservations, one user of a million, from SQLite")
        .of("noop_get")
        .at_least(0.2)
        .aim(0.4),
    goal("my_reservations_postgres", "1/s", "the same from PostgreSQL").of("noop_get").at_least(0.15).aim(0.3),
];

/// The goal of the figure `name`.
pub fn find(name: &str) -> &'static Goal {
    GOALS.iter().find(|goal| goal.name == name).unwrap_or_else(|| panic!("{name} is no figure"))
}

/// What `--help` says about the figures.
pub fn how_to_read() -> String {
    let mut out = "Figures:\n".to_owned();
    for Goal { name, meaning, .. } in &GOALS {
        out.push_str(&format!("  {name}: {meaning}\n"));
    }
    out.push_str(
        "\nHow to read them: server and client share this machine, so a rate says as much about both and the machine as \
         about Onsale. What is held against a goal is a share of a rival in the same run, measured in turns; rates are \
         medians of three rounds. p50 and p99 beside a rate are under full load, where requests queue: hold_p99 is the \
         latency to quote. Repeat a run on a quiet machine before you believe a difference below 10 %.",
    );
    out
}

/// The figure `name`, measured as `value`, judged. Where it has a rival, `rival` is what that one came to.
pub fn figure(name: &str, value: Option<f64>, rival: Option<f64>) -> Figure {
    let goal = find(name);
    let ratio = value.zip(rival).filter(|(_, rival)| *rival > 0.0).map(|(value, rival)| value / rival);
    let mut figure = Figure {
        name: goal.name,
        value,
        unit: goal.unit,
        against: goal.against,
        ratio,
        at_least: goal.at_least,
        aim: goal.aim,
        ..Figure::default()
    };
    figure.judge();
    figure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rivals_are_figures_and_names_are_unique() {
        for (number, goal) in GOALS.iter().enumerate() {
            assert!(goal.against.is_none_or(|rival| GOALS.iter().any(|other| other.name == rival)), "{}", goal.name);
            assert!(GOALS[..number].iter().all(|other| other.name != goal.name), "{} twice", goal.name);
        }
    }

    #[test]
    fn figures_are_judged_against_the_issue() {
        for (name, value, rival, ok) in [
            ("hold_durable", 44_000.0, Some(100_000.0), Some(false)),
            ("hold_durable", 45_000.0, Some(100_000.0), Some(true)),
            ("hold_p99", 10.1, None, Some(false)),
            ("purchase", 10_000.0, None, Some(true)),
            ("noop_post", 1.0, None, None),
            ("memory_million", 999e6, None, Some(true)),
            ("auth_share", 0.04, None, Some(true)),
            ("opening_polls_max", 25_001.0, None, Some(false)),
            ("opening_polls_max", 20_000.0, None, Some(true)),
            ("obedient_missed", 0.0, None, Some(true)),
            ("obedient_missed", 1.0, None, Some(false)),
        ] {
            assert_eq!(figure(name, Some(value), rival).ok, ok, "{name} {value}");
        }
        assert_eq!(figure("replay", None, None).ok, Some(false));
    }
}
