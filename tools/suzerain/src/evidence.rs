//! What a token says, whether it is to be believed, and how both are shown.

use realm_token::verify::{self, Evidence, Expected, Step};
use serde::Serialize;

use crate::failure::Failure;
use crate::foreign::{json_or_error, printable};
use crate::hex;
use crate::key::Identity;

/// What a token says that nothing here has an opinion of.
const NOT_JUDGED: [&str; 4] = [
    "software components",
    "configuration",
    "personalization value",
    "extensible measurements",
];

/// What a token is verified against. Nothing of it comes from whoever shows the token.
#[derive(Debug)]
pub struct Trust {
    /// Whose platform it must be.
    pub identity: Identity,
    /// The challenge, if it is known.
    pub challenge: Option<Vec<u8>>,
    /// The realm initial measurement that the realm must have, if that is known.
    pub rim: Option<Vec<u8>>,
}

/// What came of verifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// Everything was checked and is right.
    Verified,
    /// What was checked is right.
    Incomplete,
    /// Something is wrong.
    Refused,
}

/// A token that was decoded and verified as far as that goes.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Whether all checks were taken and passed.
    verified: bool,
    /// `verified`, `incomplete` (some checks had nothing to compare with), or `refused`.
    verdict: Verdict,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Every check.
    checks: Vec<Check>,
    /// The names of those that had nothing to compare with.
    not_checked: Vec<&'static str>,
    /// What the token says that is shown only.
    not_judged: [&'static str; NOT_JUDGED.len()],
    /// What the platform says.
    platform: Platform,
    /// What the RMM says.
    realm: Realm,
}

/// A check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    /// `ok`, `not checked`, or what is wrong.
    result: String,
    #[serde(skip)]
    note: String,
}

#[derive(Debug, Serialize)]
struct Platform {
    profile: String,
    challenge: String,
    implementation_id: String,
    instance_id: String,
    configuration: String,
    lifecycle: String,
    hash: &'static str,
    verification_service: Option<String>,
    components: Vec<Component>,
}

#[derive(Debug, Serialize)]
struct Component {
    kind: Option<String>,
    version: Option<String>,
    measurement: String,
    signer_id: String,
}

#[derive(Debug, Serialize)]
struct Realm {
    profile: Option<String>,
    challenge: String,
    personalization_value: String,
    hash: &'static str,
    initial_measurement: String,
    extensible_measurements: Vec<String>,
    public_key: String,
    public_key_hash: &'static str,
}

impl Checked {
    /// Decodes a token and takes all checks.
    ///
    /// # Errors
    ///
    /// When it cannot be decoded; a check that fails is no error here.
    pub fn new(token: &[u8], trust: &Trust) -> Result<Self, Failure> {
        let evidence = Evidence::decode(token)
            .map_err(|error| Failure::refused(format!("the token cannot be decoded: {error}")))?;
        let identity = &trust.identity;
        let expected = Expected {
            platform_key: Some(&identity.key),
            instance_id: identity.instance_id.as_ref(),
            implementation_id: identity.implementation_id.as_ref(),
            challenge: trust.challenge.as_deref(),
            rim: trust.rim.as_deref(),
        };
        let mut not_checked = Vec::new();
        let mut error = None;
        let mut take = |step: Step| {
            let (result, note) = match evidence.check(step, &expected) {
                Ok(verify::Check::Passed) => ("ok".to_owned(), passed(step, identity)),
                Ok(verify::Check::NotChecked) => {
                    not_checked.push(step.name());
                    ("not checked".to_owned(), unknown(step).to_owned())
                }
                Err(why) => {
                    let why = explain(why);
                    error.get_or_insert(why.clone());
                    (why, String::new())
                }
            };
            Check {
                name: step.name(),
                result,
                note,
            }
        };
        let checks = Step::ALL.into_iter().map(&mut take).collect();
        let verdict = match (&error, not_checked.is_empty()) {
            (Some(_), _) => Verdict::Refused,
            (None, true) => Verdict::Verified,
            (None, false) => Verdict::Incomplete,
        };
        Ok(Self {
            verified: verdict == Verdict::Verified,
            verdict,
            error,
            checks,
            not_checked,
            not_judged: NOT_JUDGED,
            platform: Platform::new(&evidence.platform),
            realm: Realm::new(&evidence.realm),
        })
    }

