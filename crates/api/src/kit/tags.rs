//! Entity tags as they come back: through proxies, which rewrite the tag of a body that they compress.
//!
//! nginx, HAProxy, Envoy and CloudFront make a tag weak (`W/"2"`). Apache, Caddy and Jetty put the coding behind it
//! (`"2-gzip"`, `"2;br"`, `"2--gzip"`), as this server does itself. Either way it is the tag of one version of one thing,
//! which is all that an edit or a poll asks about: bytes are never joined by it.

/// What compressing programs put behind a tag, behind `-` or `;`.
const CODINGS: [&[u8]; 4] = [b"gzip", b"br", b"zstd", b"deflate"];

/// The opaque text of a tag, without what a proxy did to it; `None` of what is no tag.
pub fn opaque(tag: &[u8]) -> Option<&[u8]> {
    let tag = tag.trim_ascii();
    let strong = tag.strip_prefix(b"W/").unwrap_or(tag);
    let mut text = strong.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    while let Some(shorter) = without_coding(text) {
        text = shorter;
    }
    Some(text)
}

fn without_coding(text: &[u8]) -> Option<&[u8]> {
    let before = CODINGS.iter().find_map(|coding| text.strip_suffix(*coding))?;
    let shorter = before.strip_suffix(b"-").or_else(|| before.strip_suffix(b";"))?;
    // Jetty writes two hyphens.
    Some(shorter.strip_suffix(b"-").unwrap_or(shorter))
}

/// What bytes are known by: in tags, and in the names of files that are kept for ever.
pub fn content_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_ours_whatever_a_proxy_did_to_them() {
        let table: [(&str, Option<&str>); 21] = [
            ("\"2\"", Some("2")),
            (" W/\"2\" ", Some("2")),
            ("\"2-gzip\"", Some("2")),
            ("W/\"2-gzip\"", Some("2")),
            ("\"2;gzip\"", Some("2")),
            ("\"2--gzip\"", Some("2")),
            ("\"2-br\"", Some("2")),
            ("\"2-zstd\"", Some("2")),
            ("\"2-gzip-gzip\"", Some("2")),
            ("\"2-before-gzip\"", Some("2-before")),
            ("W/\"2-before\"", Some("2-before")),
            ("\"2gzip\"", Some("2gzip")),
            ("\"gzip\"", Some("gzip")),
            ("\"\"", Some("")),
            ("\"", None),
            ("2", None),
            ("2-gzip", None),
            ("w/\"2\"", None),
            ("W/2", None),
            ("W/W/\"2\"", None),
            ("", None),
        ];
        for (given, text) in table {
            assert_eq!(opaque(given.as_bytes()), text.map(str::as_bytes), "{given}");
        }
    }
}
