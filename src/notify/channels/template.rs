//! Any service that takes an HTTP call (kind `http`): headers and a body by templates.
//!
//! Templates (MiniJinja, the syntax of Jinja) see the members of a [`View`], `text` (all rows as lines), the message's
//! `data` and `response` as a webhook gets them, `message_id` and `secret`. A name that there is not is an error. What is
//! printed is escaped as the content type asks for: in JSON each value comes with its quotes. A template is tried with a
//! sample of each type of message when the configuration is read, so a mistake is found before it is needed.

use super::Service;
use crate::db::outbox::Message;
use crate::notify::config::ChannelConfig;
use crate::notify::guarded_http::{Call, SetupError};
use crate::notify::payload::Payload;
use crate::notify::sample;
use crate::notify::view::View;
use crate::notify::visible::visible;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context, escape_formatter};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;

/// Steps of one rendering.
const FUEL: u64 = 100_000;
/// Bytes of a template, and of what it renders.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// Characters of one value in a header or in plain text.
const VALUE_CHARS_MAX: usize = 4_000;
/// What the body's template is called in errors; those of headers have their names, which know no brackets.
const BODY: &str = "(body)";

/// Escaping for `text/plain` and headers, and for forms.
const PLAIN: AutoEscape = AutoEscape::Custom(std::borrow::Cow::Borrowed("plain"));
const FORM: AutoEscape = AutoEscape::Custom(std::borrow::Cow::Borrowed("form"));

/// Calls by templates.
pub struct Template {
    method: Method,
    headers: Vec<HeaderName>,
    escape: AutoEscape,
    templates: Environment<'static>,
}

impl Template {
    /// From its table.
    ///
    /// # Errors
    /// Something is missing or not in its form, or a template cannot render one of the samples.
    pub fn new(config: &ChannelConfig) -> Result<Self, SetupError> {
        let method = match config.method.as_deref() {
            None | Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some("PATCH") => Method::PATCH,
            Some(other) => return Err(SetupError::Request(format!("method: {other:?} is none of POST, PUT and PATCH"))),
        };
        let mut headers = Vec::new();
        let mut content_type = "application/json".to_owned();
        for (name, value) in &config.headers {
            let name: HeaderName = name.parse().map_err(|_| SetupError::Request(format!("headers: {name:?} is no header")))?;
            if name == CONTENT_TYPE {
                content_type = value.split(';').next().unwrap_or_default().trim().to_lowercase();
            }
            headers.push(name);
        }
        let escape = escape_of(&content_type)
            .ok_or_else(|| SetupError::Request(format!("headers: no way is known to escape values for {content_type:?}")))?;
        let mut templates = environment(escape.clone());
        let sources = config.headers.values().cloned().zip(headers.iter().map(|name| name.as_str().to_owned()));
        let body = config.body.clone().unwrap_or_default();
        for (source, name) in std::iter::once((body, BODY.to_owned())).chain(sources) {
            if source.len() > BODY_BYTES_MAX {
                return Err(SetupError::Template(format!("a template has at most {BODY_BYTES_MAX} bytes")));
            }
            templates.add_template_owned(name, source).map_err(|error| SetupError::Template(explain(&error)))?;
        }
        let template = Self { method, headers, escape, templates };
        template.try_samples()?;
        Ok(template)
    }

    fn try_samples(&self) -> Result<(), SetupError> {
        for kind in sample::KINDS {
            let message = sample::message("sample", kind, None);
            let view = View::of(&message.body).map_err(|error| SetupError::Template(error.to_string()))?;
            let tried = self.call(&message, &view, super::STARS);
            tried.map_err(|error| SetupError::Template(format!("of a message {kind}: {error}")))?;
        }
        Ok(())
    }

    fn render(&self, name: &str, context: Value) -> Result<String, String> {
        let template = self.templates.get_template(name).map_err(|error| explain(&error))?;
        template.render(context).map_err(|error| explain(&error))
    }
}

impl Service for Template {
    fn call(&self, message: &Message, view: &View, secret: &str) -> Result<Call, String> {
        let payload: Payload<Json> = serde_json::from_str(&message.body).map_err(|error| error.to_string())?;
        let context = |plain: bool| {
            // What is the operator's own, or bounded already, is no less in plain text than it is.
            let own = |text: String| if plain { Value::from_safe_string(text) } else { Value::from(text) };
            context! {
                text => own(view.lines()),
                secret => own(secret.to_owned()),
                message_id => message.message_id.as_str(),
                data => Value::from(Serde(&payload.data)),
                response => Value::from(Serde(payload.response)),
                ..Value::from(Serde(view))
            }
        };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for name in &self.headers {
            let value = self.render(name.as_str(), context(true))?;
            headers.insert(name, HeaderValue::try_from(value).map_err(|_| format!("the value of {name} has line breaks"))?);
        }
        let body = self.render(BODY, context(self.escape == PLAIN))?;
        if body.len() > BODY_BYTES_MAX {
            return Err(format!("the body has {} bytes; at most {BODY_BYTES_MAX} are sent", body.len()));
        }
        if self.escape == AutoEscape::Json {
            serde_json::from_str::<serde::de::IgnoredAny>(&body).map_err(|error| format!("the body is not JSON: {error}"))?;
        }
        Ok(Call { method: self.method.clone(), headers, body })
    }
}

fn escape_of(content_type: &str) -> Option<AutoEscape> {
    match content_type {
        "application/x-www-form-urlencoded" => Some(FORM),
        "text/plain" => Some(PLAIN),
        "text/html" | "text/xml" | "application/xml" => Some(AutoEscape::Html),
        json if json == "application/json" || json.ends_with("+json") => Some(AutoEscape::Json),
        _ => None,
    }
}

fn environment(body: AutoEscape) -> Environment<'static> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_fuel(Some(FUEL));
    templates.set_auto_escape_callback(move |name| if name == BODY { body.clone() } else { PLAIN });
    templates.set_formatter(|out, state, value| {
        let (escape, text) = (state.auto_escape().clone(), value.to_string());
        match escape {
            AutoEscape::Custom(_) if value.is_safe() => out.write_str(&text)?,
            escape if escape == PLAIN => out.write_str(&visible(&text, VALUE_CHARS_MAX))?,
            escape if escape == FORM => form_urlencoded::byte_serialize(text.as_bytes()).try_for_each(|part| out.write_str(part))?,
            _ => escape_formatter(out, state, value)?,
        }
        Ok(())
    });
    templates
}

/// The whole chain of causes, on one line.
fn explain(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    visible(&text, VALUE_CHARS_MAX)
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