    /// The failure, if it did not verify.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.error
            .as_ref()
            .map(|error| Failure::refused(format!("the token is refused: {}", printable(error))))
    }

    /// The names of the checks that had nothing to compare with.
    pub(crate) fn not_checked(&self) -> &[&'static str] {
        &self.not_checked
    }

    /// The verdict in words.
    fn verdict(&self) -> String {
        match self.verdict {
            Verdict::Verified => "verified".to_owned(),
            Verdict::Incomplete => format!("NOT CHECKED: {}", self.not_checked.join(", ")),
            Verdict::Refused => "REFUSED".to_owned(),
        }
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        json_or_error(self)
    }

    /// The result and the claims that matter most, a few lines.
    pub fn digest(&self) -> String {
        let components: Vec<_> = self
            .platform
            .components
            .iter()
            .map(Component::title)
            .collect();
        let first = match &self.error {
            None => format!("attestation: {}", self.verdict()),
            Some(error) => format!("attestation: REFUSED, {}", printable(error)),
        };
        format!(
            "{first}\n  platform  {}, {}\n  identity  {}\n  realm     {}",
            self.platform.lifecycle,
            components.join(", "),
            self.checks
                .first()
                .map(|check| printable(&check.note))
                .unwrap_or_default(),
            self.realm.initial_measurement,
        )
    }

    /// Everything, for people.
    pub fn table(&self) -> String {
        let mut text = String::from("platform token\n");
        let mut line = |name: &str, value: &str| {
            text += &format!("  {name:<24} {}\n", printable(value));
        };
        let platform = &self.platform;
        line("profile", &platform.profile);
        line("challenge", &platform.challenge);
        line("implementation id", &platform.implementation_id);
        line("instance id", &platform.instance_id);
        line("configuration", &platform.configuration);
        line("life cycle", &platform.lifecycle);
        line("hash algorithm", platform.hash);
        line(
            "verification service",
            platform.verification_service.as_deref().unwrap_or("none"),
        );
        for component in &platform.components {
            line("software component", &component.title());
            line("  measurement", &component.measurement);
            line("  signer id", &component.signer_id);
        }
        text += "\nrealm token\n";
        let mut line = |name: &str, value: &str| {
            text += &format!("  {name:<24} {}\n", printable(value));
        };
        let realm = &self.realm;
        line("profile", realm.profile.as_deref().unwrap_or("none"));
        line("challenge", &realm.challenge);
        line("personalization value", &realm.personalization_value);
        line("hash algorithm", realm.hash);
        line("initial measurement", &realm.initial_measurement);
        for (index, measurement) in realm.extensible_measurements.iter().enumerate() {
            line(&format!("extensible measurement {index}"), measurement);
        }
        line("public key", &realm.public_key);
        line("public key hash", realm.public_key_hash);
        text += "\nchecks\n";
        for check in &self.checks {
            let note = match check.note.as_str() {
                "" => String::new(),
                note => format!(" ({})", printable(note)),
            };
            text += &format!("  {:<24} {}{note}\n", check.name, printable(&check.result));
        }
        text += &format!("  {:<24} {}\n", "not judged", NOT_JUDGED.join(", "));
        text + &format!("\n{}", self.verdict())
    }
}

/// What a check that passed is worth.
fn passed(step: Step, identity: &Identity) -> String {
    match step {
        Step::PlatformSignature => format!("{}, {}", identity.key.curve(), identity.whose),
        _ => String::new(),
    }
}

/// What it means that there was nothing to compare with.
fn unknown(step: Step) -> &'static str {
    match step {
        Step::Challenge => "no challenge to expect, --challenge: the token may be an old one",
        Step::Measurement => "no measurement to expect, --rim: the realm may be any",
        Step::Instance => "no instance id that goes with the key, --instance-id",
        Step::Implementation => "no implementation id that goes with the key, --implementation-id",
        _ => "nothing to compare with",
    }
}

/// What is wrong, and what helps.
fn explain(error: verify::Error) -> String {
    let mut text = error.to_string();
    if let verify::Error::Measurement { found, .. } = error {
        text += &format!(
            "; `suzerain measure --expect {}` with the options of the run says what explains it",
            hex::show(&found)
        );
    }
    text
}

impl Platform {
    fn new(claims: &realm_token::verify::Platform) -> Self {
        let lifecycle = claims.lifecycle;
        let name = lifecycle.name().unwrap_or("undefined");
        Self {
            profile: claims.profile.clone(),
            challenge: hex::show(&claims.challenge),
            implementation_id: hex::show(&claims.implementation_id),
            instance_id: hex::show(&claims.instance_id),
            configuration: hex::show(&claims.configuration),
            lifecycle: format!("{name} ({:#06x})", lifecycle.0),
            hash: claims.hash.name(),
            verification_service: claims.verification_service.clone(),
            components: claims
                .components
                .iter()
                .map(|component| Component {
                    kind: component.kind.clone(),
                    version: component.version.clone(),
                    measurement: hex::show(&component.measurement),
                    signer_id: hex::show(&component.signer_id),
                })
                .collect(),
        }
    }
}

impl Component {
    fn title(&self) -> String {
        let kind = self.kind.as_deref().unwrap_or("unnamed");
        printable(&match &self.version {
            Some(version) => format!("{kind} {version}"),
            None => kind.to_owned(),
        })
    }
}

impl Realm {
    fn new(claims: &realm_token::verify::Realm) -> Self {
        Self {
            profile: claims.profile.clone(),
            challenge: hex::show(&claims.challenge),
            personalization_value: hex::show(&claims.rpv),
            hash: claims.hash.name(),
            initial_measurement: hex::show(&claims.rim),
            extensible_measurements: claims.rems.iter().map(|rem| hex::show(rem)).collect(),
            public_key: hex::show(&claims.public_key.point()),
            public_key_hash: claims.public_key_hash.name(),
        }
    }
}
