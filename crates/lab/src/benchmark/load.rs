//! Two ways to load a server: as fast as the connections go round, and at a fixed rate.

use crate::client::{Connection, Reply, Target};
use crate::stats::Latencies;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;

/// A worker that gets this many unexpected answers stops: the round is spoilt anyway.
const UNEXPECTED_MAX: u32 = 100;
/// How finely a fixed rate is dealt out; a request starts at most this much late, which counts into its latency.
const TICK: Duration = Duration::from_micros(100);
/// How long what is overdue at the end of a round may take.
const DRAIN: Duration = Duration::from_secs(10);
/// An exchange that takes longer fails its round instead of hanging it.
const STUCK: Duration = Duration::from_secs(60);

/// One connection and the buffer of its requests.
pub struct Worker {
    connection: Connection,
    pub request: Vec<u8>,
}

/// Why a step of a round did not count.
pub enum Failure {
    /// There is nothing left to ask for: the round ends early.
    Exhausted,
    Unexpected(String),
}

impl Worker {
    /// Workers that are connected.
    pub async fn connect(target: &Target, count: usize) -> io::Result<Vec<Worker>> {
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut connection = Connection::new(target.clone());
            connection.connect().await?;
            workers.push(Worker { connection, request: Vec::with_capacity(1024) });
        }
        Ok(workers)
    }

    pub fn host(&self) -> &str {
        &self.connection.target().host
    }

    /// Sends the request in the buffer; the answer must have `status`.
    pub async fn expect(&mut self, status: u16) -> Result<Reply<'_>, Failure> {
        match self.connection.exchange(&self.request).await {
            Err(error) => Err(Failure::Unexpected(error.to_string())),
            Ok(reply) if reply.status == status => Ok(reply),
            Ok(reply) => {
                let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)]);
                Err(Failure::Unexpected(format!("{} instead of {status}: {body}", reply.status)))
            }
        }
    }
}

/// What came of a round.
#[derive(Default)]
pub struct Round {
    pub done: u64,
    pub seconds: f64,
    pub latencies: Latencies,
    pub unexpected: u64,
    pub first_unexpected: Option<String>,
}

impl Round {
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.done as f64 / self.seconds } else { 0.0 }
    }
}

#[derive(Default)]
struct Count {
    round: RefCell<Round>,
    last_done: Cell<Option<Instant>>,
    exhausted: Cell<bool>,
}

impl Count {
    /// Notes a step's end; false when its worker should stop.
    fn note(&self, outcome: Result<(), Failure>, since: Instant, now: Instant, spoilt: &mut u32) -> bool {
        let mut round = self.round.borrow_mut();
        match outcome {
            Ok(()) => {
                round.done += 1;
                round.latencies.record(now - since);
                self.last_done.set(Some(now));
                true
            }
            Err(Failure::Exhausted) => {
                self.exhausted.set(true);
                false
            }
            Err(Failure::Unexpected(what)) => {
                round.unexpected += 1;
                round.first_unexpected.get_or_insert(what);
                *spoilt += 1;
                *spoilt < UNEXPECTED_MAX
            }
        }
    }

    fn finish(self, started: Instant, window: Duration) -> Round {
        let mut round = self.round.into_inner();
        let last = self.last_done.get().map_or(Duration::ZERO, |last| last - started);
        round.seconds = if self.exhausted.get() { last } else { window }.as_secs_f64();
        round
    }
}

/// Every worker acts again as soon as its answer is there, for `window`. What is answered later does not count.
pub async fn closed(
    workers: &mut [Worker],
    window: Duration,
    act: impl AsyncFn(&mut Worker) -> Result<(), Failure>,
) -> Round {
    let started = Instant::now();
    let end = started + window;
    let count = Count::default();
    let (count_ref, act) = (&count, &act);
    let loops = workers.iter_mut().map(async |worker| {
        let mut spoilt = 0;
        let mut now = Instant::now();
        while now < end {
            let since = now;
            let outcome = act(worker).await;
            now = Instant::now();
            if now > end || !count_ref.note(outcome, since, now, &mut spoilt) {
                break;
            }
        }
    });
    let all = futures_util::future::join_all(loops);
    let stuck = tokio::time::timeout(window + STUCK, all).await.is_err();
    let mut round = count.finish(started, window);
    if stuck {
        round.unexpected += 1;
        round.first_unexpected.get_or_insert(format!("no answer within {STUCK:?}"));
    }
    round
}

