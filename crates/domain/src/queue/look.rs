//! How a queue's page looks, and that people can read it.

use crate::event::{recorded, words};
use crate::text::{Invalid, is_plain_url, text_fits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bytes of a logo; and characters, as base64 writes them.
pub const LOGO_BYTES_MAX: usize = 64 << 10;
const LOGO_CHARS_MAX: usize = LOGO_BYTES_MAX.div_ceil(3) * 4;
/// Characters of an own text, and of a link's label.
pub const OWN_TEXT_CHARS_MAX: usize = 300;
pub const LINK_LABEL_CHARS_MAX: usize = 60;
/// Characters of a link's URL.
const LINK_URL_CHARS_MAX: usize = 1_000;
pub const LINKS_MAX: usize = 5;
/// Sites that may show the page in a frame.
pub const FRAME_ANCESTORS_MAX: usize = 5;
/// Characters of one's origin.
const ORIGIN_CHARS_MAX: usize = 300;
/// Languages in which there are own texts.
const LANGUAGES_MAX: usize = 10;
/// WCAG 2.2, 1.4.3: of text; 1.4.11: of what is not.
const TEXT_CONTRAST: f64 = 4.5;
const SHAPE_CONTRAST: f64 = 3.0;
/// The texts of the page that an organizer may word otherwise.
pub const OWN_TEXTS: [&str; 12] = [
    "before_title",
    "before_lead",
    "waiting_title",
    "waiting_lead",
    "near_lead",
    "paused_title",
    "paused_lead",
    "turn_lead",
    "inside_lead",
    "done_lead",
    "closed_lead",
    "full_lead",
];

recorded! {
    /// How a queue's page looks. Empty: as it comes.
    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct Look {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub logo: Option<Logo>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub light: Option<Colors>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub dark: Option<Colors>,
        /// By language, then by the name of the text.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        pub texts: BTreeMap<String, BTreeMap<String, String>> as public,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub links: Vec<Link>,
        /// Whether everybody is told how many places are left.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub show_seats_left: bool,
        /// Origins of sites that may show the page in a frame.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub frame_ancestors: Vec<String> as public,
    }

    /// An image, as its bytes are.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct Logo {
        pub media_type: LogoType,
        /// base64; large, and of no use to readers of events.
        pub data: String as private,
    }

    /// Each `#rrggbb`.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct Colors {
        /// Of the page, and of the card on it.
        pub ground: String as public,
        pub card: String as public,
        /// Of texts on both.
        pub text: String as public,
        /// Of buttons, and of the texts on them.
        pub accent: String as public,
        pub on_accent: String as public,
    }

    /// Somewhere else to go.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct Link {
        pub label: String as public,
        pub url: String as public,
    }
}

/// What an image is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogoType {
    Png,
    Webp,
}

words!(LogoType);

