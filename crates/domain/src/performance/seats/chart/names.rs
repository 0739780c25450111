//! Names of sections, rows, seats, areas and grades: which fit, and the one form in which they are kept.
//!
//! The form: Unicode's NFC, and a plain space for every run of spaces of any width, none at the ends. Charts that were
//! recorded before keep the names that they have, and are asked for by these or by that form.

use crate::text::Invalid;
use base::text;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Characters of a section's, row's, seat's, area's or grade's name.
pub const NAME_CHARS_MAX: usize = 40;

/// Points per place of each grade.
pub type Prices = BTreeMap<String, u64>;

/// A name, or a label, in the form in which it is kept.
pub fn canonical(name: &str) -> Cow<'_, str> {
    let plain = name.is_ascii() && !name.contains("  ") && !name.starts_with(' ') && !name.ends_with(' ');
    if plain {
        return Cow::Borrowed(name);
    }
    let composed = text::nfc(name);
    let spaced = |c: char| text::is_space(c) && c != ' ';
    if !composed.contains(spaced) && !composed.contains("  ") && composed.trim().len() == composed.len() {
        return composed;
    }
    let words = composed.split(text::is_space).filter(|word| !word.is_empty());
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

/// Whether a section, row, seat, area or grade can be called so.
pub fn name_fits(name: &str) -> bool {
    reason_against(name).is_none()
}

/// Why nothing can be called so.
pub fn reason_against(name: &str) -> Option<String> {
    let count = name.chars().count();
    if count == 0 || count > NAME_CHARS_MAX {
        return Some(format!("must have 1 to {NAME_CHARS_MAX} characters"));
    }
    if name.starts_with(text::is_space) || name.ends_with(text::is_space) {
        return Some("must not begin or end with a space".into());
    }
    if name.starts_with(text::is_mark) {
        return Some("must not begin with a mark: there is no letter that it is on".into());
    }
    if name.is_ascii() && !name.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    let chars: Vec<char> = name.chars().collect();
    let fits = |at: usize| match chars[at] {
        '\u{200c}' | '\u{200d}' => text::joiner_fits(&chars, at),
        c => text::is_visible(c) || text::is_space(c),
    };
    let wrong = chars[(0..chars.len()).find(|at| !fits(*at))?];
    Some(format!(
        "has the character U+{:04X}, which cannot be seen or misleads; letters, marks, digits, punctuation and spaces are taken",
        wrong as u32
    ))
}

pub(super) fn check_name(field: impl FnOnce() -> String, name: &str) -> Result<(), Invalid> {
    match reason_against(name) {
        None => Ok(()),
        Some(reason) => Err(Invalid::new(field(), format!("{name:?} {reason}"))),
    }
}

/// Prices with the grades' names in the form in which they are kept, or as `before` has them.
pub fn canonical_prices<'a>(prices: &'a Prices, before: Option<&Prices>) -> Result<Cow<'a, Prices>, Invalid> {
    let odd = before.is_some_and(|before| before.keys().any(|grade| canonical(grade) != grade.as_str()));
    if !odd && prices.keys().all(|grade| canonical(grade) == grade.as_str()) {
        return Ok(Cow::Borrowed(prices));
    }
    let known: BTreeMap<Cow<'_, str>, &String> =
        before.into_iter().flatten().map(|(grade, _)| (canonical(grade), grade)).collect();
    let mut made = Prices::new();
    for (grade, points) in prices {
        let name = canonical(grade);
        let name = known.get(&name).map_or_else(|| name.to_string(), |known| known.to_string());
        if made.insert(name, *points).is_some() {
            let reason = "is there twice: names that differ in form only are one";
            return Err(Invalid::new(format!("prices.{grade}"), reason));
        }
    }
    Ok(Cow::Owned(made))
}
