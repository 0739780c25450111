//! Answers as CSV: for whom, and what their cells look like.

use actix_web::http::header::{self, HeaderMap};

/// Whether CSV is wanted more than JSON.
pub fn wants_csv(headers: &HeaderMap) -> bool {
    let mut wanted = (0.0, 0.0);
    for range in headers.get_all(header::ACCEPT).flat_map(|list| list.to_str().unwrap_or_default().split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        match media_type.as_str() {
            "text/csv" => wanted.0 = weight,
            "application/json" => wanted.1 = weight,
            _ => {}
        }
    }
    wanted.0 > wanted.1
}

/// A text as a cell (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe before it.
pub fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_are_no_formulas() {
        let table = [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("a=1", "a=1"),
            ("a, \"b\"", "\"a, \"\"b\"\"\""),
            ("=1,2", "\"'=1,2\""),
            ("겨울", "겨울"),
            ("", ""),
        ];
        for (text, written) in table {
            assert_eq!(cell(text), written);
        }
    }
}
