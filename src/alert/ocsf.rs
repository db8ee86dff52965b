//! An alert as an OCSF Detection Finding (class 2004), for whatever reads that schema.
//!
//! A pure function of one alert version, so the same version gives the same bytes everywhere. It says
//! what the schema has a place for; Bartizan's own numbers stand in `unmapped`, and each subject's
//! role in the `data` of its evidence. Schema: <https://schema.ocsf.io/1.4.0/classes/detection_finding>.
//!
//! Deliberately absent: the events themselves (their ids are `related_events`), and `created_time`
//! after the first version, since later versions do not hold it.

use super::model::{Alert, Attack, Disposition, Status};
use bartizan_core::{EntityKind, Severity, Subject};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Version of the schema.
const SCHEMA_VERSION: &str = "1.4.0";
/// Product and vendor.
const PRODUCT: &str = "Bartizan";
/// Findings.
const CATEGORY_UID: u32 = 2;
/// Detection Finding.
const CLASS_UID: u32 = 2004;
/// From this confidence on it is medium, and high.
const CONFIDENCE_MEDIUM: f32 = 0.5;
const CONFIDENCE_HIGH: f32 = 0.8;

/// A Detection Finding. All times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DetectionFinding {
    /// 1 Create: the first version; 3 Close: people resolved it; 2 Update: any other version.
    pub activity_id: u32,
    /// The activity in words.
    pub activity_name: &'static str,
    /// Always 2.
    pub category_uid: u32,
    /// Always `Findings`.
    pub category_name: &'static str,
    /// Always 2004.
    pub class_uid: u32,
    /// Always `Detection Finding`.
    pub class_name: &'static str,
    /// Class and activity: 200400 + `activity_id`.
    pub type_uid: u32,
    /// Class and activity in words.
    pub type_name: String,
    /// When the deciding event of this version arrived.
    pub time: i64,
    /// Event time of the first event.
    pub start_time: i64,
    /// Event time of the last event.
    pub end_time: i64,
    /// Events that belong to it.
    pub count: u64,
    /// 1 Informational, 2 Low, 3 Medium, 4 High, 5 Critical.
    pub severity_id: u32,
    /// The severity in words.
    pub severity: &'static str,
    /// 1 New, 2 In Progress, 3 Suppressed (judged false or harmless), 4 Resolved.
    pub status_id: u32,
    /// The status in words.
    pub status: &'static str,
    /// 1 Low, 2 Medium, 3 High.
    pub confidence_id: u32,
    /// The confidence in words.
    pub confidence: &'static str,
    /// 0 to 100.
    pub confidence_score: u32,
    /// Worth telling people: not once it is resolved.
    pub is_alert: bool,
    /// The alert's reason.
    pub message: String,
    /// 1 False Positive, 2 True Positive, 5 Benign; once people said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verdict_id: Option<u32>,
    /// The verdict in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub verdict: Option<&'static str>,
    /// Who works on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub assignee: Option<FindingUser>,
    /// What was found.
    pub finding_info: FindingInfo,
    /// Who and what took part, one entry each.
    pub evidences: Vec<Evidence>,
    /// The same, flat, to search by.
    pub observables: Vec<Observable>,
    /// Where this record comes from.
    pub metadata: Metadata,
    /// The alert's members that the schema has no place for.
    #[schema(value_type = Object)]
    pub unmapped: Value,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FindingInfo {
    /// The alert's id.
    pub uid: String,
    /// Its title.
    pub title: String,
    /// Its reason.
    pub desc: String,
    /// The detector's id.
    pub types: Vec<String>,
    /// The detector.
    pub analytic: Analytic,
    /// MITRE ATT&CK.
    pub attacks: Vec<FindingAttack>,
    /// When it was opened, in its first version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub created_time: Option<i64>,
    /// When this version was found.
    pub modified_time: i64,
    /// Event time of the first event.
    pub first_seen_time: i64,
    /// Event time of the last event.
    pub last_seen_time: i64,
    /// Events that show it (bounded).
    pub related_events: Vec<RelatedEvent>,
    /// Events that belong to it.
    pub related_events_count: u64,
}