/// Requests start at `rate` a second for `window`, however long the answers take: one that finds no free worker waits,
/// and its latency counts from the moment it should have started. (A loop that waits for its answers would leave out
/// exactly the requests that a slow server delays.)
pub async fn open(
    workers: &mut [Worker],
    rate: f64,
    window: Duration,
    act: impl AsyncFn(&mut Worker) -> Result<(), Failure>,
) -> io::Result<Round> {
    let started = Instant::now();
    let count = Count::default();
    let due = Semaphore::new(0);
    let taken = Cell::new(0u64);
    let (count_ref, act, due_ref, taken_ref) = (&count, &act, &due, &taken);
    let loops = workers.iter_mut().map(async |worker| {
        let mut spoilt = 0;
        while let Ok(permit) = due_ref.acquire().await {
            permit.forget();
            let number = taken_ref.get();
            taken_ref.set(number + 1);
            let since = started + Duration::from_secs_f64(number as f64 / rate);
            let outcome = act(worker).await;
            if !count_ref.note(outcome, since, Instant::now(), &mut spoilt) {
                break;
            }
        }
    });
    let deal = async {
        let ticker = Ticker::every(TICK)?;
        let mut dealt = 0u64;
        while started.elapsed() < window {
            ticker.tick().await?;
            let now_due = (started.elapsed().min(window).as_secs_f64() * rate) as u64;
            due.add_permits((now_due - dealt) as usize);
            dealt = now_due;
        }
        while taken.get() < dealt && started.elapsed() < window + DRAIN && !count.exhausted.get() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        due.close();
        io::Result::Ok(())
    };
    let all = futures_util::future::join(futures_util::future::join_all(loops), deal);
    match tokio::time::timeout(window + STUCK, all).await {
        Ok((_, dealt)) => dealt?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {STUCK:?}"))),
    }
    Ok(count.finish(started, window))
}

/// A timer that is finer than the runtime's millisecond.
struct Ticker(AsyncFd<OwnedFd>);

impl Ticker {
    #[expect(unsafe_code, reason = "registering a descriptor rests on its staying the same one")]
    fn every(period: Duration) -> io::Result<Ticker> {
        let period = Timespec { tv_sec: 0, tv_nsec: period.subsec_nanos().into() };
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        timerfd_settime(&fd, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: period, it_value: period })?;
        // SAFETY: an OwnedFd is the same open descriptor until it is dropped, together with the AsyncFd around it.
        Ok(Ticker(unsafe { AsyncFd::register(fd)? }))
    }

    async fn tick(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut expired = [0u8; 8];
        // Somebody else may have been told first: then there is nothing to read.
        let _ = rustix::io::read(self.0.get_ref(), &mut expired);
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcomes: Vec<Result<(), Failure>>) -> (Round, Vec<bool>) {
        let started = Instant::now();
        let at = |ms: u64| started + Duration::from_millis(ms);
        let count = Count::default();
        let mut spoilt = 0;
        let goes_on = outcomes
            .into_iter()
            .zip(1..)
            .map(|(outcome, step)| count.note(outcome, at(10 * step - 4), at(10 * step), &mut spoilt))
            .collect();
        (count.finish(started, Duration::from_secs(2)), goes_on)
    }

    #[test]
    fn only_what_was_done_counts() {
        let (round, goes_on) = ended(vec![Ok(()), Err(Failure::Unexpected("500".into())), Ok(())]);
        assert_eq!((round.done, round.unexpected, round.first_unexpected.as_deref()), (2, 1, Some("500")));
        assert_eq!(goes_on, [true; 3]);
        assert_eq!(round.rate(), 1.0);
        assert!((round.latencies.percentile_ms(0.5) - 4.0).abs() < 0.01);
    }

    #[test]
    fn a_round_without_further_work_lasted_until_its_last_answer() {
        let (round, goes_on) = ended(vec![Ok(()), Ok(()), Err(Failure::Exhausted)]);
        assert_eq!(goes_on, [true, true, false]);
        assert!((round.seconds - 0.02).abs() < 1e-9);
        assert_eq!(Round::default().rate(), 0.0);
    }

    #[test]
    fn a_worker_that_only_fails_stops() {
        let (round, goes_on) = ended((0..100).map(|_| Err(Failure::Unexpected(String::new()))).collect());
        assert_eq!((round.done, round.unexpected), (0, 100));
        assert_eq!((goes_on[98], goes_on[99]), (true, false));
    }
}
