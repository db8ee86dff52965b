//! Texts from logs, made fit for people's eyes.
//!
//! User names and agents are chosen by attackers. Characters that break lines, hide or turn text
//! (Unicode UTS #39, "Trojan Source") are shown as their code points, and an address is written so
//! that no mail reader makes a link of it. Not here: HTML escaping, which is [`html`] alone.

use std::fmt::Write;

/// `text` on one line, hostile characters visible, cut where it would be shown as more than about `chars_max` characters.
#[must_use]
pub fn visible(text: &str, chars_max: usize) -> String {
    let (mut out, mut shown) = (String::with_capacity(text.len().min(chars_max)), 0);
    for c in text.chars() {
        let end = out.len();
        if is_hidden(c) {
            write!(out, "\\u{{{:x}}}", u32::from(c)).ok();
        } else {
            out.push(c);
        }
        shown += if is_hidden(c) { out.len() - end } else { 1 };
        if shown > chars_max {
            out.truncate(end);
            out.push('…');
            break;
        }
    }
    out.replace("://", "[://]")
}

/// `text` cut at `units_max` UTF-16 code units, which is how services count characters.
#[must_use]
pub fn shortened(text: &str, units_max: usize) -> String {
    if text.encode_utf16().count() <= units_max {
        return text.to_owned();
    }
    let mut room = units_max.saturating_sub(1);
    let fits = move |c: &char| {
        let fits = c.len_utf16() <= room;
        room = room.saturating_sub(c.len_utf16());
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

fn is_hidden(c: char) -> bool {
    let format = matches!(u32::from(c),
        0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f);
    c.is_control() || format
}

/// `text` for HTML, in content and in quoted attributes.
#[must_use]
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_become_visible() {
        assert_eq!(visible("a\r\nBcc: x\u{202e}y\u{0}", 100), "a\\u{d}\\u{a}Bcc: x\\u{202e}y\\u{0}");
        assert_eq!(visible("http://evil.example", 100), "http[://]evil.example");
        assert_eq!(visible("éééé", 3), "ééé…");
        assert_eq!(visible("ééé", 3), "ééé");
        assert_eq!(visible("a\n\n", 6), "a\\u{a}…");
        assert_eq!((shortened("ab😀", 4), shortened("ab😀c", 4)), ("ab😀".to_owned(), "ab…".to_owned()));
        assert_eq!(html("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }
}
