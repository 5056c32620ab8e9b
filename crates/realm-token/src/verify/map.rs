//! Maps of claims, read strictly: every claim at most once, and of the right type and size.

use alloc::string::String;
use alloc::vec::Vec;

use coset::cbor::de::from_reader;
use coset::cbor::value::Value;

use super::{Error, Part};
use crate::claims::HashName;

/// The only data item in `bytes`.
pub(super) fn read(what: &'static str, bytes: &[u8]) -> Result<Value, Error> {
    let mut rest = bytes;
    let value = from_reader(&mut rest).map_err(|_| Error::Malformed { what })?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(Error::Trailing {
            what,
            count: rest.len(),
        })
    }
}

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
        let mut keys: Vec<i128> = entries
            .iter()
            .filter_map(|(key, _)| key.as_integer().map(i128::from))
            .collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::DuplicateClaim {
                part,
                key: twice[0],
            });
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
        HashName::from_name(&name)
            .ok_or(self.wrong(claim, "the name of a hash algorithm that is known here"))
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
