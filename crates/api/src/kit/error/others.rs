//! Why a wallet, an account, an organizer, a concert, an identity provider or the accounts refuse, in words.

use super::{Kind, Problem, time};
use domain::{account, concert, organizer, wallet};
use engine::ledger;
use security::identity;
use security::passwords::TooMany;
use serde_json::Value;

impl From<TooMany> for Problem {
    fn from(_: TooMany) -> Problem {
        Problem::overloaded()
    }
}

impl From<wallet::Rejection> for Problem {
    fn from(rejection: wallet::Rejection) -> Problem {
        use wallet::Rejection as R;
        match rejection {
            R::UnknownWallet => {
                Problem::new(Kind::UserNotFound, "Nobody with this user_id has signed up, or the account was erased.")
            }
            R::KeyReused => Problem::key_reused(),
            R::AdjustmentOutOfRange => {
                let most = wallet::BALANCE_POINTS_MAX;
                Problem::invalid("points", format!("must be -{most} to {most}, and not 0"))
            }
            R::ChargeOutOfRange => Problem::invalid("points", format!("must be 1 to {}", wallet::CHARGE_POINTS_MAX))
                .with("minimum", 1)
                .with("maximum", wallet::CHARGE_POINTS_MAX),
            R::TextOutOfRange { field } => Problem::invalid(
                field,
                format!(
                    "must have 1 to {} characters and none that are invisible or of control",
                    wallet::REFERENCE_CHARS_MAX
                ),
            ),
            R::TooManyCharges { retry_at_ms, wait_ms } => Problem::new(
                Kind::TooManyCharges,
                format!(
                    "A wallet can be charged {} times in 24 hours. Try again at retry_at.",
                    wallet::CHARGES_PER_DAY_MAX
                ),
            )
            .with("limit", wallet::CHARGES_PER_DAY_MAX)
            .with("retry_at", time(retry_at_ms))
            .retry_after_s(wait_ms.div_ceil(1000)),
            R::ChargeLimit { limit, charged, retry_at_ms } => Problem::new(
                Kind::ChargeLimit,
                format!("A user can be charged {limit} points in 24 hours, and {charged} are. Try again at retry_at."),
            )
            .with("limit", limit)
            .with("charged", charged)
            .with("retry_at", retry_at_ms.map_or(Value::Null, time)),
            R::BalanceTooLarge { balance } => Problem::new(
                Kind::BalanceTooLarge,
                format!("A wallet holds at most {} points.", wallet::BALANCE_POINTS_MAX),
            )
            .with("balance", balance)
            .with("maximum", wallet::BALANCE_POINTS_MAX),
            R::InsufficientPoints { balance, required } => {
                Problem::new(Kind::InsufficientPoints, format!("The wallet has {balance} of {required} points."))
                    .with("balance", balance)
                    .with("required", required)
            }
            R::TooLate { balance } => {
                Problem::new(Kind::PaymentTimedOut, "Nothing was paid. Try again.").with("balance", balance)
            }
            R::NeverSpent => Problem::not_found("payment"),
        }
    }
}

impl From<ledger::Unavailable> for Problem {
    fn from(unavailable: ledger::Unavailable) -> Problem {
        match unavailable {
            ledger::Unavailable::Behind { at, durable } => Problem::new(
                Kind::ReconciliationBehind,
                "The sums are being made from the log. Try again after the time in Retry-After.",
            )
            .with("position", at.0)
            .with("durable_position", durable.0),
            ledger::Unavailable::Overloaded => Problem::overloaded(),
            ledger::Unavailable::Failed => Problem::new(Kind::LogUnavailable, "The log cannot be read."),
        }
    }
}

impl From<account::Rejection> for Problem {
    fn from(rejection: account::Rejection) -> Problem {
        match rejection {
            account::Rejection::UnknownAccount => Problem::not_found("account"),
            account::Rejection::EmailTaken => {
                Problem::new(Kind::EmailTaken, "Sign in with POST /v1/sessions, or use another e-mail.")
            }
            account::Rejection::ChangedMeanwhile => {
                Problem::new(Kind::WrongPassword, "The password was changed a moment ago.")
            }
        }
    }
}

impl From<organizer::Rejection> for Problem {
    fn from(rejection: organizer::Rejection) -> Problem {
        use organizer::Rejection as R;
        let text = |field, chars_max| {
            Problem::invalid(
                field,
                format!("must have 1 to {chars_max} characters and none that are invisible or of control"),
            )
        };
        match rejection {
            R::UnknownOrganizer => Problem::not_found("organizer"),
            R::NameOutOfRange => text("name", organizer::NAME_CHARS_MAX),
            R::KeyNameOutOfRange => text("name", organizer::KEY_NAME_CHARS_MAX),
            R::UnknownKey => Problem::not_found("key"),
            R::LastKey => Problem::new(
                Kind::LastKey,
                "Without it nobody could make another one. Create the new key first; or ask the operator.",
            ),
            R::TooManyKeys { limit } => Problem::new(
                Kind::TooManyKeys,
                format!("An organizer has at most {limit} valid keys. Revoke one that is not needed any more."),
            )
            .with("limit", limit),
            R::KeyReused => Problem::key_reused(),
            R::Changed { version } => Problem::changed(version),
            R::ProviderThere { .. } => Problem::precondition_required(),
            R::InvalidProvider(invalid) => Problem::invalid(invalid.field, invalid.reason),
        }
    }
}

impl From<identity::Refused> for Problem {
    fn from(refused: identity::Refused) -> Problem {
        match refused {
            identity::Refused::Invalid(why) => Problem::new(Kind::BadIdToken, format!("The token is refused: {why}.")),
            identity::Refused::Expired => {
                Problem::new(Kind::TokenExpired, "Get a new token from the identity provider.")
            }
            identity::Refused::Unavailable { retry_after_s } => Problem::new(
                Kind::IdentityProviderUnavailable,
                "Its keys cannot be fetched, so nobody can be signed in. Try again after the time in Retry-After.",
            )
            .retry_after_s(retry_after_s),
        }
    }
}

impl From<concert::Rejection> for Problem {
    fn from(rejection: concert::Rejection) -> Problem {
        use concert::Rejection as R;
        match rejection {
            R::UnknownConcert => Problem::no_such("concert"),
            R::KeyReused => Problem::key_reused(),
            R::Changed { version } => Problem::changed(version),
            R::TextOutOfRange { field } => Problem::invalid(
                field,
                format!(
                    "must have 1 to {} characters and none that are invisible or of control",
                    concert::TEXT_CHARS_MAX
                ),
            ),
        }
    }
}