/// The detector.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Analytic {
    /// Its id.
    pub uid: String,
    /// The same: detectors have one name.
    pub name: String,
    /// 1 Rule (Sigma), 2 Behavioral.
    pub type_id: u32,
    /// The type in words.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// One ATT&CK reference.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FindingAttack {
    /// Tactic.
    pub tactic: AttackUid,
    /// Technique.
    pub technique: AttackUid,
    /// Sub-technique, where the reference names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sub_technique: Option<AttackUid>,
}

/// A tactic or technique.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AttackUid {
    /// E.g. `T1110`.
    pub uid: String,
}

/// An event behind the finding.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RelatedEvent {
    /// The event's id.
    pub uid: String,
}

/// One who took part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Evidence {
    /// An account, session or token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub actor: Option<Actor>,
    /// An address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub src_endpoint: Option<Endpoint>,
    /// A device.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub device: Option<Device>,
    /// `role` (attacker, victim, shared), `hit`, and `network` where it is one.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// An account or session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Actor {
    /// The account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<FindingUser>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session: Option<Session>,
}

/// An account or a person.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FindingUser {
    /// Its name or stable id, as the log has it.
    pub name: String,
}

/// A session, by its id or by its token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Session {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub uid: Option<String>,
    /// Its token: a public handle, or `hash:` and the keyed hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub credential_uid: Option<String>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Endpoint {
    /// The address.
    pub ip: String,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Device {
    /// Its stable id or fingerprint.
    pub uid: String,
    /// Always 0, Unknown.
    pub type_id: u32,
}

/// A value to search by.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Observable {
    /// Where it stands in this record.
    pub name: &'static str,
    /// What it is: 2 IP Address, 4 User Name, 12 Subnet, 99 another one, which `type` names.
    pub type_id: u32,
    /// The same in words.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The value.
    pub value: String,
}

/// Where the record comes from.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Metadata {
    /// Version of the schema.
    pub version: &'static str,
    /// This program.
    pub product: Product,
    /// Profiles in use: `incident`, for verdict and assignee.
    pub profiles: Vec<&'static str>,
    /// Alert id and version: the same record again has the same one.
    pub uid: String,
    /// Tenant.
    pub tenant_uid: String,
    /// Incident, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub correlation_uid: Option<String>,
}

/// This program.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Product {
    /// Name.
    pub name: &'static str,
    /// Vendor.
    pub vendor_name: &'static str,
    /// Version.
    pub version: &'static str,
}

impl DetectionFinding {
    /// The finding that a version of an alert is.
    #[must_use]
    pub fn of(alert: &Alert) -> Self {
        let (activity_id, activity_name) = activity(alert);
        let (severity_id, severity) = severity(alert.severity);
        let (status_id, status) = status(alert);
        let (confidence_id, confidence) = confidence(alert.confidence);
        let verdict = alert.disposition.map(verdict);
        Self {
            activity_id,
            activity_name,
            category_uid: CATEGORY_UID,
            category_name: "Findings",
            class_uid: CLASS_UID,
            class_name: "Detection Finding",
            type_uid: CLASS_UID * 100 + activity_id,
            type_name: format!("Detection Finding: {activity_name}"),
            time: alert.detected_time.0,
            start_time: alert.first_event_time.0,
            end_time: alert.last_event_time.0,
            count: alert.event_count,
            severity_id,
            severity,
            status_id,
            status,
            confidence_id,
            confidence,
            confidence_score: (alert.confidence.clamp(0.0, 1.0) * 100.0).round() as u32,
            is_alert: alert.status != Status::Resolved,
            message: alert.reason.clone(),
            verdict_id: verdict.map(|(id, _)| id),
            verdict: verdict.map(|(_, name)| name),
            assignee: alert.assignee.clone().map(|name| FindingUser { name }),
            finding_info: finding_info(alert),
            evidences: alert.subjects.iter().map(evidence).collect(),
            observables: alert.subjects.iter().map(observable).collect(),
            metadata: metadata(alert),
            unmapped: json!({
                "evidence": alert.evidence, "key": alert.key, "ongoing": alert.ongoing, "actions": alert.actions, "version": alert.version,
            }),
        }
    }
}

