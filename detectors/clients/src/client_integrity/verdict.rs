//! From pieces of evidence to how bad it is.

use super::agent::Program;
use super::grants::Jump;
use super::look::Look;
use super::population::Standing;
use bartizan_core::Severity;
use bartizan_core::finding::names_of;

/// What is made of one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Verdict {
    pub severity: Severity,
    /// A session or token of the app in other hands.
    pub hit: bool,
    pub evidence: Evidence,
}

/// The pieces that count, each by itself. Strong are those up to the version, failed and missing attestation
/// being one; the others go with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    pub tool: bool,
    pub tls: bool,
    /// A session of one of the app's programs in another one, as of another system.
    pub other_program: bool,
    pub attestation_failed: bool,
    pub attestation_missing: bool,
    pub never_released: bool,
    pub hosting: bool,
    pub old_version: bool,
    pub network: bool,
    pub device_gone: bool,
}

impl Evidence {
    fn of(look: &Look, standing: &Standing, jump: Option<Jump>) -> Self {
        let jump = jump.unwrap_or_default();
        // A device that goes on is its owner's, whatever it was updated to; but tools copy its id.
        let continues = jump.same_device && !standing.tool;
        Self {
            tool: standing.tool,
            tls: standing.tls && !continues,
            other_program: jump.family && standing.usual_agent && look.is_program_of_apps() && !jump.same_device,
            attestation_failed: standing.attestation_failed,
            attestation_missing: standing.attestation_missing,
            never_released: standing.never_released,
            hosting: standing.hosting && look.hosting,
            old_version: standing.old_version,
            network: jump.network && !continues && (jump.program || jump.device_gone),
            device_gone: jump.device_gone,
        }
    }

    fn strong(self) -> usize {
        let attestation = self.attestation_failed || self.attestation_missing;
        [self.tool, self.tls, self.other_program, attestation, self.never_released].into_iter().filter(|piece| *piece).count()
    }

    fn weak(self) -> usize {
        [self.hosting, self.old_version, self.network, self.device_gone].into_iter().filter(|piece| *piece).count()
    }

    /// The pieces in words.
    pub fn words(self) -> String {
        let all = [
            (self.tool, "a script or bare library as user agent"),
            (self.tls, "a TLS client that the app never has"),
            (self.other_program, "another program than the session's"),
            (self.attestation_failed, "a failed attestation"),
            (self.attestation_missing, "no attestation where nearly all have it"),
            (self.never_released, "a version that was never released"),
            (self.hosting, "a hosting network"),
            (self.old_version, "an old version that nobody else has"),
            (self.network, "another network than the app's"),
            (self.device_gone, "without the app's device"),
        ];
        names_of(&all)
    }

    /// How many pieces there are.
    pub fn count(self) -> usize {
        self.strong() + self.weak()
    }
}

/// What explains the evidence, or that there is too little of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Explained {
    pub gate: &'static str,
    pub evidence: Evidence,
}

/// There is too little evidence.
pub(super) const BELOW_LIMIT: &str = "below_limit";

/// Judges one event; an error if there is nothing to say.
pub(super) fn judge(look: &Look, standing: &Standing, jump: Option<Jump>) -> Result<Verdict, Explained> {
    let evidence = Evidence::of(look, standing, jump);
    if evidence == Evidence::default() {
        return Err(Explained { gate: BELOW_LIMIT, evidence });
    }
    let (strong, weak) = (evidence.strong(), evidence.weak());
    let several = strong >= 2 || (strong == 1 && evidence.hosting && weak >= 2) || ((evidence.tool || evidence.never_released) && weak > 0);
    // One cause explains them all: a page within the app, an old phone, a company's own programs and proxies.
    let is_page = look.program == Program::PhoneBrowser && !look.hosting && !look.tunnel;
    // An old phone's sessions were its own from the start.
    let was_anothers = jump.is_some_and(|jump| jump.program && !jump.same_device);
    let is_old_phone = evidence.old_version && !evidence.tool && !look.hosting && !was_anothers;
    let causes = [
        (is_page, "page_within_app"),
        (is_old_phone, "old_phone"),
        (look.corporate, "corporate_network"),
        (standing.own_oddity, "own_oddity"),
    ];
    let cause = causes.into_iter().find(|(is, _)| *is).map(|(_, gate)| gate);
    if several && cause.is_none() {
        let hit = look.done && jump.is_some_and(|jump| jump.network && (jump.program || jump.device_gone));
        let severity = match hit {
            true if look.changes() => Severity::Critical,
            true => Severity::High,
            false => Severity::Medium,
        };
        return Ok(Verdict { severity, hit, evidence });
    }
    let is_odd = evidence.tls && !standing.usual_agent && matches!(look.program, Program::Named | Program::Phone | Program::Silent);
    let tells = evidence.tool || evidence.attestation_failed || evidence.never_released || is_odd || several;
    if tells && !standing.own_oddity && !is_page {
        return Ok(Verdict { severity: Severity::Low, hit: false, evidence });
    }
    let gate = cause.filter(|_| several).unwrap_or(BELOW_LIMIT);
    Err(Explained { gate, evidence })
}
