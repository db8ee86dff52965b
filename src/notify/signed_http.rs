//! `POST`s of JSON signed as Standard Webhooks describes (standardwebhooks.com, version 1.0.0).

use super::address::Guard;
use super::guarded_http::{Answer, Call, GuardedClient, SetupError};
use crate::secret::Secret;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use std::path::Path;

/// Shortest and longest key; the specification asks for 24 to 64 bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// Secrets come with and without padding.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Signs what it sends.
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// From `whsec_` and base64.
    ///
    /// # Errors
    /// Another form, or a key that is too short or too long.
    pub fn new(secret: &Secret) -> Result<Self, SetupError> {
        let text = secret.expose().strip_prefix("whsec_").ok_or(SetupError::Key("must begin with whsec_"))?;
        let key = BASE64.decode(text).map_err(|_| SetupError::Key("after whsec_ must stand base64"))?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SetupError::Key("the key must have 24 to 64 bytes"));
        }
        Hmac::new_from_slice(&key).map(Self).map_err(|_| SetupError::Key("not a key"))
    }

    /// The `webhook-signature` of a message.
    #[must_use]
    pub fn sign(&self, message_id: &str, timestamp_s: i64, body: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{message_id}.{timestamp_s}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    }
}

/// One URL that gets signed calls.
pub struct SignedClient {
    client: GuardedClient,
    key: SigningKey,
}

impl SignedClient {
    /// Prepares calls to `url`, signed with `secret`.
    ///
    /// # Errors
    /// No usable URL, secret or certificates.
    pub fn new(url: &str, secret: &Secret, guard: Guard, ca_file: Option<&Path>) -> Result<Self, SetupError> {
        Ok(Self { client: GuardedClient::new(url, guard, ca_file)?, key: SigningKey::new(secret)? })
    }

    /// As [`GuardedClient::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.client.fingerprint()
    }

    /// Sends one signed call.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn post(&self, message_id: &str, body: &str, now_ms: i64) -> Result<Answer, String> {
        let timestamp_s = now_ms.div_euclid(1000);
        let signed = [
            ("webhook-id", message_id.to_owned()),
            ("webhook-timestamp", timestamp_s.to_string()),
            ("webhook-signature", self.key.sign(message_id, timestamp_s, body)),
        ];
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        for (name, value) in signed {
            // Made of letters, digits and signs alone, all of them.
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        self.client.send(Call { method: Method::POST, headers, body: body.to_owned() }, now_ms).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The example that the libraries of Standard Webhooks publish.
    #[test]
    fn the_published_test_vector_is_met() {
        let key = SigningKey::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())).unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_in_another_form_is_refused() {
        for text in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_%%%", "whsec_QUJD"] {
            assert!(SigningKey::new(&Secret::new(text.to_owned())).is_err(), "{text}");
        }
    }
}
