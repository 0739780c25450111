//! Kafka, PostgreSQL, the backup's place: reached, allowed, fast enough, set as they should be.

use super::check::{Check, State};
use crate::serve::read_models::place;
use ::config::{ReadModels, Serve};
use backup::place::Place as BackupPlace;
use backup::restore;
use base::clock::{Clock, SystemClock};
use eventlog::data_folder::DataFolder;
use readmodels::store::{Place, Postgres, probe};
use std::time::Duration;

/// A sale is answered in PostgreSQL's lists this much later at least, and each page waits for it.
const ANSWER_GOOD: Duration = Duration::from_millis(10);
/// Older than this a backup that is shipped all the time has stopped.
const BACKUP_OLD_MS: u64 = 10 * 60_000;
/// Holds and sales go by both clocks.
const CLOCKS_APART_S: f64 = 1.0;
/// The oldest that projections are written for.
const POSTGRES_MIN: u32 = 13_00_00;

pub fn look(config: &Serve) -> Vec<Check> {
    vec![kafka(config), postgres(config), backup(config)]
}

fn kafka(config: &Serve) -> Check {
    let name = "kafka";
    let settings = match kafka::Settings::of(config) {
        Ok(Some(settings)) => settings,
        Ok(None) => return Check::new(name, State::Skipped, "kafka.brokers is not set", "nothing is published"),
        Err(error) => return Check::new(name, State::Failure, format!("{error:#}"), "mend the setting"),
    };
    let found = match kafka::probe::look(&settings) {
        Ok(found) => found,
        Err(error) => {
            let todo = "see that the brokers run, can be reached from here, and know this user. Selling goes on without them, and \
                        publishing catches up";
            return Check::new(name, State::Failure, error.to_string().replace('\n', " "), todo);
        }
    };
    let mut wrong = Vec::new();
    let mut state = State::Ok;
    let mut say = |how: State, what: String| {
        state = state.max(how);
        wrong.push(what);
    };
    if found.answers_within > ANSWER_GOOD * 5 {
        say(State::Warning, "its answers take long".into());
    }
    let mut missing = Vec::new();
    for topic in &found.topics {
        let of = &topic.name;
        if topic.denied {
            say(State::Failure, format!("{of} may not be seen: this user needs Describe, Read and Write there"));
        } else if topic.partitions.is_none() {
            missing.push(of.clone());
            continue;
        }
        if topic.replicas == 1 && found.brokers > 1 {
            say(State::Warning, format!("{of} has one replica: a broker that goes takes it along"));
        }
        if topic.insync_min.is_some_and(|min| min >= topic.replicas && topic.replicas > 1) {
            say(
                State::Warning,
                format!("{of}: min.insync.replicas is the number of replicas: one broker that goes stops publishing"),
            );
        }
        if topic.behind {
            say(State::Warning, format!("{of} has replicas that are behind"));
        }
        for trouble in &topic.trouble {
            say(State::Warning, format!("{of}: {trouble}"));
        }
    }
    let replication = config.kafka_replication;
    if !missing.is_empty() {
        if replication.is_some_and(|wanted| usize::from(wanted) > found.brokers) {
            let wanted = replication.unwrap_or_default();
            say(State::Failure, format!("kafka.replication is {wanted}, and there are {} brokers", found.brokers));
        } else if found.brokers < 3 {
            say(
                State::Warning,
                format!("{} brokers: fewer than three cannot lose one and go on safely", found.brokers),
            );
        }
    }
    let to_make = match missing.len() {
        0 => String::new(),
        count => format!(", {count} topics are made at the start"),
    };
    let told = format!("{} brokers, {:.1} ms{to_make}", found.brokers, found.answers_within.as_secs_f64() * 1000.0);
    let told = [vec![told], wrong].concat().join("; ");
    Check::new(
        name,
        state,
        told,
        "kafka-configs.sh and kafka-topics.sh change topics; docs/guides/kafka.md says what they should be",
    )
}

fn postgres(config: &Serve) -> Check {
    let name = "postgres";
    let Place::Postgres(postgres) = place(config) else {
        return Check::new(name, State::Skipped, "read_models.postgres is not set: SQLite has them", "");
    };
    if config.read_models == ReadModels::Off {
        return Check::new(name, State::Skipped, "read_models.run is off", "");
    }
    match probe::look(&postgres) {
        Ok(found) => judge(&found, &postgres),
        Err(error) => {
            let todo = "see that it runs, can be reached from here, and knows this user. Selling goes on without it, lists do not";
            Check::new(name, State::Failure, error.to_string().replace('\n', " "), todo)
        }
    }
}

