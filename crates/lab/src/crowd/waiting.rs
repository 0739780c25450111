//! A buyer's way through the queue: join, wait, look again, leave and come back, be let in, come, and be done.

use super::api::{Answer, Api, Call, Kind, NoOutcome, post};
use super::books::WaitBook;
use super::listening::{Listener, StreamEnd};
use crate::stats::Rng;
use anyhow::{bail, ensure};
use api::kit::time::Time;
use base::id::Millis;
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{sleep, sleep_until};

/// Until it is said otherwise the queue opens so late: everybody signs up before.
const OPENS_FAR_MS: Millis = 24 * 3_600_000;
/// And then so much later, so that some come before and are drawn.
const OPENS_IN: Duration = Duration::from_secs(2);
/// Those who come later come within this.
const LATE_WITHIN_MS: usize = 1_500;
/// Everybody is through in about so many seconds, if nothing else holds them up.
const THROUGH_IN_S: u32 = 5;
/// An admitted buyer comes within this, or does not.
const CLAIM_TTL_S: u32 = 20;
/// Buyers ask so many times as often as they are told to: the run is to be short.
const HASTE: u32 = 20;
/// A stream that is cut off lives so long: at least, and drawn on top.
const CUT_OFF_MS: [u64; 2] = [100, 2_000];

/// Nobody waits longer.
const WAITS: Duration = Duration::from_secs(180);

/// The queue before the sale.
pub struct Gate {
    pub queue: String,
    opens_at: OnceCell<Instant>,
}

impl Gate {
    /// A new queue, for so many buyers: a fifth of them in a second, and a quarter of them inside at a time.
    pub async fn create(api: &Api, key: &str, buyers: u32) -> anyhow::Result<Gate> {
        let policy = json!({
            "rate": {"count": (buyers / THROUGH_IN_S).clamp(5, 100_000), "interval_s": 1},
            "max_active": (buyers / 4).max(10),
        });
        let queue = json!({
            "name": "The crowd", "policy": policy, "claim_ttl_s": CLAIM_TTL_S, "opens_at": in_ms(OPENS_FAR_MS),
        });
        let queue = post(api, "/v1/queues", key, queue).await?;
        Ok(Gate { queue: queue.text("queue_id").to_owned(), opens_at: OnceCell::new() })
    }

    /// From now on it opens soon.
    pub async fn open_soon(&self, api: &Api, key: &str) -> anyhow::Result<()> {
        let path = format!("/v1/queues/{}", self.queue);
        let mut call = Call::new(Kind::SetUp, "PATCH", &path, key);
        call.if_match = Some("*");
        let call = call.body(json!({"opens_at": in_ms(OPENS_IN.as_millis() as Millis)}));
        let Ok(answer) = api.send(&call).await else { bail!("PATCH {path}: the server gives no answer") };
        ensure!(answer.is_success(), "PATCH {path}: {} {}", answer.status, answer.body);
        let _ = self.opens_at.set(Instant::now() + OPENS_IN);
        Ok(())
    }
}

/// An instant so far ahead, as the API reads it.
fn in_ms(ms: Millis) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as Millis;
    json!(Time(now + ms))
}

/// What somebody is like who waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Habits {
    /// Comes before the queue opens.
    pub early: bool,
    /// Tries to hold places before being let in.
    pub tries_the_door: bool,
    /// Loads the page again, which is joining again.
    pub refreshes: bool,
    /// Leaves, and comes back to the end.
    pub returns: bool,
    /// Leaves for good.
    pub leaves: bool,
    /// Is told that it is their turn, and does not come.
    pub never_comes: bool,
    /// Waits on a stream instead of asking.
    pub listens: bool,
    /// Loses that stream now and then, and opens it again.
    pub is_cut_off: bool,
}

