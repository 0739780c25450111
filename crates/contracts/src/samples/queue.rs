//! Of queues.

use super::{NOON, ORGANIZER, USER};
use base::id::{EntryId, QueueId};
use domain::Fingerprint;
use domain::queue::draw::Seed;
use domain::queue::event::*;
use domain::queue::policy::{Policy, Rate};
use domain::queue::{Colors, Link, Logo, LogoType, Look};

fn terms() -> Terms {
    Terms {
        name: "Autumn tour".into(),
        redirect_urls: vec!["https://tickets.example.com/shop".into()],
        policy: Policy { rate: Some(Rate { count: 500, interval_s: 60 }), max_active: Some(2_000), manual: false },
        opens_at_ms: NOON,
        claim_ttl_s: 120,
        session_ttl_s: 900,
        idle_ttl_s: Some(120),
        absent_after_s: Some(600),
        purchase_completes: true,
        join: JoinPolicy::Token,
    }
}

fn colors(card: &str, text: &str) -> Colors {
    let [ground, card, text] = [card, card, text].map(str::to_owned);
    Colors { ground, card, text, accent: "#3b3fd1".into(), on_accent: "#ffffff".into() }
}

fn entry(ticket: u32) -> EntryId {
    EntryId::of(QueueId::from_random(8), ticket)
}

fn admitted(ticket: u32, subject: String) -> AdmittedEntry {
    AdmittedEntry { entry_id: entry(ticket), ticket, subject: subject.into(), claim_until_ms: None }
}

pub fn queue() -> Vec<Event> {
    let (entry_id, ticket, inside, waiting) = (entry(7), 7, 12, 340);
    let (seed, tickets) = (Seed([7; 32]), vec![7, 8]);
    vec![
        Event::QueueCreated(QueueCreated {
            organizer_id: ORGANIZER,
            terms: terms(),
            commitment: seed.commitment(),
            content: Fingerprint::of(&[b"content"]),
        }),
        Event::QueueChanged(QueueChanged { terms: Terms { name: "Autumn tour, second night".into(), ..terms() } }),
        Event::QueueStateChanged(QueueStateChanged { state: State::Paused }),
        Event::QueueNoticeSet(QueueNoticeSet { notice: Some("We are back in ten minutes.".into()) }),
        Event::QueuePageSet(QueuePageSet {
            look: Look {
                logo: Some(Logo { media_type: LogoType::Png, data: "iVBORw0KGgo=".into() }),
                light: Some(colors("#ffffff", "#171a21")),
                dark: Some(colors("#191c24", "#f0f2f6")),
                texts: [("en".into(), [("waiting_lead".into(), "Thank you for waiting.".into())].into())].into(),
                links: vec![Link { label: "Help".into(), url: "https://tickets.example.com/help".into() }],
                show_seats_left: true,
                frame_ancestors: vec!["https://tickets.example.com".into()],
            },
        }),
        Event::QueueDrawn(QueueDrawn {
            seed: seed.text(),
            sealed: domain::queue::draw::hex(&domain::queue::draw::seal(&tickets)),
            tickets: 9,
            drawn: 2,
            ready: None,
        }),
        Event::EntryJoined(EntryJoined {
            entry_id,
            ticket,
            user_id: Some(USER),
            visitor: Some("visitor-4711".into()),
            repeat: Some(Fingerprint::of(&[b"key"])),
            token: Some(Fingerprint::of(&[b"token"])),
            waiting,
        }),
        Event::EntriesAdmitted(EntriesAdmitted {
            entries: vec![admitted(7, USER.to_string()), admitted(8, "visitor-4711".into())],
            by: AdmittedBy::Name,
            reason: Some("wheelchair users wait elsewhere".into()),
            repeat: Some(Fingerprint::of(&[b"key"])),
            claim_until_ms: NOON + 120_000,
            machine_ms: None,
            admitted_before: 40,
            inside,
            waiting,
        }),
        Event::ClaimsExtended(ClaimsExtended { tickets: tickets.clone(), claim_until_ms: NOON + 150_000 }),
        Event::EntriesPassedOver(EntriesPassedOver { tickets: tickets.clone(), waiting }),
        Event::EntriesReturned(EntriesReturned { tickets: tickets.clone(), waiting }),
        Event::EntriesGivenUp(EntriesGivenUp { tickets: tickets.clone() }),
        Event::EntriesPutFirst(EntriesPutFirst {
            tickets: tickets.clone(),
            reason: "the server was down for them".into(),
            waiting,
        }),
        Event::EntryLeft(EntryLeft { entry_id, ticket, inside, waiting }),
        Event::EntryBlocked(EntryBlocked { entry_id, ticket, reason: "a bot".into(), inside, waiting }),
        Event::EntryRestored(EntryRestored { entry_id, ticket, waiting }),
        Event::SessionClaimed(SessionClaimed { entry_id, ticket, until_ms: NOON + 900_000 }),
        Event::SessionFinished(SessionFinished { entry_id, ticket, inside }),
        Event::SessionsExpired(SessionsExpired { tickets, reason: ExpiredBy::Idle, inside }),
    ]
}
