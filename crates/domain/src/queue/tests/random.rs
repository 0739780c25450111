//! Random stories: whatever people and organizers do, the policy holds and the order is kept.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Action {
    Join(u8),
    Leave(u8),
    Claim(u8),
    Finish(u8),
    Block(u8),
    Restore(u8),
    GoAway(u8),
    ComeBack(u8),
    PutFirst(u8),
    Sleep(u8),
    Policy(u8),
    Pause(bool),
    Wait(u16),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => any::<u8>().prop_map(Action::Join),
        1 => any::<u8>().prop_map(Action::Leave),
        3 => any::<u8>().prop_map(Action::Claim),
        2 => any::<u8>().prop_map(Action::Finish),
        1 => any::<u8>().prop_map(Action::Block),
        1 => any::<u8>().prop_map(Action::Restore),
        2 => any::<u8>().prop_map(Action::GoAway),
        2 => any::<u8>().prop_map(Action::ComeBack),
        1 => any::<u8>().prop_map(Action::PutFirst),
        1 => any::<u8>().prop_map(Action::Sleep),
        1 => any::<u8>().prop_map(Action::Policy),
        1 => any::<bool>().prop_map(Action::Pause),
        6 => (0u16..3_000).prop_map(Action::Wait),
    ]
}

fn policy(number: u8) -> Policy {
    let rate = (number & 1 == 1).then_some(Rate { count: u32::from(number / 4 % 5) + 1, interval_s: 2 });
    let max_active = (rate.is_none() || number & 2 == 2).then_some(u32::from(number % 7) + 1);
    Policy { rate, max_active, manual: false }
}

/// Admissions since the policy's rate was set, to hold against it.
struct Admissions {
    rate: Option<Rate>,
    recent: VecDeque<(Millis, u32)>,
}

impl Admissions {
    fn check(&mut self, now: Millis, admitted: u32) {
        self.recent.push_back((now, admitted));
        if let Some(rate) = self.rate {
            let from = now.saturating_sub(u64::from(rate.interval_s) * 1_000 - 1);
            let sum: u32 = self.recent.iter().filter(|(at, _)| *at >= from).map(|(_, count)| count).sum();
            assert!(sum <= rate.count, "{sum} within {} s", rate.interval_s);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_policy_holds_and_the_order_is_kept(actions in prop::collection::vec(action(), 1..120), drawn in any::<bool>()) {
        let opens_at_ms = if drawn { NOW + 4_000 } else { NOW };
        let mut case = QueueCase::of(Terms { opens_at_ms, idle_ttl_s: Some(10), absent_after_s: Some(30), ..terms(policy(3)) });
        let mut admissions = Admissions { rate: policy(3).rate, recent: VecDeque::new() };
        for action in actions {
            run(&mut case, &mut admissions, &action);
            let returned = match action { Action::ComeBack(who) => vec![ticket(&case, who)], _ => vec![] };
            let idle = match action { Action::Sleep(who) => vec![ticket(&case, who)], _ => vec![] };
            advance(&mut case, &mut admissions, returned, idle);
        }
    }
}

fn ticket(case: &QueueCase, who: u8) -> u32 {
    u32::from(who) % case.story.state.line().joined().max(1) + 1
}

fn run(case: &mut QueueCase, admissions: &mut Admissions, action: &Action) {
    // Refusals are outcomes as well: what they leave behind is looked at.
    let reason = || "x".to_owned();
    match action {
        Action::Join(who) => drop(case.tell(&Join::of(user(u128::from(who % 40) + 1)))),
        Action::Leave(who) => drop(case.tell(&Leave { ticket: ticket(case, *who) })),
        Action::Claim(who) => drop(case.tell(&Claim { ticket: ticket(case, *who) })),
        Action::Finish(who) => drop(case.tell(&Finish { ticket: ticket(case, *who) })),
        Action::Block(who) => {
            drop(case.tell(&Block { organizer: OWNER, ticket: ticket(case, *who), reason: reason() }));
        }
        Action::Restore(who) => drop(case.tell(&Restore { organizer: OWNER, ticket: ticket(case, *who) })),
        Action::GoAway(who) => case.go_away(&[ticket(case, *who)]),
        Action::ComeBack(who) => {
            let back = ticket(case, *who);
            case.away.0.lock().unwrap().remove(&back);
        }
        Action::PutFirst(who) => {
            let (tickets, presence) = (vec![ticket(case, *who)], case.away.clone());
            drop(case.tell(&AdmitNamed { organizer: OWNER, tickets, reason: reason(), presence }));
        }
        Action::Sleep(_) => {}
        Action::Policy(number) => {
            if policy(*number).rate != admissions.rate {
                *admissions = Admissions { rate: policy(*number).rate, recent: VecDeque::new() };
            }
            drop(case.tell(&Change { policy: Some(policy(*number)), ..change() }));
        }
        Action::Pause(paused) => {
            let state = if *paused { State::Paused } else { State::Open };
            drop(case.tell(&SetState { organizer: OWNER, state }));
        }
        Action::Wait(ms) => case.now += u64::from(*ms),
    }
}

fn advance(case: &mut QueueCase, admissions: &mut Admissions, returned: Vec<u32>, idle: Vec<u32>) {
    let before: Vec<(u32, Option<u32>)> = {
        let line = case.story.state.line();
        let waits = |ticket: &u32| line.standing(*ticket).is_some_and(|standing| standing.waits());
        (1..=line.joined()).filter(waits).map(|ticket| (ticket, line.rank(ticket))).collect()
    };
    let admitted = case.advance_with(returned, idle);
    admissions.check(case.now, admitted);
    let (line, state) = (case.story.state.line(), &case.story.state);
    let max_active = state.facts().unwrap().terms.policy.max_active;
    if admitted > 0 {
        assert!(max_active.is_none_or(|max| line.counts.inside() <= max), "{} are inside", line.counts.inside());
    }
    // Nobody who was there and waits on was before one who was let in.
    let worst =
        before.iter().filter(|(ticket, _)| line.standing(*ticket) == Some(Admitted)).filter_map(|(_, rank)| *rank);
    if let Some(worst) = worst.max() {
        for (ticket, rank) in &before {
            let waits_on = line.standing(*ticket) == Some(Waiting) || line.standing(*ticket) == Some(First);
            let was_before = rank.is_some_and(|rank| rank < worst);
            assert!(!(waits_on && was_before), "{ticket} was before another who was let in");
        }
    }
    let counted = (1..=line.joined()).filter(|ticket| matches!(line.standing(*ticket), Some(Waiting | First))).count();
    assert_eq!(line.counts.waiting as usize, counted);
    for event in &case.story.last {
        if let Event::EntriesAdmitted(event) = event {
            assert_eq!(event.waiting, line.counts.waiting);
            assert_eq!(event.inside, line.counts.inside());
        }
    }
}