impl Look {
    /// What is wrong with it, if something is.
    pub fn check(&self) -> Result<(), Invalid> {
        if self.logo.as_ref().is_some_and(|logo| logo.data.len() > LOGO_CHARS_MAX) {
            return Err(Invalid::new("logo", format!("must have at most {LOGO_BYTES_MAX} bytes")));
        }
        for (name, colors) in [("light", &self.light), ("dark", &self.dark)] {
            colors.as_ref().map_or(Ok(()), |colors| colors.check(name))?;
        }
        if self.texts.len() > LANGUAGES_MAX {
            return Err(Invalid::new("texts", format!("give at most {LANGUAGES_MAX} languages")));
        }
        for (language, texts) in &self.texts {
            for (name, text) in texts {
                let field = || format!("texts.{language}.{name}");
                if !OWN_TEXTS.contains(&name.as_str()) {
                    return Err(Invalid::new(field(), format!("must be one of {}", OWN_TEXTS.join(", "))));
                }
                if !text_fits(text, OWN_TEXT_CHARS_MAX) {
                    return Err(Invalid::text(&field(), OWN_TEXT_CHARS_MAX));
                }
            }
        }
        if self.links.len() > LINKS_MAX {
            return Err(Invalid::new("links", format!("give at most {LINKS_MAX}")));
        }
        for (index, Link { label, url }) in self.links.iter().enumerate() {
            if !text_fits(label, LINK_LABEL_CHARS_MAX) {
                return Err(Invalid::text(&format!("links[{index}].label"), LINK_LABEL_CHARS_MAX));
            }
            let plain = url.len() <= LINK_URL_CHARS_MAX && url.bytes().all(|byte| byte.is_ascii_graphic());
            let host =
                url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?']));
            if !plain || !host || url.contains(['\\', '"', '<', '>', '@']) {
                let reason = format!("must be an https URL of at most {LINK_URL_CHARS_MAX} characters");
                return Err(Invalid::new(format!("links[{index}].url"), reason));
            }
        }
        if self.frame_ancestors.len() > FRAME_ANCESTORS_MAX {
            return Err(Invalid::new("frame_ancestors", format!("give at most {FRAME_ANCESTORS_MAX}")));
        }
        for (index, origin) in self.frame_ancestors.iter().enumerate() {
            if !is_origin(origin) || self.frame_ancestors[..index].contains(origin) {
                let reason = "must be an origin like https://shop.example.com (http for localhost only), in lower case, \
                              without path or wildcard, named once";
                return Err(Invalid::new(format!("frame_ancestors[{index}]"), reason));
            }
        }
        Ok(())
    }
}

impl Colors {
    fn check(&self, of: &str) -> Result<(), Invalid> {
        let color = |name: &str, text: &str| {
            luminance(text).ok_or_else(|| Invalid::new(format!("colors.{of}.{name}"), "must be a color like #3b3fd1"))
        };
        let (ground, card) = (color("ground", &self.ground)?, color("card", &self.card)?);
        let text = color("text", &self.text)?;
        let (accent, on_accent) = (color("accent", &self.accent)?, color("on_accent", &self.on_accent)?);
        let pairs = [
            ("text", text, "ground", ground, TEXT_CONTRAST),
            ("text", text, "card", card, TEXT_CONTRAST),
            ("on_accent", on_accent, "accent", accent, TEXT_CONTRAST),
            ("accent", accent, "card", card, SHAPE_CONTRAST),
        ];
        for (name, one, on, other, at_least) in pairs {
            let found = contrast(one, other);
            if found < at_least {
                let reason = format!("has a contrast of {found:.2} on {on}; people need at least {at_least}");
                return Err(Invalid::new(format!("colors.{of}.{name}"), reason));
            }
        }
        Ok(())
    }
}

/// Scheme, host and, where it is another than usual, port (RFC 6454): as browsers write it.
fn is_origin(text: &str) -> bool {
    let authority = text.split_once("://").map_or("", |(_, authority)| authority);
    text.len() <= ORIGIN_CHARS_MAX
        && is_plain_url(text)
        && !authority.contains(['/', '?'])
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// WCAG 2.2: the relative luminance of `#rrggbb`.
fn luminance(color: &str) -> Option<f64> {
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).ok()?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    };
    let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    lower.then_some(())?;
    Some(0.2126 * part(0)? + 0.7152 * part(2)? + 0.0722 * part(4)?)
}

