//! What can be a password.

use crate::kit::error::{Kind, Problem};
use base::text;
use config::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};

/// Whether a password can be one: told by its characters in the form in which they are hashed.
pub fn check_password(password: &str) -> Result<(), Problem> {
    let reason = match text::opaque(password) {
        None if !password.is_empty() => {
            "must have letters, digits, punctuation, symbols and spaces only: none of its characters may be of control, \
             invisible or unknown to Unicode"
                .into()
        }
        form => match form.map_or(0, |form| form.chars().count()) {
            PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX => return Ok(()),
            _ => format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"),
        },
    };
    Err(Problem::new(Kind::InvalidRequest, format!("password: {reason}")).with("field", "password"))
}

/// Whether a password is longer than any is, in the form in which it is hashed and as it was typed.
pub fn is_too_long(password: &str) -> bool {
    const TYPED_BYTES_MAX: usize = 16 * PASSWORD_CHARS_MAX;
    let too_long = |text: &str| text.chars().count() > PASSWORD_CHARS_MAX;
    too_long(password)
        && (password.len() > TYPED_BYTES_MAX || text::opaque(password).is_none_or(|form| too_long(&form)))
}
