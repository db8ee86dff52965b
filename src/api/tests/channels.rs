//! Channels tested on request.

use super::*;
use crate::db::DbError;
use crate::db::outbox::Message;
use crate::notify::Outcome;
use futures::future::BoxFuture;

/// A channel that takes nothing but tests of itself, until it is broken.
struct Fake {
    error: Option<&'static str>,
}

impl Channel for Fake {
    fn name(&self) -> &str {
        if self.error.is_some() { "broken" } else { "oncall" }
    }

    fn fingerprint(&self) -> String {
        String::new()
    }

    fn acts(&self) -> bool {
        false
    }

    fn deliver<'a>(&'a self, message: &'a Message, _: i64) -> BoxFuture<'a, Outcome> {
        assert_eq!((message.kind.as_str(), message.channel.as_str()), ("channel.test", self.name()));
        let outcome = self.error.map_or(Outcome::Delivered(None), Outcome::retry);
        Box::pin(std::future::ready(outcome))
    }
}

#[tokio::test]
async fn an_admin_tests_a_channel_and_it_is_on_record() {
    let channels: Vec<Arc<dyn Channel>> = vec![Arc::new(Fake { error: None }), Arc::new(Fake { error: Some("HTTP 503 not now") })];
    let api = Api::telling(HttpConfig::default(), None, Routing::default(), channels);
    let admin = api.token(Role::Admin, None);
    let test = async |token: &str, name: &str| api.post(token, &format!("/api/v1/channels/{name}/test"), "").await;
    let well = test(&admin, "oncall").await.json();
    assert_eq!((&well["delivered"], &well["error"]), (&true.into(), &Value::Null));
    let broken = test(&admin, "broken").await.json();
    assert_eq!((&broken["delivered"], &broken["error"]), (&false.into(), &"HTTP 503 not now".into()));
    test(&admin, "alerts-topic").await.is_problem(404, None);
    for token in [api.token(Role::Analyst, None), api.token(Role::Admin, Some("acme"))] {
        test(&token, "oncall").await.is_problem(403, None);
    }
    let audited = |tx: &rusqlite::Connection| {
        let mut statement = tx.prepare("SELECT actor, subject FROM audit WHERE action = 'channel.tested' ORDER BY id")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        Ok::<_, DbError>(rows.collect::<Result<Vec<_>, _>>()?)
    };
    let by = |name: &str| ("admin-name".to_owned(), name.to_owned());
    assert_eq!(api.db.read(audited).unwrap(), [by("oncall"), by("broken")]);
}
