//! A queue in which many wait: made by the rules and written through the log, so that a server can be started on it.

use crate::benchmark::generate::{GeneratedAggregate, Output, run};
use crate::stats::Rng;
use base::id::{EntryId, Millis, OrganizerId, QueueId, UserId};
use domain::Fingerprint;
use domain::queue::draw::Seeds;
use domain::queue::policy::Policy;
use domain::queue::{Create, Join, JoinPolicy, Person, Queue, Terms};
use security::secrets::Secrets;
use security::secrets::waiting::Waiting;
use std::path::Path;
use uuid::Uuid;

const START_MS: Millis = 1_767_225_600_000;
/// People who join in the same batch, as under load.
const BATCH: u32 = 20;

/// The queue that everybody waits in.
pub fn queue() -> QueueId {
    QueueId::from_random(1)
}

/// The command that makes it. Nobody is let in unless somebody says so.
pub fn create(secrets: &Secrets, now: Millis) -> Create {
    let terms = Terms {
        name: "Benchmark".into(),
        redirect_urls: Vec::new(),
        policy: Policy { rate: None, max_active: None, manual: true },
        opens_at_ms: now,
        claim_ttl_s: 120,
        session_ttl_s: 900,
        idle_ttl_s: None,
        absent_after_s: None,
        purchase_completes: true,
        join: JoinPolicy::Anyone,
    };
    let commitment = secrets.seed(queue()).commitment();
    let organizer = OrganizerId(Uuid::from_u128(1));
    Create { organizer, terms, commitment, content: Fingerprint(1) }
}

/// Users whom nobody has seen before, the same in every run.
pub fn users(stream: u64) -> impl Iterator<Item = UserId> {
    let mut random = Rng::new(5, stream);
    let mut bits = move || {
        let bytes: [[u8; 8]; 2] = [random.draw().to_be_bytes(), random.draw().to_be_bytes()];
        uuid::Builder::from_random_bytes(*bytes.concat().first_chunk().expect("16 bytes")).into_uuid()
    };
    std::iter::repeat_with(move || UserId(bits()))
}

/// Writes a data folder in which so many users wait, with a snapshot so many events before its end.
pub fn generate(data: &Path, people: u32, snapshot_before: u32) -> anyhow::Result<()> {
    let mut out = Output::open(data)?;
    let mut line = GeneratedAggregate { key: queue().0, state: Queue::default(), version: 0 };
    let mut now = START_MS;
    let create = create(&out.secrets, now);
    run(&mut line, &mut out.batch, 0, now, &create);
    for (joined, user) in (1..=people).zip(users(0)) {
        run(&mut line, &mut out.batch, 0, now, &Join::of(Person::User(user)));
        if joined.is_multiple_of(BATCH) {
            out.flush()?;
            now += 1;
        }
        if joined == people - snapshot_before {
            out.flush()?;
            out.snapshot()?;
        }
    }
    anyhow::ensure!(line.state.line().counts.waiting == people, "somebody was not let wait");
    out.close()
}

/// The path of somebody's entry, and their waiting token.
pub fn entry(secrets: &Secrets, ticket: u32) -> (String, String) {
    let entry = EntryId::of(queue(), ticket);
    (format!("/v1/queues/{}/entries/{entry}", queue()), secrets.waiting_token(&Waiting { entry, redirect: 0 }))
}
