//! The wallet: points, and charging them.

use crate::Api;
use crate::auth::{Caller, Operator, Organizer, User};
use crate::kit::body::Body;
use crate::kit::error::{Kind, Problem};
use crate::kit::extract::{Id, IdempotencyKey};
use crate::kit::reply::{Reply, etag, not_modified};
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{OrganizerId, UserId};
use domain::wallet::{self, Adjust, Balance, ChargedBy, Moved, Read, ReadAsOrganizer, UnknownWallet};
use domain::{Command, Fingerprint, IdempotencyRecord, organizer};
use engine::Done;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A user's points.
#[derive(Serialize, ToSchema)]
pub struct Wallet {
    user_id: Uuid,
    balance: u64,
    /// Counts changes; also the ETag.
    version: u64,
}

/// Points that were paid for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    #[schema(minimum = 1, maximum = 10_000_000)]
    points: u64,
    /// Your own name for it, e.g. the payment provider's.
    #[schema(max_length = 200)]
    reference: Option<String>,
    /// Whose wallet; organizers and the operator must say, users only mean their own.
    user_id: Option<Uuid>,
}

/// A charge that took place.
#[derive(Serialize, ToSchema)]
pub struct Charged {
    charge_id: Uuid,
    user_id: Uuid,
    points: u64,
    /// Points after it.
    balance: u64,
    reference: Option<String>,
    charged_at: Time,
}

/// A correction of a balance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjustment {
    /// Added when positive, taken when negative; never below a balance of 0.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    points: i64,
    /// For the user, who sees it in the wallet's entries.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// On whose account it is in the reconciliation; nobody's unless given.
    organizer_id: Option<Uuid>,
}

/// A correction that took place.
#[derive(Serialize, ToSchema)]
pub struct Adjusted {
    adjustment_id: Uuid,
    user_id: Uuid,
    points: i64,
    /// Points after it.
    balance: u64,
    reason: String,
    organizer_id: Option<Uuid>,
    adjusted_at: Time,
}

pub fn routes() -> Vec<Route> {
    routes![charge, read, read_of_user, adjust]
}

/// Read the wallet
#[utoipa::path(
    get, path = "/v1/wallet", tag = "wallet", operation_id = "read_wallet", security(("user" = [])),
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The user's points", body = Wallet, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`user-not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, user: User, request: HttpRequest) -> Result<HttpResponse, Problem> {
    shown(&api, user.user, Read, &request).await
}

/// Read a user's wallet
///
/// With the operator's key any user's; with an organizer's key that of users whom it charged or sold to. Wallets are of
/// the whole installation: the balance is what the user can spend with any organizer.
#[utoipa::path(
    get, path = "/v1/users/{id}/wallet", tag = "wallet", operation_id = "read_user_wallet",
    security(("organizer" = []), ("operator" = [])),
    params(("id" = Uuid, Path, description = "The user"), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The user's points", body = Wallet, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`user-not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read_of_user(
    api: web::Data<Api>,
    caller: Caller,
    id: Id<UserId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    match caller.of_others()? {
        Some(organizer) => shown(&api, id.0, ReadAsOrganizer { organizer }, &request).await,
        None => shown(&api, id.0, Read, &request).await,
    }
}

async fn shown<C>(api: &Api, user: UserId, read: C, request: &HttpRequest) -> Result<HttpResponse, Problem>
where
    C: Command<On = wallet::Wallet, Answer = Balance, Rejection = UnknownWallet>,
{
    let Balance { user, points: balance, version } = api.handle()?.engine.ask(user, read).await?.answer;
    let etag = etag(version);
    match not_modified(request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&Wallet { user_id: user.0, balance, version })),
    }
}

