//! The wallet: points, and charging them.

use super::auth::{Caller, User};
use super::body::Body;
use super::error::{Kind, Problem};
use super::extract::IdempotencyKey;
use super::reply::{Reply, etag, not_modified};
use super::time::Time;
use super::{Api, Endpoint};
use crate::actors::Done;
use crate::domain::wallet::{Answer, Command};
use crate::domain::{Fingerprint, Repeat};
use crate::id::UserId;
use actix_web::{HttpRequest, HttpResponse, web};
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

pub fn endpoints() -> [Endpoint; 2] {
    [Endpoint::at("/v1/wallet/charges").post(charge), Endpoint::at("/v1/wallet").get(read)]
}

/// Read the wallet
#[utoipa::path(
    get, path = "/v1/wallet", tag = "wallet", operation_id = "read_wallet", security(("user" = [])),
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The user's points", body = Wallet, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`user-not-found`", body = super::openapi::Problem),
    )
)]
pub async fn read(api: web::Data<Api>, user: User, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let done = api.shop()?.engine.wallet(user.user, Command::Read).await?;
    let Answer::Wallet { user, balance, version } = done.answer else {
        return Err(Problem::new(Kind::Internal, "A wallet did not answer as one."));
    };
    let etag = etag(version);
    match not_modified(&request, &etag) {
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
        (status = 403, description = "`self-charge-off`", body = super::openapi::Problem),
        (status = 404, description = "`user-not-found`", body = super::openapi::Problem),
        (status = 409, description = "`balance-too-large`", body = super::openapi::Problem),
        (status = 422, description = "`idempotency-key-reused`", body = super::openapi::Problem),
        (status = 429, description = "`too-many-charges`", body = super::openapi::Problem),
    )
)]
pub async fn charge(
    api: web::Data<Api>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<Charge>,
) -> Result<HttpResponse, Problem> {
    let shop = api.shop()?;
    let Charge { points, reference, user_id } = body.0;
    let user = wallet_of(&api, &caller, user_id)?;
    let key = key.required()?.as_bytes();
    // The same key of another caller is another key.
    let key = match caller {
        Caller::User(_) => Fingerprint::of(&[b"user", key]),
        Caller::Organizer(organizer) => Fingerprint::of(&[b"organizer", organizer.0.0.as_bytes(), key]),
        Caller::Operator => Fingerprint::of(&[b"operator", key]),
    };
    let content = Fingerprint::of(&[
        &points.to_be_bytes(),
        reference.as_deref().map_or(b"-", |_| b"+"),
        reference.as_deref().unwrap_or_default().as_bytes(),
    ]);
    let command = Command::Charge { points, reference: reference.clone(), repeat: Repeat { key, content } };
    let Done { answer, position } = shop.engine.wallet(user, command).await?;
    let Answer::Movement { movement, repeated } = answer else {
        return Err(Problem::new(Kind::Internal, "A wallet did not answer a charge."));
    };
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
