//! Text of people: one form in which it is kept, and others in which it is compared. Unicode's own tables (ICU4X) decide;
//! nothing here depends on a language.
//!
//! - kept: [`nfc`], so that a name that looks the same is the same
//! - compared: [`caseless`] for who somebody is, [`search_form`] for what is looked for, [`opaque`] for passwords
//! - refused: what cannot be seen, or makes other text look different from what it is: [`misleading`]

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, ExtendedPictographic, GeneralCategory, GeneralCategoryGroup,
    HangulSyllableType, JoiningType, VariationSelector,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use std::borrow::Cow;

/// Unicode's normalization form C: composed. Borrowed where `text` has it already.
pub fn nfc(text: &str) -> Cow<'_, str> {
    match text.is_ascii() {
        true => Cow::Borrowed(text),
        false => ComposingNormalizerBorrowed::new_nfc().normalize(text),
    }
}

/// Unicode's normalization form D: taken apart.
pub fn nfd(text: &str) -> Cow<'_, str> {
    DecomposingNormalizerBorrowed::new_nfd().normalize(text)
}

/// Equal for texts that differ in case, width or form only (Unicode's compatibility caseless match: NFKC and full case
/// folding).
pub fn caseless(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let (fold, nfkc) = (CaseMapper::new(), ComposingNormalizerBorrowed::new_nfkc());
    let once = nfkc.normalize(&fold.fold_string(&nfd(text))).into_owned();
    nfkc.normalize(&fold.fold_string(&once)).into_owned()
}

/// [`caseless`], and also equal where people type one for the other: the dotless and the dotted i of Turkish are an `i`,
/// and what cannot be seen is not there.
pub fn search_form(text: &str) -> String {
    let folded = caseless(text);
    if folded.is_ascii() {
        return folded;
    }
    let seen = folded.chars().filter(|c| !is_ignorable(*c));
    let plain: String = seen.map(|c| if c == 'ı' { 'i' } else { c }).collect();
    plain.replace("i\u{307}", "i")
}

/// Whether a character belongs to a word: a letter, a digit or other number, or a mark on one.
pub fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_mark(c)
}

/// Whether a character is a mark: a part of the character before it.
pub fn is_mark(c: char) -> bool {
    !c.is_ascii() && GeneralCategoryGroup::Mark.contains(category(c))
}

/// Whether a character is a letter, mark, number, punctuation or symbol, of any script.
pub fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic();
    }
    let visible = GeneralCategoryGroup::Letter
        .union(GeneralCategoryGroup::Mark)
        .union(GeneralCategoryGroup::Number)
        .union(GeneralCategoryGroup::Punctuation)
        .union(GeneralCategoryGroup::Symbol);
    visible.contains(category(c)) && !is_ignorable(c)
}

/// Whether a character is a space, of whatever width.
pub fn is_space(c: char) -> bool {
    c == ' ' || (!c.is_ascii() && category(c) == GeneralCategory::SpaceSeparator)
}

/// The first character that a text must not have: one of control, an end of line, one that turns the direction of writing
/// around, or one that cannot be seen. Joiners are taken where a script or a picture needs them, and variants of a character
/// as well.
pub fn misleading(text: &str) -> Option<char> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let chars: Vec<char> = text.chars().collect();
    (0..chars.len()).find(|at| is_misleading(&chars, *at)).map(|at| chars[at])
}

fn is_misleading(chars: &[char], at: usize) -> bool {
    let c = chars[at];
    let before = at.checked_sub(1).map(|before| chars[before]);
    match c {
        '\u{200c}' | '\u{200d}' => !joiner_fits(chars, at),
        // Marks of direction turn nothing around that is not of that direction anyway.
        '\u{200e}' | '\u{200f}' | '\u{61c}' => false,
        // The flags of countries' parts.
        '\u{e0020}'..='\u{e007f}' => !matches!(before, Some('\u{1f3f4}' | '\u{e0020}'..='\u{e007e}')),
        c if CodePointSetData::new::<VariationSelector>().contains(c) => !before.is_some_and(is_visible),
        c => {
            let lines = matches!(
                category(c),
                GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
            );
            lines || is_ignorable(c) || matches!(c, '\u{fff9}'..='\u{fffb}')
        }
    }
}

/// Whether the joiner or non-joiner at `at` changes how its neighbours look: behind a virama (RFC 5892, A.1 and A.2), between
/// letters that join, and in pictures that are made of several.
pub fn joiner_fits(chars: &[char], at: usize) -> bool {
    let joining = |c: &char| CodePointMapData::<JoiningType>::new().get(*c);
    let solid = |c: &&char| joining(c) != JoiningType::Transparent;
    let Some(before) = at.checked_sub(1).map(|before| chars[before]) else { return false };
    if CodePointMapData::<CanonicalCombiningClass>::new().get(before) == CanonicalCombiningClass::Virama {
        return true;
    }
    let joins_on = |c: &char| matches!(joining(c), JoiningType::LeftJoining | JoiningType::DualJoining);
    let from = chars[..at].iter().rev().find(solid).is_some_and(joins_on);
    if chars[at] == '\u{200c}' {
        let joins_back = |c: &char| matches!(joining(c), JoiningType::RightJoining | JoiningType::DualJoining);
        return from && chars[at + 1..].iter().find(solid).is_some_and(joins_back);
    }
    let picture = |c: &char| CodePointSetData::new::<ExtendedPictographic>().contains(*c);
    let shown = |c: &&char| !matches!(**c, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}');
    from || (chars[..at].iter().rev().find(shown).is_some_and(picture) && chars.get(at + 1).is_some_and(picture))
}

