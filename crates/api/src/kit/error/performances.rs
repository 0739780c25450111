//! Why a performance refuses, in words.

use super::{Kind, Problem, time};
use domain::performance;
use domain::performance::reservation::State;
use domain::performance::seats::best::PlacesByKind;
use serde_json::json;

impl From<performance::Rejection> for Problem {
    fn from(rejection: performance::Rejection) -> Problem {
        use performance::Rejection as R;
        let problem = |kind, detail: &'static str| Problem::new(kind, detail);
        match rejection {
            R::UnknownPerformance => Problem::no_such("performance"),
            R::UnknownReservation => Problem::not_found("reservation"),
            R::KeyReused => Problem::key_reused(),
            R::Invalid(invalid) => Problem::invalid(invalid.field, invalid.reason),
            R::NotPrepared => Problem::overloaded(),
            R::NoPlaces => Problem::invalid("seats", "ask for at least one place"),
            R::TooManyPlaces { limit } => Problem::too_many_places("seats", limit),
            R::MoreAccessibleThanSeats => {
                Problem::invalid("best_available.accessible", "must not be more than best_available.count")
            }
            R::RepeatedSeat { seat } => {
                Problem::invalid("seats", format!("{seat:?} is named twice")).with("seats", json!([seat]))
            }
            R::UnknownSeats { seats } => problem(
                Kind::UnknownSeat,
                "Seats are named section-row-seat, e.g. A-1-12; the performance's chart lists them.",
            )
            .with("seats", seats),
            R::UnknownArea { area } => {
                problem(Kind::UnknownArea, "The performance's chart lists its standing areas.").with("area", area)
            }
            R::UnknownGrade { grade } => {
                problem(Kind::UnknownGrade, "The performance's prices list its grades.").with("grade", grade)
            }
            R::UnknownSection { section } => {
                problem(Kind::UnknownSection, "The performance's chart lists its sections.").with("section", section)
            }
            R::SaleNotOpen { state, opens_at_ms } => {
                let detail = match state {
                    performance::SaleState::Scheduled => "It opens at sale_opens_at.",
                    performance::SaleState::Paused => "It is paused; what is held stays held. Try again later.",
                    _ => "It is over.",
                };
                problem(Kind::SaleNotOpen, detail).with("state", json!(state)).with("sale_opens_at", time(opens_at_ms))
            }
            R::SeatLimit { limit, held } => Problem::new(
                Kind::SeatLimit,
                format!("One user may have {limit} places here; you have {held}. Give some up or ask for fewer."),
            )
            .with("limit", limit)
            .with("held", held),
            R::SeatsUnavailable { seats } => {
                problem(Kind::SeatsUnavailable, "These seats are taken. Nothing was held; choose others.")
                    .with("seats", seats)
            }
            R::SeatsTaken { seats, replacement } => {
                let detail = match replacement {
                    Some(_) => "These seats are taken. Nothing was held; replacement has free ones like them.",
                    None => "These seats are taken, and there are no others like them. Nothing was held.",
                };
                problem(Kind::SeatsUnavailable, detail).with("seats", seats).with("replacement", json!(replacement))
            }
            R::TooManyLapsedHolds { limit, window_ms, retry_at_ms, wait_ms } => Problem::new(
                Kind::TooManyLapsedHolds,
                format!(
                    "More than {limit} of your holds here expired or were given up within an hour, while others wanted the \
                     places. What you hold stays held; hold more from retry_at on."
                ),
            )
            .with("limit", limit)
            .with("window_s", window_ms / 1000)
            .with("retry_at", time(retry_at_ms))
            .retry_after_s(wait_ms.div_ceil(1000)),
            R::TooFewLeft { available, places } => Problem::new(
                Kind::SeatsUnavailable,
                format!("Only {available} of what you asked for are left{}. Nothing was held.", besides(available, places)),
            )
            .with("available", available)
            .with("available_by_kind", json!(places)),
            R::HoldExpired { expired_at_ms } => {
                problem(Kind::HoldExpired, "The places are free again. Hold them anew.")
                    .with("expired_at", time(expired_at_ms))
            }
            R::WrongState { state } => wrong_state(state),
            R::InsufficientPoints { balance, required, expires_at_ms } => Problem::new(
                Kind::InsufficientPoints,
                format!("You have {balance} of {required} points. Charge your wallet and pay again before expires_at."),
            )
            .with("balance", balance)
            .with("required", required)
            .with("expires_at", time(expires_at_ms)),
            R::PaymentTimedOut { expires_at_ms } => {
                problem(Kind::PaymentTimedOut, "Nothing was paid. Pay again before expires_at.")
                    .with("expires_at", time(expires_at_ms))
            }
            R::CancellationClosed { closed_at_ms } => {
                problem(Kind::CancellationClosed, "Paid reservations could be cancelled until closed_at.")
                    .with("closed_at", time(closed_at_ms))
            }
            R::ExtensionNotAllowed { already: true } => {
                problem(Kind::ExtensionNotAllowed, "A hold can be extended once, and this one was.")
            }
            R::ExtensionNotAllowed { already: false } => {
                problem(Kind::ExtensionNotAllowed, "This performance does not allow it. Pay before expires_at.")
            }
            R::ExtensionGainsNothing { expires_at_ms } => problem(
                Kind::ExtensionNotAllowed,
                "The hold has more time already than an extension would give it. You can still extend it later.",
            )
            .with("expires_at", time(expires_at_ms)),
            R::SaleClosed => {
                problem(Kind::SaleClosed, "A closed sale cannot be opened or paused again, nor its hours changed.")
            }
            R::SaleEnded { ended_at_ms } => problem(
                Kind::SaleClosed,
                "Its sale_closes_at has passed. Move that, or starts_at where it follows that; state can be set with it.",
            )
            .with("sale_closes_at", time(ended_at_ms)),
            R::SaleOpened { opened_at_ms } => {
                problem(Kind::SaleOpened, "It cannot be put off any more. Pause it instead.")
                    .with("sale_opens_at", time(opened_at_ms))
            }
            R::Changed { version } => Problem::changed(version),
            R::PerformanceCancelled { cancelled_at_ms } => problem(
                Kind::PerformanceCancelled,
                "It will not take place. Everyone who has paid gets the points back.",
            )
            .with("cancelled_at", time(cancelled_at_ms)),
            R::NotCancelled => Problem::not_found("cancellation"),
            R::PlacesInUse { seats, seats_total, areas } => problem(
                Kind::PlacesInUse,
                "These places are held or sold, so the new chart must have them. Nothing was changed.",
            )
            .with("seats", seats)
            .with("seats_total", seats_total)
            .with("areas", json!(areas)),
            R::AreasTaken { areas } => {
                let area = |(area, blocked_max): &(String, u32)| json!({"area": area, "blocked_max": blocked_max});
                problem(Kind::SeatsUnavailable, "Of these areas fewer places are free. Nothing was blocked.")
                    .with("areas", areas.iter().map(area).collect::<Vec<_>>())
            }
        }
    }
}

