//! How a problem looks, for the document.

use serde::Serialize;
use utoipa::ToSchema;

/// How every refusal and failure looks (RFC 9457). Further fields depend on the `type`.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Stable: a program can tell problems apart by it.
    #[schema(examples("https://onsale.dev/problems/seats-unavailable"))]
    r#type: String,
    title: String,
    status: u16,
    /// What happened and what to do about it, for people.
    detail: String,
    /// Also in the header X-Request-Id.
    request_id: String,
    /// Of `invalid-request`: the field that makes no sense.
    field: Option<String>,
}