fn activity(alert: &Alert) -> (u32, &'static str) {
    match alert.status {
        Status::Resolved => (3, "Close"),
        _ if alert.version == 1 => (1, "Create"),
        _ => (2, "Update"),
    }
}

fn severity(severity: Severity) -> (u32, &'static str) {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

fn status(alert: &Alert) -> (u32, &'static str) {
    match (alert.status, alert.disposition) {
        (Status::Open, _) => (1, "New"),
        (Status::Acknowledged, _) => (2, "In Progress"),
        (Status::Resolved, Some(Disposition::FalsePositive | Disposition::Benign)) => (3, "Suppressed"),
        (Status::Resolved, _) => (4, "Resolved"),
    }
}

fn confidence(confidence: f32) -> (u32, &'static str) {
    if confidence >= CONFIDENCE_HIGH {
        (3, "High")
    } else if confidence >= CONFIDENCE_MEDIUM {
        (2, "Medium")
    } else {
        (1, "Low")
    }
}

fn verdict(disposition: Disposition) -> (u32, &'static str) {
    match disposition {
        Disposition::FalsePositive => (1, "False Positive"),
        Disposition::TruePositive => (2, "True Positive"),
        Disposition::Benign => (5, "Benign"),
    }
}

fn finding_info(alert: &Alert) -> FindingInfo {
    let (type_id, kind) = if alert.detector.starts_with("sigma:") { (1, "Rule") } else { (2, "Behavioral") };
    FindingInfo {
        uid: alert.id.clone(),
        title: alert.title.clone(),
        desc: alert.reason.clone(),
        types: vec![alert.detector.clone()],
        analytic: Analytic { uid: alert.detector.clone(), name: alert.detector.clone(), type_id, kind },
        attacks: alert.attack.iter().map(attack).collect(),
        created_time: (alert.version == 1).then_some(alert.detected_time.0),
        modified_time: alert.detected_time.0,
        first_seen_time: alert.first_event_time.0,
        last_seen_time: alert.last_event_time.0,
        related_events: alert.event_ids.iter().map(|id| RelatedEvent { uid: id.clone() }).collect(),
        related_events_count: alert.event_count,
    }
}

/// `T1110.004` is the technique `T1110` with the sub-technique `T1110.004`.
fn attack(attack: &Attack) -> FindingAttack {
    let uid = |text: &str| AttackUid { uid: text.to_owned() };
    let (technique, sub) = attack.technique.split_once('.').map_or((attack.technique.as_str(), false), |(technique, _)| (technique, true));
    FindingAttack { tactic: uid(&attack.tactic), technique: uid(technique), sub_technique: sub.then(|| uid(&attack.technique)) }
}

fn evidence(subject: &Subject) -> Evidence {
    let value = || subject.value.clone();
    let mut data = Map::new();
    data.insert("role".to_owned(), subject.role.as_str().into());
    data.insert("hit".to_owned(), subject.hit.into());
    let mut evidence = Evidence::default();
    match subject.kind {
        EntityKind::User => evidence.actor = Some(Actor { user: Some(FindingUser { name: value() }), session: None }),
        EntityKind::Session => evidence.actor = Some(of_session(Session { uid: Some(value()), credential_uid: None })),
        EntityKind::Token => evidence.actor = Some(of_session(Session { uid: None, credential_uid: Some(value()) })),
        EntityKind::Ip => evidence.src_endpoint = Some(Endpoint { ip: value() }),
        EntityKind::Device => evidence.device = Some(Device { uid: value(), type_id: 0 }),
        EntityKind::Network => drop(data.insert("network".to_owned(), value().into())),
    }
    Evidence { data, ..evidence }
}

fn of_session(session: Session) -> Actor {
    Actor { user: None, session: Some(session) }
}

fn observable(subject: &Subject) -> Observable {
    let (name, type_id, kind) = match subject.kind {
        EntityKind::User => ("evidences[].actor.user.name", 4, "User Name"),
        EntityKind::Session => ("evidences[].actor.session.uid", 99, "Session"),
        EntityKind::Token => ("evidences[].actor.session.credential_uid", 99, "Token"),
        EntityKind::Ip => ("evidences[].src_endpoint.ip", 2, "IP Address"),
        EntityKind::Device => ("evidences[].device.uid", 99, "Device"),
        EntityKind::Network if subject.value.contains('/') => ("evidences[].data.network", 12, "Subnet"),
        EntityKind::Network => ("evidences[].data.network", 99, "Autonomous System"),
    };
    Observable { name, type_id, kind, value: subject.value.clone() }
}

fn metadata(alert: &Alert) -> Metadata {
    Metadata {
        version: SCHEMA_VERSION,
        product: Product { name: PRODUCT, vendor_name: PRODUCT, version: env!("CARGO_PKG_VERSION") },
        profiles: vec!["incident"],
        uid: format!("{}:{}", alert.id, alert.version),
        tenant_uid: alert.tenant.clone(),
        correlation_uid: alert.incident.clone(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::notify::testing::alert;
    use bartizan_core::Role;

    #[test]
    fn the_wire_format_is_the_golden_one() {
        let mut alert = alert("a1");
        alert.subjects.push(Subject::new(EntityKind::Device, "d1", Role::Victim));
        alert.subjects.push(Subject::new(EntityKind::Network, "198.51.100.0/24", Role::Attacker));
        alert.subjects.push(Subject::new(EntityKind::Token, "jti-1", Role::Victim).hit());
        alert.attack.push(Attack { tactic: "TA0006".into(), technique: "T1110.004".into() });
        let shown = serde_json::to_value(DetectionFinding::of(&alert)).unwrap();
        let golden = include_str!("../../tests/goldens/alert_ocsf.json").replace("@VERSION@", env!("CARGO_PKG_VERSION"));
        let golden: Value = serde_json::from_str(&golden).unwrap();
        assert_eq!(shown, golden, "{}", serde_json::to_string_pretty(&shown).unwrap());
    }

    #[test]
    fn activity_status_and_verdict_follow_the_alert() {
        let of = |version, status, disposition| {
            let alert = Alert { version, status, disposition, ..alert("a1") };
            let finding = DetectionFinding::of(&alert);
            (finding.activity_id, finding.status_id, finding.verdict_id, finding.is_alert)
        };
        assert_eq!(of(1, Status::Open, None), (1, 1, None, true));
        assert_eq!(of(2, Status::Acknowledged, None), (2, 2, None, true));
        assert_eq!(of(3, Status::Resolved, Some(Disposition::TruePositive)), (3, 4, Some(2), false));
        assert_eq!(of(3, Status::Resolved, Some(Disposition::FalsePositive)), (3, 3, Some(1), false));
        assert_eq!(of(3, Status::Resolved, Some(Disposition::Benign)), (3, 3, Some(5), false));
        assert_eq!(of(3, Status::Resolved, None), (3, 4, None, false));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        for (given, score, id) in [(-1.0, 0, 1), (0.49, 49, 1), (0.5, 50, 2), (0.8, 80, 3), (7.0, 100, 3), (f32::NAN, 0, 1)] {
            let finding = DetectionFinding::of(&Alert { confidence: given, ..alert("a1") });
            assert_eq!((finding.confidence_score, finding.confidence_id), (score, id), "{given}");
        }
    }
}