/// What is left besides the seats that were asked for, and how to ask for it.
fn besides(available: u32, places: PlacesByKind) -> &'static str {
    let special = places.accessible > 0 && available == places.standard;
    let standing = places.standing > 0 && places.standing != available;
    match (special, standing) {
        (true, true) => {
            "; others are for wheelchair users and their companions (best_available.accessible) or standing places (area)"
        }
        (true, false) => "; others are for wheelchair users and their companions: ask with best_available.accessible",
        (false, true) => "; others are standing places: ask with area and count",
        (false, false) => ": ask for fewer or others",
    }
}

fn wrong_state(state: State) -> Problem {
    let (kind, detail) = match state {
        State::Held => (Kind::ReservationHeld, "Nothing was paid for it, so there is nothing to refund."),
        State::Paying => (Kind::PaymentInProgress, "Its payment is on the way. Read it again in a moment."),
        State::Confirmed => (Kind::ReservationConfirmed, "It is paid: the places are yours."),
        State::Cancelling => (Kind::CancellationInProgress, "Its points are on the way back. Read it in a moment."),
        State::Cancelled => (Kind::ReservationCancelled, "Its points are back in the wallet. Hold places anew."),
        State::Released => (Kind::ReservationReleased, "Its places are free again. Hold places anew."),
        State::Expired => (Kind::HoldExpired, "Its places are free again. Hold places anew."),
    };
    Problem::new(kind, detail).with("state", json!(state))
}