/// Charge points
///
/// After your payment provider confirmed the payment. Sent twice with one Idempotency-Key, it happens once.
#[utoipa::path(
    post, path = "/v1/wallet/charges", tag = "wallet", operation_id = "charge", request_body = Charge,
    security(("user" = []), ("organizer" = []), ("operator" = [])),
    params(("Idempotency-Key" = String, Header, description = "8 to 255 visible ASCII characters; kept 24 h")),
    responses(
        (status = 201, description = "Charged", body = Charged, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 403, description = "`self-charge-off`", body = crate::kit::error::ProblemBody),
        (status = 404, description = "`user-not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`balance-too-large`, `charge-limit` (with `limit`, \
            `charged` and `retry_at`, which is null when so many never fit)", body = crate::kit::error::ProblemBody),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
        (status = 429, description = "`too-many-charges`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn charge(
    api: web::Data<Api>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<Charge>,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let Charge { points, reference, user_id } = body.0;
    let user = wallet_of(&api, &caller, user_id)?;
    let key = key.required()?.as_bytes();
    // The same key of another caller is another key.
    let (key, by, organizer) = match caller {
        Caller::User(_) => (Fingerprint::of(&[b"user", key]), ChargedBy::User, None),
        Caller::Organizer(Organizer(id)) => {
            (Fingerprint::of(&[b"organizer", id.0.as_bytes(), key]), ChargedBy::Organizer, Some(id))
        }
        Caller::Operator => (Fingerprint::of(&[b"operator", key]), ChargedBy::Operator, None),
    };
    let content = Fingerprint::of(&[
        &points.to_be_bytes(),
        reference.as_deref().map_or(b"-", |_| b"+"),
        reference.as_deref().unwrap_or_default().as_bytes(),
    ]);
    let command = wallet::Charge {
        points,
        reference: reference.clone(),
        by,
        organizer,
        day_points_max: api.config.charge_points_per_day_max,
        repeat: IdempotencyRecord { key, content },
    };
    let Done { answer: Moved { movement, repeated }, position } = handle.engine.ask(user, command).await?;
    let charged = Charged {
        charge_id: movement.id,
        user_id: user.0,
        points,
        balance: movement.balance,
        reference,
        charged_at: Time(movement.at_ms),
    };
    Ok(Reply::created("/v1/wallet").position(position).replayed(repeated).json(&charged))
}

/// Correct a balance
///
/// Sent twice with one Idempotency-Key, it happens once.
#[utoipa::path(
    post, path = "/v1/users/{id}/wallet/adjustments", tag = "wallet", operation_id = "adjust",
    request_body = Adjustment, security(("operator" = [])),
    params(
        ("id" = Uuid, Path, description = "The user"),
        ("Idempotency-Key" = String, Header, description = "8 to 255 visible ASCII characters; kept 24 h")),
    responses(
        (status = 201, description = "Adjusted", body = Adjusted, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 404, description = "`user-not-found`; `not-found` of an organizer that is not there",
            body = crate::kit::error::ProblemBody),
        (status = 409, description = "`insufficient-points` (with `balance` and `required`), `balance-too-large`",
            body = crate::kit::error::ProblemBody),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
        (status = 429, description = "`too-many-charges`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn adjust(
    api: web::Data<Api>,
    _: Operator,
    id: Id<UserId>,
    key: IdempotencyKey,
    body: Body<Adjustment>,
) -> Result<HttpResponse, Problem> {
    let engine = &api.handle()?.engine;
    let Adjustment { points, reason, organizer_id } = body.0;
    let key = Fingerprint::of(&[b"adjustment", key.required()?.as_bytes()]);
    let organizer = organizer_id.map(OrganizerId);
    if let Some(organizer) = organizer {
        engine.ask(organizer, organizer::Describe).await?;
    }
    let content = Fingerprint::of(&[
        &points.to_be_bytes(),
        reason.as_bytes(),
        organizer_id.as_ref().map_or(&[], |organizer| &organizer.as_bytes()[..]),
    ]);
    let repeat = IdempotencyRecord { key, content };
    let command = Adjust { points, reason: reason.clone(), organizer, repeat };
    let Done { answer: Moved { movement, repeated }, position } = engine.ask(id.0, command).await?;
    let adjusted = Adjusted {
        adjustment_id: movement.id,
        user_id: id.0.0,
        points,
        balance: movement.balance,
        reason,
        organizer_id,
        adjusted_at: Time(movement.at_ms),
    };
    let location = format!("/v1/users/{}/wallet", id.0);
    Ok(Reply::created(&location).position(position).replayed(repeated).json(&adjusted))
}

/// Whose wallet a caller may charge. domain.md: users their own and only where it is switched on.
fn wallet_of(api: &Api, caller: &Caller, asked: Option<Uuid>) -> Result<UserId, Problem> {
    let Caller::User(user) = caller else {
        return asked.map(UserId).ok_or_else(|| Problem::invalid("user_id", "say whose wallet to charge"));
    };
    if !api.live.load().self_charge() {
        return Err(Problem::new(
            Kind::SelfChargeOff,
            "Points are charged by the organizer's or the operator's key, after the payment was confirmed.",
        ));
    }
    if asked.is_some_and(|asked| asked != user.user.0) {
        return Err(Problem::new(Kind::UserNotFound, "You can only charge your own wallet: leave user_id out."));
    }
    Ok(user.user)
}
