//! Why a wallet, an account, an identity provider or the accounts refuse, in words.

use super::{Kind, Problem, time};
use base::id::Millis;
use domain::account::{ChangePasswordRejection, UnknownAccount};
use domain::process::sign_up;
use domain::wallet::{AdjustRejection, ChargeRejection, UnknownWallet};
use domain::{Invalid, wallet};
use engine::ledger;
use security::identity;
use security::passwords::TooMany;
use serde_json::Value;
use std::convert::Infallible;

impl From<TooMany> for Problem {
    fn from(_: TooMany) -> Problem {
        Problem::overloaded()
    }
}

/// Nothing is refused.
impl From<Infallible> for Problem {
    fn from(never: Infallible) -> Problem {
        match never {}
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Problem {
        Problem::invalid(invalid.field, invalid.reason)
    }
}

impl From<UnknownWallet> for Problem {
    fn from(_: UnknownWallet) -> Problem {
        Problem::new(Kind::UserNotFound, "Nobody with this user_id has signed up, or the account was erased.")
    }
}

impl From<ChargeRejection> for Problem {
    fn from(rejection: ChargeRejection) -> Problem {
        use ChargeRejection as R;
        match rejection {
            R::UnknownWallet => UnknownWallet.into(),
            R::KeyReused => Problem::key_reused(),
            R::TooManyCharges { retry_at_ms, wait_ms } => too_many_charges(retry_at_ms, wait_ms),
            R::PointsOutOfRange => Problem::invalid("points", format!("must be 1 to {}", wallet::CHARGE_POINTS_MAX))
                .with("minimum", 1)
                .with("maximum", wallet::CHARGE_POINTS_MAX),
            R::ReferenceOutOfRange => text_out_of_range("reference", wallet::REFERENCE_CHARS_MAX),
            R::ChargeLimit { limit, charged, retry_at_ms } => Problem::new(
                Kind::ChargeLimit,
                format!("A user can be charged {limit} points in 24 hours, and {charged} are. Try again at retry_at."),
            )
            .with("limit", limit)
            .with("charged", charged)
            .with("retry_at", retry_at_ms.map_or(Value::Null, time)),
            R::BalanceTooLarge { balance } => balance_too_large(balance),
        }
    }
}

impl From<AdjustRejection> for Problem {
    fn from(rejection: AdjustRejection) -> Problem {
        use AdjustRejection as R;
        match rejection {
            R::UnknownWallet => UnknownWallet.into(),
            R::KeyReused => Problem::key_reused(),
            R::TooManyCharges { retry_at_ms, wait_ms } => too_many_charges(retry_at_ms, wait_ms),
            R::PointsOutOfRange => {
                let most = wallet::BALANCE_POINTS_MAX;
                Problem::invalid("points", format!("must be -{most} to {most}, and not 0"))
            }
            R::ReasonOutOfRange => text_out_of_range("reason", wallet::REFERENCE_CHARS_MAX),
            R::InsufficientPoints { balance, required } => {
                Problem::new(Kind::InsufficientPoints, format!("The wallet has {balance} of {required} points."))
                    .with("balance", balance)
                    .with("required", required)
            }
            R::BalanceTooLarge { balance } => balance_too_large(balance),
        }
    }
}

fn too_many_charges(retry_at_ms: Millis, wait_ms: Millis) -> Problem {
    let limit = wallet::CHARGES_PER_DAY_MAX;
    let told = format!("A wallet can be charged {limit} times in 24 hours. Try again at retry_at.");
    Problem::new(Kind::TooManyCharges, told)
        .with("limit", limit)
        .with("retry_at", time(retry_at_ms))
        .retry_after_s(wait_ms.div_ceil(1000))
}

fn balance_too_large(balance: u64) -> Problem {
    let most = wallet::BALANCE_POINTS_MAX;
    Problem::new(Kind::BalanceTooLarge, format!("A wallet holds at most {most} points."))
        .with("balance", balance)
        .with("maximum", most)
}

pub(super) fn text_out_of_range(field: &'static str, chars_max: usize) -> Problem {
    let reason = format!("must have 1 to {chars_max} characters and none that are invisible or of control");
    Problem::invalid(field, reason)
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

impl From<UnknownAccount> for Problem {
    fn from(_: UnknownAccount) -> Problem {
        Problem::not_found("account")
    }
}

impl From<sign_up::Rejection> for Problem {
    fn from(rejection: sign_up::Rejection) -> Problem {
        match rejection {
            sign_up::Rejection::UnknownAccount => UnknownAccount.into(),
            sign_up::Rejection::EmailTaken => {
                Problem::new(Kind::EmailTaken, "Sign in with POST /v1/sessions, or use another e-mail.")
            }
        }
    }
}

impl From<ChangePasswordRejection> for Problem {
    fn from(rejection: ChangePasswordRejection) -> Problem {
        match rejection {
            ChangePasswordRejection::UnknownAccount => UnknownAccount.into(),
            ChangePasswordRejection::ChangedMeanwhile => {
                Problem::new(Kind::WrongPassword, "The password was changed a moment ago.")
            }
        }
    }
}

impl Problem {
    /// Why a token to join a queue with is not taken.
    pub fn of_join_token(refused: identity::Refused) -> Problem {
        match refused {
            identity::Refused::Unavailable { .. } => Problem::from(refused),
            identity::Refused::Invalid(why) => Problem::new(Kind::BadJoinToken, format!("It is refused: {why}.")),
            identity::Refused::Expired => {
                Problem::new(Kind::BadJoinToken, "It has expired. Get a new one where you got this one.")
            }
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
