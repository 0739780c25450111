//! What an image is, by its bytes alone: what somebody says that it is, or what else is in them, does not count.

use domain::queue::LogoType;

/// Pixels of a side.
const SIDE_MAX: u32 = 2_048;

/// The image's kind, if the bytes are one whole PNG or WebP file, with nothing before or behind it.
pub fn kind(bytes: &[u8]) -> Option<LogoType> {
    if let Some(chunks) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        return is_png(chunks).then_some(LogoType::Png);
    }
    let riff = bytes.strip_prefix(b"RIFF")?;
    let (len, rest) = riff.split_first_chunk::<4>()?;
    let whole = u32::from_le_bytes(*len) as usize == rest.len();
    let chunks = rest.strip_prefix(b"WEBP").filter(|_| whole)?;
    is_webp(chunks).then_some(LogoType::Webp)
}

/// Chunk by chunk, each with its sum, from the head to the end.
fn is_png(mut rest: &[u8]) -> bool {
    let mut first = true;
    loop {
        let Some((len, after)) = rest.split_first_chunk::<4>() else { return false };
        let len = u32::from_be_bytes(*len) as usize;
        let Some((checked, after)) = len.checked_add(4).and_then(|len| after.split_at_checked(len)) else {
            return false;
        };
        let Some((sum, after)) = after.split_first_chunk::<4>() else { return false };
        let (name, data) = checked.split_at(4);
        if crc32fast::hash(checked) != u32::from_be_bytes(*sum) || first != (name == b"IHDR") {
            return false;
        }
        if first && !png_fits(data) {
            return false;
        }
        if name == b"IEND" {
            return data.is_empty() && after.is_empty();
        }
        (first, rest) = (false, after);
    }
}

fn png_fits(head: &[u8]) -> bool {
    let side = |at: usize| head.get(at..at + 4).map(|side| u32::from_be_bytes(side.try_into().expect("four bytes")));
    let fits = |side: Option<u32>| side.is_some_and(|side| (1..=SIDE_MAX).contains(&side));
    head.len() == 13 && fits(side(0)) && fits(side(4))
}

/// Chunk by chunk to the end; the first one says which form it has.
fn is_webp(mut rest: &[u8]) -> bool {
    if ![&b"VP8 "[..], b"VP8L", b"VP8X"].iter().any(|name| rest.starts_with(name)) {
        return false;
    }
    while !rest.is_empty() {
        let Some((len, after)) = rest.get(4..).and_then(<[u8]>::split_first_chunk::<4>) else { return false };
        let len = u32::from_le_bytes(*len) as usize;
        match after.split_at_checked(len + len % 2) {
            Some((_, next)) => rest = next,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let checked = [name, data].concat();
        let sum = crc32fast::hash(&checked).to_be_bytes();
        [&(data.len() as u32).to_be_bytes()[..], &checked, &sum].concat()
    }

    fn png(width: u32) -> Vec<u8> {
        let head = [&width.to_be_bytes()[..], &[0, 0, 0, 1, 8, 0, 0, 0, 0]].concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &head), &chunk(b"IDAT", b"x"), &chunk(b"IEND", b"")].concat()
    }

    fn webp(form: &[u8; 4]) -> Vec<u8> {
        let chunk = [&form[..], &[3, 0, 0, 0], b"abc\0"].concat();
        [&b"RIFF"[..], &(chunk.len() as u32 + 4).to_le_bytes(), b"WEBP", &chunk].concat()
    }

    #[test]
    fn an_image_is_one_whole_file() {
        let mut flipped = png(1);
        flipped[20] ^= 1;
        let table = [
            (png(1), Some(LogoType::Png)),
            (webp(b"VP8L"), Some(LogoType::Webp)),
            (webp(b"VP8 "), Some(LogoType::Webp)),
            (png(0), None),
            (png(SIDE_MAX + 1), None),
            (flipped, None),
            ([png(1), b"<script>".to_vec()].concat(), None),
            (png(1)[..40].to_vec(), None),
            (webp(b"EVIL"), None),
            ([webp(b"VP8L"), b"<svg>".to_vec()].concat(), None),
            (webp(b"VP8L")[..20].to_vec(), None),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_vec(), None),
            (b"GIF89a".to_vec(), None),
            (b"\x89PNG\r\n\x1a\n".to_vec(), None),
            (b"RIFF".to_vec(), None),
            (vec![], None),
        ];
        for (bytes, found) in table {
            assert_eq!(kind(&bytes), found, "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
