//! Signed messages: COSE_Sign1 (RFC 9052, sections 2 to 4).

use alloc::format;
use alloc::string::{String, ToString};

use coset::cbor::value::{Integer, Value};
use coset::iana::Algorithm;
use coset::{CoseSign1, RegisteredLabelWithPrivate, TaggedCborSerializable};

use super::strict::{are_labels, read};
use super::{Curve, Error, Part, PublicKey};

/// Label of the header parameter `crit`.
const CRIT: i128 = 2;

/// The header parameters that are known here, and so may be named in `crit`: `alg`, `crit`, `content type`, `kid`, `IV`,
/// `Partial IV` (RFC 9052, table 3). Two of them, `alg` and `crit`, are acted upon; the others mean nothing for whom the key of a
/// message is known.
const KNOWN: core::ops::RangeInclusive<i128> = 1..=6;

/// A COSE_Sign1 with a payload and an algorithm that is known here.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    part: Part,
    message: CoseSign1,
    curve: Curve,
}

impl Signed {
    pub(super) fn decode(part: Part, bytes: &[u8]) -> Result<Self, Error> {
        check_headers(part, &read(part.name(), bytes)?)?;
        let message = CoseSign1::from_tagged_slice(bytes).map_err(|_| Error::NoMessage { part })?;
        let curve = match &message.protected.header.alg {
            Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES384)) => Curve::P384,
            Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES256)) => Curve::P256,
            other => {
                let algorithm = match other {
                    Some(RegisteredLabelWithPrivate::Assigned(algorithm)) => {
                        format!("{algorithm:?}")
                    }
                    Some(other) => format!("{other:?}"),
                    None => "an algorithm that its protected header does not name".to_string(),
                };
                return Err(Error::Algorithm { part, algorithm });
            }
        };
        if message.payload.is_none() {
            return Err(Error::NoPayload { part });
        }
        Ok(Self {
            part,
            message,
            curve,
        })
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.message.payload.as_deref().unwrap_or_default()
    }

    pub(super) fn verify(&self, key: &PublicKey) -> Result<(), Error> {
        if key.curve() != self.curve {
            return Err(Error::KeyMismatch {
                part: self.part,
                algorithm: self.curve.algorithm(),
                curve: key.curve(),
            });
        }
        self.message.verify_signature(&[], |signature, signed| {
            if key.verifies(signed, signature) {
                Ok(())
            } else {
                Err(Error::Signature { part: self.part })
            }
        })
    }
}

/// Checks what the COSE library leaves to its users: labels in both headers, and `crit`.
fn check_headers(part: Part, message: &Value) -> Result<(), Error> {
    let no_message = Error::NoMessage { part };
    let Value::Tag(_, message) = message else {
        return Err(no_message);
    };
    let [
        Value::Bytes(protected),
        Value::Map(unprotected),
        Value::Bytes(_) | Value::Null,
        Value::Bytes(_),
    ] = message
        .as_array()
        .map(|items| &items[..])
        .unwrap_or_default()
    else {
        return Err(no_message);
    };
    let protected = match protected.as_slice() {
        // The short form of an empty map.
        [] => Value::Map([].into()),
        bytes => read(part.header(), bytes)?,
    };
    let Value::Map(protected) = protected else {
        return Err(no_message);
    };
    if !are_labels(&protected) || !are_labels(unprotected) {
        return Err(no_message);
    }
    let has =
        |entries: &[(Value, Value)], label: &Value| entries.iter().any(|(key, _)| key == label);
    if let Some((label, _)) = unprotected.iter().find(|(label, _)| has(&protected, label)) {
        let label = shown(label);
        return Err(Error::BothHeaders { part, label });
    }
    let crit = Value::Integer(Integer::from(CRIT as i64));
    if has(unprotected, &crit) {
        return Err(Error::CritUnprotected { part });
    }
    let crit = protected.iter().find(|(label, _)| *label == crit);
    let Some((_, crit)) = crit else {
        return Ok(());
    };
    let labels = crit.as_array().filter(|labels| !labels.is_empty());
    for label in labels.ok_or(Error::CritEmpty { part })? {
        if !has(&protected, label) {
            let label = shown(label);
            return Err(Error::CritAbsent { part, label });
        }
        if !label
            .as_integer()
            .is_some_and(|label| KNOWN.contains(&label.into()))
        {
            let label = shown(label);
            return Err(Error::CritUnknown { part, label });
        }
    }
    Ok(())
}

/// A label for people.
fn shown(label: &Value) -> String {
    match label {
        Value::Integer(number) => i128::from(*number).to_string(),
        Value::Text(text) => format!("{text:?}"),
        other => format!("{other:?}"),
    }
}