impl Habits {
    pub fn draw(rng: &mut Rng) -> Habits {
        Habits {
            early: rng.chance(50),
            tries_the_door: rng.chance(20),
            refreshes: rng.chance(25),
            returns: rng.chance(5),
            leaves: rng.chance(2),
            never_comes: rng.chance(2),
            listens: rng.chance(50),
            is_cut_off: rng.chance(50),
        }
    }
}

/// Somebody who waits.
pub struct Waiter<'a> {
    api: &'a Api,
    gate: &'a Gate,
    pub habits: Habits,
    rng: Rng,
    /// The entry's path, and the token that speaks for it.
    entry: Option<(String, String)>,
    rank: Option<u64>,
    heard_at: Instant,
}

impl<'a> Waiter<'a> {
    pub fn new(api: &'a Api, gate: &'a Gate, number: usize, seed: u64) -> Waiter<'a> {
        let mut rng = Rng::new(seed ^ 0x9a1e, number as u64);
        let habits = Habits::draw(&mut rng);
        Waiter { api, gate, habits, rng, entry: None, rank: None, heard_at: Instant::now() }
    }

    /// Waits until it is their turn, and comes. `session` is the user's. False for who does not come in.
    pub async fn wait(&mut self, session: &str, book: &mut WaitBook) -> Result<bool, NoOutcome> {
        if !self.habits.early
            && let Some(opens_at) = self.gate.opens_at.get()
        {
            let late = Duration::from_millis(self.rng.below(LATE_WITHIN_MS) as u64);
            sleep_until((*opens_at + late).into()).await;
        }
        let mut seen = self.join(session, book).await?.body;
        book.asks = true;
        let Habits { mut refreshes, mut returns, leaves, mut listens, .. } = self.habits;
        let until = Instant::now() + WAITS;
        while seen["state"] == "waiting" && Instant::now() < until {
            let again_in = Duration::from_millis(seen["poll_after_ms"].as_u64().unwrap_or_default()) / HASTE;
            if listens && !refreshes && !returns && !leaves {
                match self.listen(book, until).await {
                    Some(told) => seen = told,
                    // Who has no stream asks.
                    None => listens = false,
                }
                continue;
            }
            sleep(again_in).await;
            if leaves {
                book.asks = false;
                self.leave().await?;
                return Ok(false);
            }
            seen = if std::mem::take(&mut refreshes) {
                self.refresh(session, book).await?.body
            } else if std::mem::take(&mut returns) {
                self.leave().await?;
                (self.entry, self.rank) = (None, None);
                self.join(session, book).await?.body
            } else {
                self.api.send(&self.poll()).await?.body
            };
            self.note(&seen, book);
        }
        book.told = seen["state"] == "admitted" && seen["admission"]["token"].is_string();
        if !book.told {
            self.api.unexpected(&self.poll(), "not let in", &seen.to_string());
            return Ok(false);
        }
        if self.habits.never_comes {
            return Ok(false);
        }
        Ok(self.post("claim", Kind::Claim).await?.text("state") == "active")
    }

    fn poll(&self) -> Call<'_> {
        let (path, token) = self.entry.as_ref().expect("joined");
        Call::new(Kind::Poll, "GET", path, token)
    }

    /// Listens until they wait no more; what their entry says then. `None` when there is no stream for them.
    async fn listen(&mut self, book: &mut WaitBook, until: Instant) -> Option<Value> {
        let (path, token) = self.entry.clone().expect("joined");
        let mut listener = Listener::default();
        let mut seen = json!({"state": "waiting"});
        while seen["state"] == "waiting" && Instant::now() < until {
            let cut_off =
                Instant::now() + Duration::from_millis(CUT_OFF_MS[0] + self.rng.below(CUT_OFF_MS[1] as usize) as u64);
            let until = if self.habits.is_cut_off { until.min(cut_off) } else { until };
            let heard = listener.listen(self.api.target(), &path, &token, until).await;
            // An open stream is a sign of life.
            self.heard_at = Instant::now();
            std::mem::take(&mut listener.told).iter().for_each(|told| self.note(told, book));
            match heard {
                Ok(StreamEnd::Turn(told)) => seen = told,
                Ok(StreamEnd::Nothing) => {}
                // Nobody here signs out, is blocked, or has more than one stream.
                Ok(StreamEnd::Over(reason)) => {
                    self.api.unexpected(&self.poll(), "a stream ended for good", &reason);
                    return None;
                }
                Ok(StreamEnd::Refused) => return None,
                Err(error) => {
                    self.api.unexpected(&self.poll(), "a stream", &format!("{error:#}"));
                    return None;
                }
            }
        }
        Some(seen)
    }

    async fn join(&mut self, session: &str, book: &mut WaitBook) -> Result<Answer, NoOutcome> {
        let path = format!("/v1/queues/{}/entries", self.gate.queue);
        let answer = self.api.send(&Call::new(Kind::Join, "POST", &path, session)).await?;
        if !answer.is_success() {
            return Err(NoOutcome);
        }
        if self.entry.is_none() {
            let path = format!("{path}/{}", answer.text("entry_id"));
            self.entry = Some((path, answer.text("waiting_token").to_owned()));
            self.heard_at = Instant::now();
        }
        self.note(&answer.body, book);
        Ok(answer)
    }

    /// The same person again: the same entry, by the same token.
    async fn refresh(&mut self, session: &str, book: &mut WaitBook) -> Result<Answer, NoOutcome> {
        let before = self.entry.clone().expect("joined");
        let answer = self.join(session, book).await?;
        let path = format!("/v1/queues/{}/entries/{}", self.gate.queue, answer.text("entry_id"));
        if (path.as_str(), answer.text("waiting_token")) != (before.0.as_str(), before.1.as_str()) {
            book.refreshed_differently += 1;
        }
        Ok(answer)
    }

    /// Writes down where they are told to stand.
    fn note(&mut self, seen: &Value, book: &mut WaitBook) {
        book.silent = book.silent.max(self.heard_at.elapsed());
        self.heard_at = Instant::now();
        let rank = seen["rank"].as_u64();
        if let (Some(before), Some(now)) = (self.rank, rank) {
            book.rank_rose += now.saturating_sub(before);
        }
        self.rank = rank.or(self.rank);
    }

    /// They have done what they came for, or walk away from it.
    pub async fn done(&mut self, walks_away: bool) -> Result<(), NoOutcome> {
        match walks_away {
            true => self.leave().await,
            false => self.post("completion", Kind::Complete).await.map(drop),
        }
    }

    async fn leave(&self) -> Result<(), NoOutcome> {
        let (path, token) = self.entry.as_ref().expect("joined");
        self.api.send(&Call::new(Kind::Leave, "DELETE", path, token)).await.map(drop)
    }

    async fn post(&self, what: &str, kind: Kind) -> Result<Answer, NoOutcome> {
        let (path, token) = self.entry.as_ref().expect("joined");
        self.api.send(&Call::new(kind, "POST", &format!("{path}/{what}"), token)).await
    }

    /// The entry's state at the end; None for who never joined.
    pub async fn read_back(&self) -> Result<Option<String>, NoOutcome> {
        let Some((path, token)) = &self.entry else { return Ok(None) };
        let answer = self.api.send(&Call::new(Kind::Poll, "GET", path, token)).await?;
        Ok(Some(answer.text("state").to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_every_habit() {
        let habits: Vec<Habits> = (0..1_000).map(|number| Habits::draw(&mut Rng::new(3, number))).collect();
        let some = |has: fn(&Habits) -> bool| (1..1_000).contains(&habits.iter().filter(|habits| has(habits)).count());
        assert!(some(|it| it.early) && some(|it| it.tries_the_door) && some(|it| it.refreshes));
        assert!(
            some(|it| it.returns)
                && some(|it| it.leaves)
                && some(|it| it.never_comes)
                && some(|it| it.listens)
                && some(|it| it.is_cut_off)
        );
        assert_eq!(habits[7], Habits::draw(&mut Rng::new(3, 7)));
    }
}
