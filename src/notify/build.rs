//! From the configuration to channels that can send.

use super::Channel;
use super::config::{ChannelConfig, ChannelKind, NotifyConfig, Problem};
use super::email::Email;
use super::kafka::TopicChannel;
use super::routing::{ACTIONS_TOPIC_CHANNEL, ALERTS_TOPIC_CHANNEL, Route, Routing};
use super::webhook::Webhook;
use crate::db::Db;
use crate::log::{ACTIONS_TOPIC, ALERTS_TOPIC, Appender};
use crate::respond::RevocationConfig;
use crate::respond::Target;
use std::sync::Arc;

/// Everything wrong with the two lists of tables, at once; reads the files that they name.
#[must_use]
pub fn problems(channels: &[ChannelConfig], targets: &[RevocationConfig], limits: &NotifyConfig) -> Vec<Problem> {
    let mut problems = Routing::problems(channels, targets);
    for config in channels.iter().filter(|config| config.problems().is_empty()) {
        let failed = match config.kind {
            ChannelKind::Webhook => Webhook::new(config).err().map(|error| error.to_string()),
            ChannelKind::Email => Email::new(config, limits.recipients_max).err().map(|error| error.to_string()),
            ChannelKind::Kafka => None,
        };
        problems.extend(failed.map(|message| Problem::new(format!("channels.{}", config.name), message)));
    }
    let complete = targets.iter().filter(|config| config.problems().is_empty());
    let failed = complete.filter_map(|config| Some((config, Target::check(config).err()?)));
    problems.extend(failed.map(|(config, error)| Problem::new(format!("revocation.{}", config.name), error)));
    problems
}

/// What the configuration comes to.
pub struct Built {
    /// Whom to tell: for [`super::commit_alert`] and [`super::Deliveries`].
    pub routing: Routing,
    /// The channels that do it: for [`super::Deliveries::spawn`].
    pub channels: Vec<Arc<dyn Channel>>,
}

/// Makes the channels. The topics `bartizan.alerts` and `bartizan.actions` are always among them. Targets in dry run have
/// none: nothing is ever sent to them.
///
/// # Errors
/// Everything that [`problems`] finds.
pub fn build(
    channels: &[ChannelConfig],
    targets: &[RevocationConfig],
    limits: &NotifyConfig,
    public_url: Option<&str>,
    db: &Db,
    log: &Arc<dyn Appender>,
) -> Result<Built, Vec<Problem>> {
    let found = problems(channels, targets, limits);
    if !found.is_empty() {
        return Err(found);
    }
    let wrong = |key: String, error: &dyn std::fmt::Display| vec![Problem::new(key, error)];
    let mut routing = Routing::new(channels, targets, limits, public_url);
    routing.channels.push(Route::every_version(ALERTS_TOPIC_CHANNEL));
    let topics = [(ALERTS_TOPIC_CHANNEL, ALERTS_TOPIC), (ACTIONS_TOPIC_CHANNEL, ACTIONS_TOPIC)];
    let topic = |(name, topic)| -> Arc<dyn Channel> { Arc::new(TopicChannel::new(name, topic, Arc::clone(log))) };
    let mut built: Vec<Arc<dyn Channel>> = topics.map(topic).into();
    for config in channels {
        let key = || format!("channels.{}", config.name);
        built.push(match config.kind {
            ChannelKind::Webhook => Arc::new(Webhook::new(config).map_err(|error| wrong(key(), &error))?),
            ChannelKind::Email => Arc::new(Email::new(config, limits.recipients_max).map_err(|error| wrong(key(), &error))?),
            ChannelKind::Kafka => {
                let topic = config.topic.as_deref().unwrap_or(ALERTS_TOPIC);
                Arc::new(TopicChannel::new(&config.name, topic, Arc::clone(log)))
            }
        });
    }
    for config in targets.iter().filter(|config| !config.dry_run) {
        let target = Target::new(config, db).map_err(|error| wrong(format!("revocation.{}", config.name), &error))?;
        built.push(Arc::new(target));
    }
    Ok(Built { routing, channels: built })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::notify::testing::{SECRET, target};
    use serde_json::json;

    #[test]
    fn every_problem_is_reported_at_once_with_its_key() {
        let channel = |table| serde_json::from_value::<ChannelConfig>(table).unwrap();
        let limits = NotifyConfig::default();
        let channels = [
            channel(json!({"name": "a b", "kind": "webhook", "url": "https://a.example", "secret": SECRET})),
            channel(json!({"name": "mail", "kind": "email"})),
            channel(json!({"name": "mail", "kind": "kafka"})),
        ];
        let keys: Vec<String> = problems(&channels, &[], &limits).into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["channels.name", "channels.mail.smtp", "channels.mail.from", "channels.mail.to", "channels.mail"]);
        let wrong = [channel(json!({"name": "hook", "kind": "webhook", "url": "ftp://a.example", "secret": SECRET}))];
        assert!(
            problems(&wrong, &[], &limits).iter().any(|problem| problem.key == "channels.hook" && problem.message.contains("https://"))
        );
        assert!(problems(&[], &[target("identity", "https://a.example", true)], &limits).is_empty());
        assert!(serde_json::from_value::<ChannelConfig>(json!({"name": "a", "kind": "webhook", "colour": 1})).is_err());
        assert!(serde_json::from_value::<ChannelConfig>(json!({"name": "a", "kind": "webhook", "group": "incident"})).is_err());
    }
}
