//! Public keys and what they verify.

use alloc::vec::Vec;
use core::fmt;

use coset::cbor::value::Value;
use coset::iana::{Algorithm, Ec2KeyParameter, EllipticCurve, EnumI64, KeyOperation, KeyType};
use coset::{
    CborSerializable, CoseKey, Label, RegisteredLabel, RegisteredLabelWithPrivate as WithPrivate,
};
use p384::ecdsa::signature::Verifier;
use p384::pkcs8::DecodePublicKey;

use super::Error;
use super::strict::{are_labels, read};

/// An elliptic curve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curve {
    /// NIST P-256, for ES256.
    P256,
    /// NIST P-384, for ES384.
    P384,
}

impl Curve {
    /// The algorithm that keys on it are used with here.
    pub(super) const fn algorithm(self) -> &'static str {
        match self {
            Self::P256 => "ES256",
            Self::P384 => "ES384",
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        })
    }
}

/// What is wrong with a COSE_Key that is to verify a signature (RFC 9052, section 7; RFC 9053, sections 2.1 and 7.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a map of key parameters of the right types.
    #[error("it is no COSE_Key")]
    NoKey,
    /// `kty` is not EC2.
    #[error("its kty is not EC2")]
    Type,
    /// `crv` is neither P-256 nor P-384.
    #[error("its crv is neither P-256 nor P-384")]
    Curve,
    /// `x` or `y` is missing, of another size, or not on the curve.
    #[error("its coordinates are no point on its curve")]
    Point,
    /// `alg` restricts it to another algorithm.
    #[error("its alg is another one than that of its curve")]
    Algorithm,
    /// `key_ops` restricts it to other operations.
    #[error("its key_ops does not have `verify`")]
    Operations,
    /// It has its private part.
    #[error("it is a private key, so it is one no more")]
    Private,
}

impl From<KeyError> for Error {
    fn from(why: KeyError) -> Self {
        Self::KeyUse { why }
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
            65 => Self::from_sec1(point, Curve::P256),
            97 => Self::from_sec1(point, Curve::P384),
            _ => None,
        }
    }

    /// From the coordinates, big-endian. `None` if they have not the curve's size, or are not on it.
    #[must_use]
    pub fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Option<Self> {
        let size = curve.size();
        if x.len() != size || y.len() != size {
            return None;
        }
        Self::from_point(&[&[4], x, y].concat())
    }

    /// From a COSE_Key that is for verifying: what it says of its use is binding.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn from_cose(encoded: &[u8]) -> Result<Self, Error> {
        let map = read("the realm attestation key", encoded)?;
        if !map.as_map().is_some_and(|entries| are_labels(entries)) {
            return Err(KeyError::NoKey.into());
        }
        let key = CoseKey::from_slice(encoded).map_err(|_| KeyError::NoKey)?;
        if key.kty != RegisteredLabel::Assigned(KeyType::EC2) {
            return Err(KeyError::Type.into());
        }
        let parameter = |wanted: Ec2KeyParameter| {
            let label = Label::Int(wanted.to_i64());
            let mut parameters = key.params.iter();
            parameters
                .find(|(found, _)| *found == label)
                .map(|(_, value)| value)
        };
        if parameter(Ec2KeyParameter::D).is_some() {
            return Err(KeyError::Private.into());
        }
        let curve = parameter(Ec2KeyParameter::Crv).and_then(Value::as_integer);
        let (curve, algorithm) = match curve.map(i128::from) {
            Some(crv) if crv == i128::from(EllipticCurve::P_256.to_i64()) => {
                (Curve::P256, Algorithm::ES256)
            }
            Some(crv) if crv == i128::from(EllipticCurve::P_384.to_i64()) => {
                (Curve::P384, Algorithm::ES384)
            }
            _ => return Err(KeyError::Curve.into()),
        };
        let algorithm = WithPrivate::Assigned(algorithm);
        if key.alg.as_ref().is_some_and(|found| *found != algorithm) {
            return Err(KeyError::Algorithm.into());
        }
        let verify = RegisteredLabel::Assigned(KeyOperation::Verify);
        if !key.key_ops.is_empty() && !key.key_ops.contains(&verify) {
            return Err(KeyError::Operations.into());
        }
        let x = parameter(Ec2KeyParameter::X).and_then(Value::as_bytes);
        let x = x.filter(|x| x.len() == curve.size());
        let key = match (x, parameter(Ec2KeyParameter::Y)) {
            (Some(x), Some(Value::Bytes(y))) => Self::from_coordinates(curve, x, y),
            // The sign of `y` alone: a compressed point.
            (Some(x), Some(Value::Bool(sign))) => {
                Self::from_sec1(&[&[2 + u8::from(*sign)], x.as_slice()].concat(), curve)
            }
            _ => None,
        };
        key.ok_or(KeyError::Point.into())
    }

    /// From a point as SEC 1 encodes it, compressed or not.
    fn from_sec1(point: &[u8], curve: Curve) -> Option<Self> {
        match curve {
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .ok()
                .map(Self::P256),
            Curve::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .ok()
                .map(Self::P384),
        }
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