fn judge(found: &probe::Found, postgres: &Postgres) -> Check {
    let mut wrong = Vec::new();
    let mut state = State::Ok;
    let mut say = |how: State, what: String| {
        state = state.max(how);
        wrong.push(what);
    };
    let (schema, wanted) = (&postgres.schema, postgres.connections_max + 2);
    if found.standby {
        say(State::Failure, "it is a standby, which nobody writes to: name the primary".into());
    }
    if !found.may_write {
        say(
            State::Failure,
            format!("this user may not make tables: GRANT CREATE on schema {schema} or on the database"),
        );
    }
    let free = found.connections_max.saturating_sub(found.connections_used);
    if free < wanted {
        let (max, used) = (found.connections_max, found.connections_used);
        say(
            State::Failure,
            format!("{wanted} connections are wanted, and max_connections is {max}, of which {used} are used"),
        );
    }
    if found.version < POSTGRES_MIN {
        say(State::Failure, "13 is the oldest that is supported".into());
    }
    if found.encoding != "UTF8" {
        say(State::Failure, format!("its encoding is {}: names need UTF8", found.encoding));
    }
    if found.answers_within > ANSWER_GOOD {
        say(State::Warning, "its answers take long: have it nearer".into());
    }
    if found.clock_ahead_s.abs() > CLOCKS_APART_S {
        say(State::Warning, format!("its clock is {:+.1} s from this machine's", found.clock_ahead_s));
    }
    if !found.tls && !postgres.url.contains("127.0.0.1") && !postgres.url.contains("localhost") {
        say(State::Warning, "without TLS: add ?sslmode=require".into());
    }
    let told = format!(
        "{}.{}, {:.2} ms, {} of {} connections used",
        found.version / 10_000,
        found.version % 10_000,
        found.answers_within.as_secs_f64() * 1000.0,
        found.connections_used,
        found.connections_max
    );
    Check::new("postgres", state, [vec![told], wrong].concat().join("; "), "change it there, or read_models.postgres")
}

fn backup(config: &Serve) -> Check {
    let name = "backup";
    let Some(to) = &config.backup_to else {
        return Check::new(name, State::Skipped, "backup.to is not set", "");
    };
    let todo = "see that the place is there and may be written to; onsale backup tries it";
    let failure =
        |error: anyhow::Error| Check::new(name, State::Failure, format!("{error:#}").replace('\n', " "), todo);
    let place = match BackupPlace::open_existing(to) {
        Ok(place) => place,
        Err(error) => return failure(error),
    };
    let manifest = match place.has_backup().and_then(|there| there.then(|| restore::manifest(&place)).transpose()) {
        Ok(None) => {
            return Check::new(
                name,
                State::Warning,
                format!("{to} has no backup yet"),
                "start the server, or run onsale backup",
            );
        }
        Ok(Some(manifest)) => manifest,
        Err(error) => return failure(error),
    };
    let age_ms = SystemClock::default().machine().saturating_sub(manifest.looked_ms);
    let found = format!("{to} has events up to {}, and was whole {} s ago", manifest.end.position, age_ms / 1000);
    if DataFolder::log_id(&config.data).is_some_and(|id| id != manifest.log_id) {
        let todo = "name another place: this one is of another log, and stays as it is";
        return Check::new(name, State::Failure, format!("{found}, of another log"), todo);
    }
    Check::new(name, if age_ms > BACKUP_OLD_MS { State::Warning } else { State::Ok }, found, todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> probe::Found {
        probe::Found {
            version: 150013,
            answers_within: Duration::from_micros(300),
            tls: false,
            may_write: true,
            connections_max: 100,
            connections_used: 10,
            encoding: "UTF8".into(),
            standby: false,
            clock_ahead_s: 0.01,
        }
    }

    #[test]
    fn a_database_is_judged() {
        let local = "postgres://onsale@127.0.0.1/onsale";
        let rows: [(probe::Found, &str, State, &str); 9] = [
            (found(), local, State::Ok, "15.13, 0.30 ms, 10 of 100 connections used"),
            (probe::Found { standby: true, ..found() }, local, State::Failure, "the primary"),
            (probe::Found { may_write: false, ..found() }, local, State::Failure, "GRANT CREATE on schema onsale"),
            (probe::Found { connections_used: 83, ..found() }, local, State::Failure, "18 connections are wanted"),
            (probe::Found { version: 120001, ..found() }, local, State::Failure, "13 is the oldest"),
            (probe::Found { encoding: "SQL_ASCII".into(), ..found() }, local, State::Failure, "SQL_ASCII"),
            (probe::Found { answers_within: Duration::from_millis(30), ..found() }, local, State::Warning, "nearer"),
            (probe::Found { clock_ahead_s: -3.0, ..found() }, local, State::Warning, "-3.0 s"),
            (found(), "postgres://onsale@db.example.com/onsale", State::Warning, "sslmode=require"),
        ];
        for (found, url, state, part) in rows {
            let postgres = Postgres { url: url.into(), schema: "onsale".into(), ca: None, connections_max: 16 };
            let check = judge(&found, &postgres);
            assert!(check.state == state && check.found.contains(part), "{part}: {check:?}");
        }
    }
}
