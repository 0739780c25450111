//! Which requests are traced. Of those without a caller's `traceparent` a ratio, decided by the trace's id, so that every part of
//! a system that goes by the same rule comes to the same decision. Of those with one, those whose caller records it: at most so
//! many a second, because anybody can ask. And every one that was slow or failed, at most so many a second, because everything
//! may be slow at once.

use base::trace_context::{self, SpanId, TraceContext};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Ratios are compared with the last seven bytes of a trace's id, which are random.
pub const WHOLE: u64 = 1 << 56;

/// Why a request's trace is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    Ratio,
    Caller,
    Slow,
    Failed,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Ratio => "ratio",
            Reason::Caller => "caller",
            Reason::Slow => "slow",
            Reason::Failed => "failed",
        }
    }
}

/// What is wanted now.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Of [`WHOLE`].
    pub ratio: u64,
    /// A request that took so long is slow.
    pub slow: Duration,
    /// Of those that callers ask for, and of those that are slow or failed.
    pub per_s_max: u32,
}

/// A request that begins.
#[derive(Debug)]
pub struct Begun {
    /// Its trace and its span.
    pub context: TraceContext,
    /// The caller's span.
    pub parent: Option<SpanId>,
    /// Why it is traced, when that is known already.
    pub reason: Option<Reason>,
}

/// How much there was of what is limited.
#[derive(Debug)]
pub struct Sampler {
    begin: Instant,
    asked: Allowance,
    notable: Allowance,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler { begin: Instant::now(), asked: Allowance::default(), notable: Allowance::default() }
    }
}

/// A limit that hit: the trace is not sent.
pub struct Limited;

impl Sampler {
    /// The second is whether a caller asked in vain.
    pub fn begin(&self, caller: Option<TraceContext>, sampling: Sampling, now: Instant) -> (Begun, Option<Limited>) {
        let span_id = trace_context::new_span_id();
        let Some(caller) = caller else {
            let trace_id = trace_context::new_trace_id();
            let sampled = random_part(&trace_id) < sampling.ratio;
            let context = TraceContext { trace_id, span_id, sampled, state: None };
            return (Begun { context, parent: None, reason: sampled.then_some(Reason::Ratio) }, None);
        };
        let sampled = caller.sampled && self.asked.take(self.second(now), sampling.per_s_max);
        let limited = (caller.sampled && !sampled).then_some(Limited);
        let parent = Some(caller.span_id);
        let context = TraceContext { span_id, sampled, ..caller };
        (Begun { context, parent, reason: sampled.then_some(Reason::Caller) }, limited)
    }

    /// Why a request is to be seen that was answered; `None` when it is not.
    pub fn end(
        &self,
        begun: Option<Reason>,
        (failed, took): (bool, Duration),
        sampling: Sampling,
        now: Instant,
    ) -> Result<Option<Reason>, Limited> {
        let notable = match (failed, took >= sampling.slow) {
            (true, _) => Reason::Failed,
            (false, true) => Reason::Slow,
            (false, false) => return Ok(begun),
        };
        if begun.is_some() {
            return Ok(begun);
        }
        match self.notable.take(self.second(now), sampling.per_s_max) {
            true => Ok(Some(notable)),
            false => Err(Limited),
        }
    }

    fn second(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.begin).as_secs() as u32
    }
}

fn random_part(trace_id: &[u8; 16]) -> u64 {
    let last: [u8; 8] = trace_id[8..].try_into().expect("half of 16 bytes");
    u64::from_be_bytes(last) & (WHOLE - 1)
}

/// So many a second: the second in the upper half, how many there were of it in the lower one.
#[derive(Debug, Default)]
struct Allowance(AtomicU64);

impl Allowance {
    fn take(&self, second: u32, max: u32) -> bool {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |was| {
            let count = if (was >> 32) as u32 == second { was as u32 } else { 0 };
            (count < max).then(|| u64::from(second) << 32 | u64::from(count + 1))
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLING: Sampling = Sampling { ratio: 0, slow: Duration::from_millis(100), per_s_max: 3 };

    fn caller(sampled: bool) -> TraceContext {
        TraceContext { trace_id: [7; 16], span_id: [9; 8], sampled, state: Some("a=1".into()) }
    }

    #[test]
    fn a_ratio_is_kept() {
        let (sampler, now) = (Sampler::default(), Instant::now());
        for (ratio, from, to) in [(0, 0, 0), (WHOLE, 10_000, 10_000), (WHOLE / 100, 40, 180), (WHOLE / 2, 4_700, 5_300)]
        {
            let sampling = Sampling { ratio, ..SAMPLING };
            let sampled = (0..10_000).filter(|_| sampler.begin(None, sampling, now).0.reason.is_some()).count();
            assert!((from..=to).contains(&sampled), "{sampled} of 10,000 at {ratio}");
        }
    }

    #[test]
    fn a_caller_decides_within_limits() {
        let (sampler, now) = (Sampler::default(), Instant::now());
        let always = Sampling { ratio: WHOLE, ..SAMPLING };
        let (begun, _) = sampler.begin(Some(caller(false)), always, now);
        assert_eq!((begun.reason, begun.context.sampled), (None, false));
        for time in 0..2 {
            let now = now + Duration::from_secs(time);
            for count in 0..5 {
                let (begun, limited) = sampler.begin(Some(caller(true)), SAMPLING, now);
                let within = count < SAMPLING.per_s_max;
                assert_eq!(begun.reason, within.then_some(Reason::Caller));
                assert_eq!((begun.context.sampled, limited.is_none()), (within, within));
                assert_eq!((begun.context.trace_id, begun.parent), ([7; 16], Some([9; 8])));
                assert!(begun.context.span_id != [9; 8] && begun.context.state.as_deref() == Some("a=1"));
            }
        }
    }

    #[test]
    fn what_is_slow_or_failed_is_seen_within_limits() {
        let (sampler, now) = (Sampler::default(), Instant::now());
        let (quick, slow) = (Duration::from_millis(99), Duration::from_millis(100));
        assert_eq!(sampler.end(None, (false, quick), SAMPLING, now).ok(), Some(None));
        // What is traced anyway takes nothing of the limit.
        for _ in 0..9 {
            assert_eq!(sampler.end(Some(Reason::Ratio), (true, slow), SAMPLING, now).ok(), Some(Some(Reason::Ratio)));
        }
        assert_eq!(sampler.end(None, (false, slow), SAMPLING, now).ok(), Some(Some(Reason::Slow)));
        assert_eq!(sampler.end(None, (true, quick), SAMPLING, now).ok(), Some(Some(Reason::Failed)));
        assert_eq!(sampler.end(None, (true, slow), SAMPLING, now).ok(), Some(Some(Reason::Failed)));
        assert!(sampler.end(None, (true, slow), SAMPLING, now).is_err());
        assert!(sampler.end(None, (true, slow), SAMPLING, now + Duration::from_secs(1)).is_ok());
    }
}
