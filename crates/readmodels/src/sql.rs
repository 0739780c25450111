//! As much of SQL as a projection's file needs: where statements end, which words are names, which texts are in quotes.

use std::collections::BTreeSet;

/// What a piece of a statement is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A keyword or an unquoted name.
    Word,
    /// A name in double quotes, with them.
    Quoted,
    /// A text in single quotes, with them.
    Text,
    /// Anything else that is not space or comment.
    Other,
}

/// A piece of SQL.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Bytes from the start.
    pub at: usize,
}

/// A quote or comment that never ends; where it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfinished {
    pub at: usize,
}

/// The pieces of `sql`, without spaces and comments.
pub fn tokens(sql: &str) -> Result<Vec<Token<'_>>, Unfinished> {
    let bytes = sql.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let start = at;
        let kind = match byte {
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = at + 4 + sql[at + 2..].find("*/").ok_or(Unfinished { at })?;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            quote @ (b'\'' | b'"') => {
                at = end_of_quote(bytes, at, *quote).ok_or(Unfinished { at })?;
                if *quote == b'"' { Kind::Quoted } else { Kind::Text }
            }
            byte if is_word(*byte) && !byte.is_ascii_digit() => {
                at += bytes[at..].iter().position(|byte| !is_word(*byte)).unwrap_or(bytes.len() - at);
                Kind::Word
            }
            byte if byte.is_ascii_digit() => {
                at += bytes[at..].iter().position(|byte| !is_word(*byte)).unwrap_or(bytes.len() - at);
                Kind::Other
            }
            _ => {
                at += 1;
                Kind::Other
            }
        };
        found.push(Token { kind, text: &sql[start..at], at: start });
    }
    Ok(found)
}

/// Also any byte of a character beyond ASCII: such a character is never cut.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Behind the quote that ends the one at `at`; a doubled one does not.
fn end_of_quote(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    loop {
        at += 1 + bytes.get(at + 1..)?.iter().position(|byte| *byte == quote)?;
        if bytes.get(at + 1) != Some(&quote) {
            return Some(at + 1);
        }
        at += 1;
    }
}

/// `sql` with `suffix` behind each of `names`, and where its pieces were: pairs of a place in the new text and the same place
/// in the old one, in order.
pub fn rename(sql: &str, names: &BTreeSet<String>, suffix: &str) -> (String, Vec<(usize, usize)>) {
    let (mut out, mut places, mut copied) = (String::with_capacity(sql.len() + 64), Vec::new(), 0);
    for token in tokens(sql).unwrap_or_default() {
        let name = match token.kind {
            Kind::Word => token.text,
            Kind::Quoted => token.text.trim_matches('"'),
            Kind::Text | Kind::Other => continue,
        };
        if names.contains(&name.to_ascii_lowercase()) {
            let end = token.at + token.text.len() - usize::from(token.kind == Kind::Quoted);
            out.push_str(&sql[copied..end]);
            out.push_str(suffix);
            copied = end;
            places.push((out.len(), end));
        }
    }
    out.push_str(&sql[copied..]);
    (out, places)
}

/// The place in the old text of a place in the new one.
pub fn origin(places: &[(usize, usize)], at: usize) -> usize {
    let before = places.iter().rev().find(|(new, _)| *new <= at);
    before.map_or(at, |(new, old)| old + (at - new))
}

/// Line and column, from 1, of a place in a text.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let table: [(&str, &[&str]); 6] = [
            ("SELECT a.b -- c\n FROM x", &["SELECT", "a", ".", "b", "FROM", "x"]),
            ("'it''s; fine' /* ; */ \"a\"\"b\";", &["'it''s; fine'", "\"a\"\"b\"", ";"]),
            ("x->>'y' <> 12e3", &["x", "-", ">", ">", "'y'", "<", ">", "12e3"]),
            ("겨울 = 'ä'", &["겨울", "=", "'ä'"]),
            ("-- only this", &[]),
            ("", &[]),
        ];
        for (sql, expected) in table {
            let found: Vec<&str> = tokens(sql).unwrap().iter().map(|token| token.text).collect();
            assert_eq!(found, expected, "{sql}");
        }
        for (sql, at) in [("a 'b", 2), ("\"", 0), ("a /* b", 2), ("'''", 0)] {
            assert_eq!(tokens(sql).err(), Some(Unfinished { at }), "{sql}");
        }
    }

    #[test]
    fn names_get_a_suffix_and_places_lead_back() {
        let names = ["seats".to_owned()].into();
        let sql = "UPDATE Seats SET x = seats.x, y = data->>'seats' FROM \"seats\" -- seats";
        let (renamed, places) = rename(sql, &names, "__2");
        assert_eq!(renamed, "UPDATE Seats__2 SET x = seats__2.x, y = data->>'seats' FROM \"seats__2\" -- seats");
        for word in ["UPDATE", "SET", "y =", "FROM", "-- seats"] {
            assert_eq!(origin(&places, renamed.find(word).unwrap()), sql.find(word).unwrap(), "{word}");
        }
        assert_eq!(line_and_column("a\nbc\nd", 3), (2, 2));
        assert_eq!(line_and_column("ä\né", 99), (2, 2));
    }
}
