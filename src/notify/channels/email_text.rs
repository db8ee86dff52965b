//! What is told, as the text and the HTML part of a mail.
//!
//! Both come from the same rows, the link before them, where a thumb finds it. No pictures, no remote content, no styles
//! that carry meaning.

use crate::notify::view::View;
use crate::notify::visible::html;
use std::fmt::Write;

/// A mail's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line, bounded, without control characters.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// Renders what is told.
#[must_use]
pub fn render(view: &View) -> Rendered {
    let mut text = format!("{}\n\n", view.heading);
    let mut page = format!("<!doctype html><html><body style=\"font-family: sans-serif\"><h2>{}</h2>\n", html(&view.heading));
    if let Some(link) = &view.url {
        write!(text, "{link}\n\n").ok();
        writeln!(page, "<p><a href=\"{0}\">{0}</a></p>", html(link)).ok();
    }
    text.push_str(&view.lines());
    page.push_str("<table cellpadding=\"4\">\n");
    for row in &view.rows {
        writeln!(page, "<tr><th align=\"left\" valign=\"top\">{}</th><td>{}</td></tr>", row.label, html(&row.value)).ok();
    }
    page.push_str("</table>\n</body></html>\n");
    Rendered { subject: view.subject.clone(), text, html: page }
}
