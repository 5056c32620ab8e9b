//! Maps of claims, read strictly: every claim at most once, and of the right type and size.

use alloc::string::String;
use alloc::vec::Vec;

use coset::cbor::value::Value;

use super::strict::{are_labels, read};
use super::{Error, Part};
use crate::claims::HashName;

/// A claim: its key and its name for people.
pub(super) type Claim = (u32, &'static str);

/// Claims by their keys.
pub(super) struct Map {
    part: Part,
    entries: Vec<(Value, Value)>,
}

impl Map {
    pub(super) fn decode(part: Part, bytes: &[u8]) -> Result<Self, Error> {
        let what = match part {
            Part::Platform => "the payload of the platform token",
            Part::Realm => "the payload of the realm token",
        };
        Self::new(part, what, read(what, bytes)?)
    }

    pub(super) fn new(part: Part, what: &'static str, value: Value) -> Result<Self, Error> {
        let Value::Map(entries) = value else {
            return Err(Error::NoMap { what });
        };
        // That none is there twice, `read` has seen to.
        if !are_labels(&entries) {
            return Err(Error::NoLabel { what });
        }
        Ok(Self { part, entries })
    }

    /// Takes a claim out, if it is there.
    pub(super) fn optional(&mut self, claim: Claim) -> Option<Value> {
        let at = self
            .entries
            .iter()
            .position(|(key, _)| key.as_integer() == Some(claim.0.into()))?;
        Some(self.entries.swap_remove(at).1)
    }

    pub(super) fn value(&mut self, claim: Claim) -> Result<Value, Error> {
        self.optional(claim).ok_or(Error::MissingClaim {
            part: self.part,
            key: claim.0,
            name: claim.1,
        })
    }

    pub(super) fn bytes(&mut self, claim: Claim) -> Result<Vec<u8>, Error> {
        match self.value(claim)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong(claim, "a byte string")),
        }
    }

    pub(super) fn sized<const N: usize>(
        &mut self,
        claim: Claim,
        expected: &'static str,
    ) -> Result<[u8; N], Error> {
        self.bytes(claim)?
            .try_into()
            .map_err(|_| self.wrong(claim, expected))
    }

    /// A digest of 32, 48 or 64 bytes.
    pub(super) fn digest(&mut self, claim: Claim) -> Result<Vec<u8>, Error> {
        let value = self.value(claim)?;
        as_digest(value).ok_or(self.wrong(claim, "a digest of 32, 48 or 64 bytes"))
    }

    pub(super) fn text(&mut self, claim: Claim) -> Result<String, Error> {
        match self.value(claim)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong(claim, "text")),
        }
    }

    pub(super) fn optional_text(&mut self, claim: Claim) -> Result<Option<String>, Error> {
        match self.optional(claim) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(claim, "text")),
            None => Ok(None),
        }
    }

    pub(super) fn hash(&mut self, claim: Claim) -> Result<HashName, Error> {
        let name = self.text(claim)?;
        self.known_hash(claim, &name)
    }

    pub(super) fn optional_hash(&mut self, claim: Claim) -> Result<Option<HashName>, Error> {
        let name = self.optional_text(claim)?;
        name.map(|name| self.known_hash(claim, &name)).transpose()
    }

    fn known_hash(&self, claim: Claim, name: &str) -> Result<HashName, Error> {
        HashName::from_name(name)
            .ok_or(self.wrong(claim, "the name of a hash algorithm that is known here"))
    }

    /// Refuses claims that limit in time what the token says: there is no clock here, and who cannot check them must not pass over
    /// them (RFC 8392, section 3.1.4 and 3.1.5).
    pub(super) fn refuse_times(&mut self) -> Result<(), Error> {
        for claim in [(4, "exp"), (5, "nbf")] {
            if self.optional(claim).is_some() {
                return Err(self.wrong(claim, "checked here: there is no clock"));
            }
        }
        Ok(())
    }

    pub(super) fn array(&mut self, claim: Claim) -> Result<Vec<Value>, Error> {
        match self.value(claim)? {
            Value::Array(items) => Ok(items),
            _ => Err(self.wrong(claim, "an array")),
        }
    }

    pub(super) fn wrong(&self, claim: Claim, expected: &'static str) -> Error {
        Error::Claim {
            part: self.part,
            key: claim.0,
            name: claim.1,
            expected,
        }
    }
}

pub(super) fn as_digest(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) if matches!(bytes.len(), 32 | 48 | 64) => Some(bytes),
        _ => None,
    }
}
