//! Mail as a channel: SMTP with TLS, a text and an HTML part, a stable Message-ID.
//!
//! A message is one mail to all recipients of the channel. Mails about one alert or incident refer to one
//! made-up parent, so that readers show them as one thread. What a mail says, [`super::email_text`] decides.

use super::email_text::render;
use crate::db::outbox::Message;
use crate::notify::config::{ChannelConfig, NotifyConfig};
use crate::notify::payload::message_id;
use crate::notify::view::View;
use crate::notify::visible::visible;
use crate::notify::{Channel, Outcome};
use crate::secret::Secret;
use futures::future::BoxFuture;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use reqwest::Url;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::Duration;

/// Longest wait for one answer of the server.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Longest time for one mail.
const MAIL_MAX: Duration = Duration::from_secs(60);

/// Why mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The server's URL.
    #[error("smtp: {0}")]
    Url(String),
    /// The password.
    #[error("password_file: {0}")]
    Secret(#[from] crate::secret::SecretError),
    /// A sender or recipient.
    #[error("{key}: {address:?} is not a mail address")]
    Address {
        /// `from` or `to`.
        key: &'static str,
        /// What stands there.
        address: String,
    },
    /// Too many recipients or none.
    #[error("to: 1 to {0} recipients (notify.recipients_max)")]
    Recipients(usize),
    /// The certificates.
    #[error("ca_file: {0}")]
    Certificates(String),
    /// The transport.
    #[error("smtp: {0}")]
    Transport(#[from] lettre::transport::smtp::Error),
}

/// A configured mail channel.
pub struct Email {
    name: String,
    server: String,
    from: Mailbox,
    to: Vec<Mailbox>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Email {
    /// From its table, for at most `recipients_max`; reads its files. Connects to nothing yet.
    ///
    /// # Errors
    /// Something is missing, unreadable, not in its form, or would send a password in the clear.
    pub fn new(config: &ChannelConfig, recipients_max: usize) -> Result<Self, MailError> {
        let password = Secret::resolve(config.password.as_ref(), config.password_file.as_deref())?;
        let text = config.smtp.as_deref().ok_or_else(|| MailError::Url("missing".to_owned()))?;
        let url = server_url(text, password.as_ref())?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str())?.timeout(Some(ANSWER_MAX));
        if let Some(path) = config.ca_file.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            builder = builder.tls(tls_with(&url, path)?);
        }
        let to: Vec<Mailbox> = config.to.iter().map(|address| mailbox("to", address)).collect::<Result<_, _>>()?;
        if to.is_empty() || to.len() > recipients_max {
            return Err(MailError::Recipients(recipients_max));
        }
        let from = mailbox("from", config.from.as_deref().unwrap_or_default())?;
        Ok(Self { name: config.name.clone(), server: text.to_owned(), from, to, transport: builder.build() })
    }

    /// The whole mail of a message.
    fn mail(&self, message: &Message) -> Result<lettre::Message, String> {
        let view = View::of(&message.body).map_err(|error| error.to_string())?;
        let rendered = render(&view);
        let domain = self.from.email.domain();
        let mut mail = lettre::Message::builder()
            .from(self.from.clone())
            .subject(rendered.subject)
            .message_id(Some(format!("<{}@{domain}>", message.message_id)));
        if !view.key.is_empty() {
            mail = mail.references(format!("<{}@{domain}>", message_id(&["thread", &view.key])));
        }
        for recipient in &self.to {
            mail = mail.to(recipient.clone());
        }
        mail.multipart(MultiPart::alternative_plain_html(rendered.text, rendered.html)).map_err(|error| error.to_string())
    }
}

fn mailbox(key: &'static str, address: &str) -> Result<Mailbox, MailError> {
    address.parse().map_err(|_| MailError::Address { key, address: address.to_owned() })
}

/// The URL with the password in it, as the mail library wants it; refuses what is not encrypted,
/// except to this machine and without a password.
fn server_url(text: &str, password: Option<&Secret>) -> Result<Url, MailError> {
    let wrong = |message: &str| MailError::Url(message.to_owned());
    let mut url = Url::parse(text).map_err(|error| MailError::Url(error.to_string()))?;
    if url.password().is_some() {
        return Err(wrong("the password belongs into password_file, not into the url"));
    }
    let tls = url.query_pairs().any(|(name, value)| name == "tls" && value == "required");
    let host = url.host_str().ok_or_else(|| wrong("no host"))?;
    match url.scheme() {
        "smtps" => {}
        "smtp" if tls => {}
        "smtp" if url.query().is_none() && is_this_machine(host) && password.is_none() => {}
        "smtp" => return Err(wrong("not encrypted: use smtps://host:465 or smtp://host:587?tls=required")),
        _ => return Err(wrong("must begin with smtps:// or smtp://")),
    }
    match (url.username().is_empty(), password) {
        (false, Some(password)) => {
            // The setter leaves percent signs as they are, and the library decodes them.
            let escaped = password.expose().replace('%', "%25");
            url.set_password(Some(&escaped)).map_err(|()| wrong("takes no password"))?;
        }
        (true, Some(_)) => return Err(wrong("a password but no user: write smtps://user@host:465")),
        (false, None) => return Err(wrong("a user but no password: give password_file")),
        (true, None) => {}
    }
    Ok(url)
}

fn is_this_machine(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || literal.is_ok_and(|ip| ip.is_loopback())
}

fn tls_with(url: &Url, path: &Path) -> Result<Tls, MailError> {
    let failed = |error: &dyn std::fmt::Display| MailError::Certificates(format!("{}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(|error| failed(&error))?;
    let certificate = Certificate::from_pem(&pem).map_err(|error| failed(&error))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let parameters = TlsParameters::builder(host).add_root_certificate(certificate).build()?;
    Ok(if url.scheme() == "smtps" { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

impl Channel for Email {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> String {
        Sha256::digest(&self.server).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    fn in_flight_max(&self, limits: &NotifyConfig) -> usize {
        limits.mails_in_flight_max
    }

    fn preview(&self, message: &Message) -> Result<String, String> {
        Ok(String::from_utf8_lossy(&self.mail(message)?.formatted()).into_owned())
    }

    fn acts(&self) -> bool {
        false
    }

    fn deliver<'a>(&'a self, message: &'a Message, _now_ms: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let mail = match self.mail(message) {
                Ok(mail) => mail,
                Err(error) => return Outcome::Refused(error),
            };
            match tokio::time::timeout(MAIL_MAX, self.transport.send(mail)).await {
                Ok(Ok(_)) => Outcome::Delivered(None),
                Ok(Err(error)) => Outcome::retry(visible(&error.to_string(), 300)),
                Err(_) => Outcome::retry("the mail server did not finish within 60 s"),
            }
        })
    }
}

#[cfg(test)]
#[path = "email_tests.rs"]
mod tests;
