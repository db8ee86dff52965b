//! From the configuration to channels that can send.

use super::Channel;
use super::channels::alertmanager::Alertmanager;
use super::channels::email::Email;
use super::channels::kafka::TopicChannel;
use super::channels::pagerduty::PagerDuty;
use super::channels::slack::Slack;
use super::channels::teams::Teams;
use super::channels::template::Template;
use super::channels::webhook::Webhook;
use super::channels::{HttpChannel, Service};
use super::config::{ChannelConfig, ChannelKind, NotifyConfig, Problem};
use super::guarded_http::SetupError;
use super::routing::{ACTIONS_TOPIC_CHANNEL, ALERTS_TOPIC_CHANNEL, Route, Routing};
use crate::db::Db;
use crate::log::{ACTIONS_TOPIC, ALERTS_TOPIC, Appender};
use crate::normalise::HeldTokens;
use crate::respond::RevocationConfig;
use crate::respond::Target;
use std::sync::Arc;

/// Everything wrong with the two lists of tables, at once; reads the files that they name.
#[must_use]
pub fn problems(channels: &[ChannelConfig], targets: &[RevocationConfig], limits: &NotifyConfig) -> Vec<Problem> {
    let mut problems = Routing::problems(channels, targets);
    let complete = channels.iter().filter(|config| config.problems().is_empty());
    problems.extend(complete.filter_map(|config| channel(config, limits).err()));
    let complete = targets.iter().filter(|config| config.problems().is_empty());
    let failed = complete.filter_map(|config| Some((config, Target::check(config).err()?)));
    problems.extend(failed.map(|(config, error)| Problem::new(format!("revocation.{}", config.name), error)));
    problems
}

/// Makes a channel that tells somebody; reads its files. `None`: a topic, which wants the log.
///
/// # Errors
/// Something is missing, unreadable or not in its form.
pub fn channel(config: &ChannelConfig, limits: &NotifyConfig) -> Result<Option<Arc<dyn Channel>>, Problem> {
    let built = match config.kind {
        ChannelKind::Kafka => return Ok(None),
        ChannelKind::Email => Email::new(config, limits.recipients_max).map(arc).map_err(|error| error.to_string()),
        ChannelKind::Webhook => Webhook::new(config).map(arc).map_err(|error| error.to_string()),
        ChannelKind::Slack => service(config, Ok(Slack)),
        ChannelKind::Teams => service(config, Ok(Teams)),
        ChannelKind::PagerDuty => service(config, Ok(PagerDuty)),
        ChannelKind::Alertmanager => service(config, Ok(Alertmanager)),
        ChannelKind::Http => service(config, Template::new(config)),
    };
    built.map(Some).map_err(|error| Problem::new(format!("channels.{}", config.name), error))
}

fn arc(channel: impl Channel + 'static) -> Arc<dyn Channel> {
    Arc::new(channel)
}

fn service<S: Service + 'static>(config: &ChannelConfig, service: Result<S, SetupError>) -> Result<Arc<dyn Channel>, String> {
    service.and_then(|service| HttpChannel::new(config, service)).map(arc).map_err(|error| error.to_string())
}

/// What the configuration comes to.
pub struct Built {
    /// Whom to tell: for [`super::commit_alert`] and [`super::Deliveries`].
    pub routing: Routing,
    /// The channels that do it: for [`super::Deliveries::spawn`].
    pub channels: Vec<Arc<dyn Channel>>,
    /// Those of them that tell somebody: what can be tested.
    pub telling: Vec<Arc<dyn Channel>>,
}

/// Makes the channels. The topics `bartizan.alerts` and `bartizan.actions` are always among them. Targets in dry run have
/// none: nothing is ever sent to them. `held`: tokens that targets may want themselves.
///
/// # Errors
/// Everything that [`problems`] finds.
pub fn build(
    channels: &[ChannelConfig],
    targets: &[RevocationConfig],
    limits: &NotifyConfig,
    public_url: Option<&str>,
    (db, held): (&Db, &HeldTokens),
    log: &Arc<dyn Appender>,
) -> Result<Built, Vec<Problem>> {
    let found = problems(channels, targets, limits);
    if !found.is_empty() {
        return Err(found);
    }
    let mut routing = Routing { held: held.clone(), ..Routing::new(channels, targets, limits, public_url) };
    routing.channels.push(Route::every_version(ALERTS_TOPIC_CHANNEL));
    let topics = [(ALERTS_TOPIC_CHANNEL, ALERTS_TOPIC), (ACTIONS_TOPIC_CHANNEL, ACTIONS_TOPIC)];
    let topic = |(name, topic)| -> Arc<dyn Channel> { Arc::new(TopicChannel::new(name, topic, Arc::clone(log))) };
    let mut built: Vec<Arc<dyn Channel>> = topics.map(topic).into();
    let mut telling = Vec::new();
    for config in channels {
        built.push(match channel(config, limits).map_err(|problem| vec![problem])? {
            Some(channel) => {
                telling.push(Arc::clone(&channel));
                channel
            }
            None => arc(TopicChannel::new(&config.name, config.topic.as_deref().unwrap_or(ALERTS_TOPIC), Arc::clone(log))),
        });
    }
    for config in targets.iter().filter(|config| !config.dry_run) {
        let target = Target::new(config, db, held).map_err(|error| vec![Problem::new(format!("revocation.{}", config.name), error)])?;
        built.push(arc(target));
    }
    Ok(Built { routing, channels: built, telling })
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
        let quiet = json!({"from": "22:00", "to": "7", "zone": "UTC"});
        let webhook = json!({"name": "hook", "kind": "webhook", "url": "https://a.example", "secret": SECRET, "quiet": quiet, "escalate_after_ms": -1});
        let keys: Vec<String> = problems(&[channel(webhook)], &[], &limits).into_iter().map(|problem| problem.key).collect();
        let wrong = ["escalate_after_ms", "quiet", "escalate_after_ms", "quiet.to"].map(|key| format!("channels.hook.{key}"));
        assert_eq!(keys, wrong, "a webhook hears of alerts, and what it has is wrong");
    }
}
