//! Public keys and what they verify.

use alloc::vec::Vec;
use core::fmt;

use coset::cbor::value::Value;
use coset::iana::{Ec2KeyParameter, EllipticCurve, EnumI64, KeyType};
use coset::{CborSerializable, CoseKey, Label, RegisteredLabel};
use p384::ecdsa::signature::Verifier;
use p384::pkcs8::DecodePublicKey;

/// An elliptic curve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curve {
    /// NIST P-256, for ES256.
    P256,
    /// NIST P-384, for ES384.
    P384,
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        })
    }
}

/// A key that verifies signatures: a point on the curve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublicKey {
    /// On P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// On P-384.
    P384(p384::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// From an uncompressed point, 65 or 97 bytes. `None` if it is not on the curve.
    #[must_use]
    pub fn from_point(point: &[u8]) -> Option<Self> {
        if point.first() != Some(&4) {
            return None;
        }
        match point.len() {
            65 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .ok()
                .map(Self::P256),
            97 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .ok()
                .map(Self::P384),
            _ => None,
        }
    }

    /// From the coordinates, big-endian. `None` if they have not the curve's size, or are not on it.
    #[must_use]
    pub fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        let size = match curve {
            Curve::P256 => 32,
            Curve::P384 => 48,
        };
        if x.len() != size || y.len() != size {
            return None;
        }
        Self::from_point(&[&[4], x, y].concat())
    }

    /// From a COSE_Key with both coordinates.
    #[must_use]
    pub fn from_cose(encoded: &[u8]) -> Option<Self> {
        let key = CoseKey::from_slice(encoded).ok()?;
        if key.kty != RegisteredLabel::Assigned(KeyType::EC2) {
            return None;
        }
        let parameter = |wanted: Ec2KeyParameter| {
            let mut found = key
                .params
                .iter()
                .filter(|(label, _)| *label == Label::Int(wanted.to_i64()));
            let value = found.next().map(|(_, value)| value);
            value.filter(|_| found.next().is_none())
        };
        let curve = parameter(Ec2KeyParameter::Crv)?.as_integer()?;
        let curve = match i128::from(curve) {
            crv if crv == i128::from(EllipticCurve::P_256.to_i64()) => Curve::P256,
            crv if crv == i128::from(EllipticCurve::P_384.to_i64()) => Curve::P384,
            _ => return None,
        };
        let x = parameter(Ec2KeyParameter::X).and_then(Value::as_bytes)?;
        let y = parameter(Ec2KeyParameter::Y).and_then(Value::as_bytes)?;
        Self::from_coordinates(curve, x, y)
    }

    /// From a SubjectPublicKeyInfo structure, as PEM (`BEGIN PUBLIC KEY`).
    #[must_use]
    pub fn from_pem(pem: &str) -> Option<Self> {
        let p384 = p384::ecdsa::VerifyingKey::from_public_key_pem(pem).map(Self::P384);
        p384.ok().or_else(|| {
            p256::ecdsa::VerifyingKey::from_public_key_pem(pem)
                .ok()
                .map(Self::P256)
        })
    }

    /// From a SubjectPublicKeyInfo structure, as DER.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let p384 = p384::ecdsa::VerifyingKey::from_public_key_der(der).map(Self::P384);
        p384.ok().or_else(|| {
            p256::ecdsa::VerifyingKey::from_public_key_der(der)
                .ok()
                .map(Self::P256)
        })
    }

    /// The uncompressed point.
    #[must_use]
    pub fn point(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => key.to_sec1_point(false).as_bytes().to_vec(),
            Self::P384(key) => key.to_sec1_point(false).as_bytes().to_vec(),
        }
    }

    /// Its curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        match self {
            Self::P256(_) => Curve::P256,
            Self::P384(_) => Curve::P384,
        }
    }

    /// Whether `signature` (r, then s) is this key's over `message`: ES256 or ES384, as the curve has it.
    #[must_use]
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}
