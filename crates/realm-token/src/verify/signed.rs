//! Signed messages.

use alloc::format;
use alloc::string::ToString;

use coset::iana::Algorithm;
use coset::{CoseSign1, RegisteredLabelWithPrivate, TaggedCborSerializable};

use super::{Curve, Error, Part, PublicKey};

/// A COSE_Sign1 with a payload and an algorithm that is known here.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    part: Part,
    message: CoseSign1,
    curve: Curve,
}

impl Signed {
    pub(super) fn decode(part: Part, bytes: &[u8]) -> Result<Self, Error> {
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
                    None => "an algorithm that it does not name".to_string(),
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
                algorithm: match self.curve {
                    Curve::P256 => "ES256",
                    Curve::P384 => "ES384",
                },
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