/// WCAG 2.2: from 1 to 21.
fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colors() -> Colors {
        let [ground, card, text, accent, on_accent] =
            ["#f4f5f8", "#ffffff", "#171a21", "#3b3fd1", "#ffffff"].map(str::to_owned);
        Colors { ground, card, text, accent, on_accent }
    }

    #[test]
    fn contrast_is_as_wcag_has_it() {
        let of = |one, other| contrast(luminance(one).unwrap(), luminance(other).unwrap());
        assert!((of("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        assert!((of("#777777", "#ffffff") - 4.48).abs() < 0.005);
        assert!((of("#767676", "#ffffff") - 4.54).abs() < 0.005);
        for bad in ["", "#fff", "ffffff", "#FFFFFF", "#gggggg", "#+1+1+1", "#ffffff;", "red", "#ffff\u{e9}"] {
            assert_eq!(luminance(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_site_is_named_by_its_origin() {
        let table = [
            ("https://shop.example", true),
            ("https://shop.example:8443", true),
            ("http://127.0.0.1:8080", true),
            ("http://shop.example", false),
            ("https://shop.example/", false),
            ("https://shop.example?", false),
            ("https://Shop.example", false),
            ("HTTPS://shop.example", false),
            ("https://*.shop.example", false),
            ("https://a.example https://b.example", false),
            ("https://a.example;script-src *", false),
            ("https://a.example\r\nX: y", false),
            ("shop.example", false),
            ("data:", false),
            ("'self'", false),
            ("*", false),
            ("https://", false),
            ("", false),
        ];
        for (text, fits) in table {
            assert_eq!(is_origin(text), fits, "{text}");
        }
    }

    #[test]
    fn a_look_that_nobody_can_read_is_refused() {
        let own =
            |name: &str, text: &str| BTreeMap::from([("en".into(), BTreeMap::from([(name.into(), text.into())]))]);
        let link = |label: &str, url: &str| vec![Link { label: label.into(), url: url.into() }];
        let origins = |origins: &[&str]| origins.iter().map(|origin| (*origin).to_owned()).collect();
        let look = Look::default;
        let table: Vec<(Look, Option<&str>)> = vec![
            (look(), None),
            (Look { light: Some(colors()), dark: Some(colors()), ..look() }, None),
            (Look { light: Some(Colors { text: "#777777".into(), ..colors() }), ..look() }, Some("colors.light.text")),
            (Look { dark: Some(Colors { ground: "#000000".into(), ..colors() }), ..look() }, Some("colors.dark.text")),
            (
                Look { light: Some(Colors { on_accent: "#3b3fd2".into(), ..colors() }), ..look() },
                Some("colors.light.on_accent"),
            ),
            (
                Look {
                    light: Some(Colors { accent: "#fefefe".into(), on_accent: "#000000".into(), ..colors() }),
                    ..look()
                },
                Some("colors.light.accent"),
            ),
            (Look { light: Some(Colors { card: "url(//x)".into(), ..colors() }), ..look() }, Some("colors.light.card")),
            (Look { texts: own("waiting_lead", "Thank you for your patience."), ..look() }, None),
            (Look { texts: own("leave", "Stay"), ..look() }, Some("texts.en.leave")),
            (Look { texts: own("done_lead", &"x".repeat(301)), ..look() }, Some("texts.en.done_lead")),
            (Look { links: link("Help", "https://help.example/?a=b#c"), ..look() }, None),
            (Look { links: link(" ", "https://help.example/"), ..look() }, Some("links[0].label")),
            (Look { links: link("Help", "javascript:alert(1)"), ..look() }, Some("links[0].url")),
            (Look { links: link("Help", "http://help.example/"), ..look() }, Some("links[0].url")),
            (Look { links: link("Help", "https:///x"), ..look() }, Some("links[0].url")),
            (Look { links: link("Help", "https://a@b/"), ..look() }, Some("links[0].url")),
            (Look { links: vec![link("a", "https://a.example").remove(0); 6], ..look() }, Some("links")),
            (
                Look { logo: Some(Logo { media_type: LogoType::Png, data: "A".repeat(LOGO_CHARS_MAX + 1) }), ..look() },
                Some("logo"),
            ),
            (Look { frame_ancestors: origins(&["https://shop.example", "http://localhost:3000"]), ..look() }, None),
            (
                Look { frame_ancestors: origins(&["https://a.example", "https://a.example"]), ..look() },
                Some("frame_ancestors[1]"),
            ),
            (Look { frame_ancestors: origins(&["https://a.example"; 6]), ..look() }, Some("frame_ancestors")),
        ];
        for (look, field) in table {
            let found = look.check().err().map(|invalid| invalid.field);
            assert_eq!(found.as_deref(), field, "{look:?}");
        }
    }
}
