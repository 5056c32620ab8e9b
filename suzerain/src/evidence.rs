//! What a token says, whether it is to be believed, and how both are shown.

use realm_token::verify::{Evidence, Expected, PublicKey, Step};
use realm_vmm::report::Report;
use serde::Serialize;

use crate::failure::Failure;
use crate::screen::printable;
use crate::{hex, key};

/// Verifies the token that a run reported, if it did, with the development identity: that of the images that the tool
/// builds. The realm initial measurement in it must be what the host computed.
pub(crate) fn of_report(report: &Report) -> Option<Result<Checked, Failure>> {
    let token = report.token.as_deref()?;
    Some(check_report(token, report))
}

fn check_report(token: &str, report: &Report) -> Result<Checked, Failure> {
    let bytes = |name: &str, text: &str| {
        hex::parse(text)
            .map_err(|why| Failure::machine(format!("the {name} in the report is {why}")))
    };
    let challenge = report.challenge.as_deref();
    let (key, whose) = key::development(None)?;
    let trust = Trust {
        key,
        whose,
        challenge: challenge
            .map(|challenge| bytes("challenge", challenge))
            .transpose()?,
        rim: Some(bytes("measurement", &report.rim)?),
    };
    Checked::new(&bytes("token", token)?, &trust)
}

/// What a token is verified against.
#[derive(Debug)]
pub(crate) struct Trust {
    /// The platform's attestation key.
    pub(crate) key: PublicKey,
    /// Where that comes from.
    pub(crate) whose: String,
    /// The challenge, if it is known.
    pub(crate) challenge: Option<Vec<u8>>,
    /// The realm initial measurement that the realm must have, if there is one.
    pub(crate) rim: Option<Vec<u8>>,
}

/// A token that was decoded and verified as far as that goes.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    /// Whether all checks passed.
    verified: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Every check.
    checks: Vec<Check>,
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
    pub(crate) fn new(token: &[u8], trust: &Trust) -> Result<Self, Failure> {
        let evidence = Evidence::decode(token)
            .map_err(|error| Failure::refused(format!("the token cannot be decoded: {error}")))?;
        let expected = Expected {
            platform_key: &trust.key,
            challenge: trust.challenge.as_deref(),
        };
        let mut checks: Vec<_> = Step::ALL
            .iter()
            .map(|step| {
                let unchecked = *step == Step::Challenge && trust.challenge.is_none();
                let (result, note) = match evidence.check(*step, &expected) {
                    Ok(()) if unchecked => (
                        "not checked",
                        "no challenge to expect: the token may be an old one",
                    ),
                    Ok(()) => ("ok", ""),
                    Err(error) => return Check::failed(step.name(), error.to_string()),
                };
                let note = match step {
                    Step::PlatformSignature => format!("{}, {}", trust.key.curve(), trust.whose),
                    _ => note.to_owned(),
                };
                Check {
                    name: step.name(),
                    result: result.to_owned(),
                    note,
                }
            })
            .collect();
        if let Some(rim) = &trust.rim {
            checks.push(check_rim(&evidence.realm.rim, rim));
        }
        let error = checks.iter().find(|check| !check.passed());
        let error = error.map(|check| check.result.clone());
        Ok(Self {
            verified: error.is_none(),
            error,
            checks,
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

    /// One line of JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| format!("{{\"verified\":false,\"error\":\"{error}\"}}"))
    }

    /// The result and the claims that matter most, a few lines.
    pub(crate) fn digest(&self) -> String {
        let components: Vec<_> = self
            .platform
            .components
            .iter()
            .map(Component::title)
            .collect();
        let first = match &self.error {
            None => "attestation: verified".to_owned(),
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
    pub(crate) fn table(&self) -> String {
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
        text + if self.verified {
            "\nverified"
        } else {
            "\nREFUSED"
        }
    }
}

impl Check {
    fn failed(name: &'static str, why: String) -> Self {
        Self {
            name,
            result: why,
            note: String::new(),
        }
    }

    fn passed(&self) -> bool {
        matches!(self.result.as_str(), "ok" | "not checked")
    }
}

fn check_rim(found: &[u8], expected: &[u8]) -> Check {
    const NAME: &str = "initial measurement";
    if found == expected {
        return Check {
            name: NAME,
            result: "ok".to_owned(),
            note: String::new(),
        };
    }
    let found = hex::show(found);
    let expected = hex::show(expected);
    Check::failed(
        NAME,
        format!(
            "the realm measured {found}, not {expected}: it was built from something else, or in another way; `suzerain \
             measure --expect {found}` with the options of the run says what explains it"
        ),
    )
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
