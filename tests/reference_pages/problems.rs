use super::{cell, head};
use api::kit::error::{Kind, TYPE_BASE};
use std::fmt::Write;

pub fn page() -> String {
    let mut text = head(
        "Problems",
        &format!(
            "A request that fails is answered with `application/problem+json` (RFC 9457). Its `type` is `{TYPE_BASE}` and one of \
             these names, which never change their meaning. `detail` says what it was this time, and further fields are for \
             programs. 503 comes with `Retry-After`, and so does 429. `internal` is a bug: report it with the `request_id`."
        ),
    );
    text += "\n| name | status | title |\n|---|---|---|\n";
    for kind in Kind::ALL {
        writeln!(text, "| `{}` | {} | {} |", kind.slug(), kind.status(), cell(kind.title())).unwrap();
    }
    text
}