/// A password as it is hashed (OpaqueString, RFC 8265): every space is a plain one, and the form is NFC. `None` of what is
/// none there: with characters of control, that cannot be seen, for private use, or that Unicode does not know.
pub fn opaque(password: &str) -> Option<Cow<'_, str>> {
    if password.is_ascii() {
        return (!password.is_empty() && !password.bytes().any(|byte| byte.is_ascii_control()))
            .then_some(Cow::Borrowed(password));
    }
    let spaced: String = password.chars().map(|c| if is_space(c) { ' ' } else { c }).collect();
    let composed = nfc(&spaced).into_owned();
    let jamo = |c: char| {
        let syllable = CodePointMapData::<HangulSyllableType>::new().get(c);
        [HangulSyllableType::LeadingJamo, HangulSyllableType::VowelJamo, HangulSyllableType::TrailingJamo]
            .contains(&syllable)
    };
    let chars: Vec<char> = composed.chars().collect();
    let virama = |at: usize| CodePointMapData::<CanonicalCombiningClass>::new().get(chars[at]);
    let fits = |at: usize| match chars[at] {
        '\u{200c}' => joiner_fits(&chars, at),
        '\u{200d}' => at.checked_sub(1).is_some_and(|before| virama(before) == CanonicalCombiningClass::Virama),
        c => (is_space(c) || is_visible(c)) && !jamo(c),
    };
    (0..chars.len()).all(fits).then_some(Cow::Owned(composed))
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

fn is_ignorable(c: char) -> bool {
    !c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_take_for_one_word_is_searched_as_one() {
        let table: [&[&str]; 9] = [
            &["Élan", "E\u{301}LAN", "élan"],
            &["ＡＢＢＡ", "abba", "ABBA"],
            &["Straße", "STRASSE", "STRAẞE", "strasse"],
            &["Diyarbakır", "DİYARBAKIR", "diyarbakir", "DIYARBAKIR"],
            &["ΟΔΥΣΣΕΥΣ", "Οδυσσευς", "οδυσσευσ"],
            &["서울", "\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"],
            &["ﬁnale", "FINALE"],
            &["ｶﾞ", "ガ", "\u{30ab}\u{3099}"],
            &["Ade\u{ad}le", "ADELE\u{200b}"],
        ];
        for same in table {
            for text in same {
                assert_eq!(search_form(text), search_form(same[0]), "{text:?} {same:?}");
                assert_eq!(search_form(&search_form(text)), search_form(text), "{text:?}");
            }
        }
        assert_ne!(search_form("resume"), search_form("résumé"));
    }

    #[test]
    fn what_misleads_is_found_and_what_a_script_needs_is_not() {
        let good = [
            "Ada & Co. – 50 %",
            "नमस्ते क्‍ष",
            "می‌خواهم",
            "ශ්‍රී ලංකා",
            "👨‍👩‍👧 ❤️ 👩🏽‍🎤",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "葛\u{e0100}",
            "שלום\u{200f}!",
            "ไทย မြန်မာ",
        ];
        for text in good {
            assert_eq!(misleading(text), None, "{text:?}");
        }
        let bad = [
            ("a\u{202e}b", '\u{202e}'),
            ("a\u{2066}b", '\u{2066}'),
            ("a\u{200b}b", '\u{200b}'),
            ("a\u{200d}b", '\u{200d}'),
            ("ab\u{200c}", '\u{200c}'),
            ("\u{feff}a", '\u{feff}'),
            ("so\u{ad}ft", '\u{ad}'),
            ("a\nb", '\n'),
            ("a\u{85}b", '\u{85}'),
            ("a\u{2028}b", '\u{2028}'),
            ("\u{3164}", '\u{3164}'),
            ("a\u{e0061}", '\u{e0061}'),
            ("\u{fe0f}", '\u{fe0f}'),
        ];
        for (text, c) in bad {
            assert_eq!(misleading(text), Some(c), "{text:?}");
        }
    }

    #[test]
    fn passwords_of_one_look_are_one() {
        let same = ["Zauberflöte 1", "Zauberflo\u{308}te 1", "Zauberflöte\u{a0}1", "Zauberflöte\u{3000}1"];
        for password in same {
            assert_eq!(opaque(password).as_deref(), Some(same[0]), "{password:?}");
        }
        assert_eq!(opaque("\u{1109}\u{1165}비밀번호").as_deref(), Some("서비밀번호"));
        // Neither case nor width is folded (RFC 8265, 4.2.2).
        assert_eq!(opaque("Ａbc ½").as_deref(), Some("Ａbc ½"));
        for wrong in ["", "a\tb", "a\u{200b}b", "a\u{e000}b", "a\u{378}b", "a\u{85}b", "\u{1109}ab"] {
            assert_eq!(opaque(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn who_somebody_is_does_not_hang_on_case_or_form() {
        assert_eq!(caseless("JOSÉ"), caseless("jose\u{301}"));
        assert_eq!(caseless("Straße"), "strasse");
        assert_eq!(caseless("ＡＤＡ"), "ada");
        assert_ne!(caseless("ılgaz"), caseless("ilgaz"));
    }
}
