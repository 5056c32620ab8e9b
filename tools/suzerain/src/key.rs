//! Platform attestation keys, as files and as the development identity.

use std::path::Path;

use cca_abi::firmware::SEED_SIZE;
use realm_token::development;
use realm_token::sign::instance_id;
use realm_token::verify::{Curve, PublicKey};
use toolbox::firmware::{self, SEED};

use crate::failure::Failure;
use crate::{file, hex};

/// Whose platform a token must be of.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The platform's attestation key.
    pub(crate) key: PublicKey,
    /// Where that comes from.
    pub(crate) whose: String,
    /// The instance id of the platform that has it, if that is known.
    pub(crate) instance_id: Option<[u8; 33]>,
    /// The implementation id of platforms of its kind, if that is known.
    pub(crate) implementation_id: Option<[u8; 32]>,
}

impl Identity {
    /// That of whoever has the key in this file. Which platform that is, others say.
    ///
    /// # Errors
    ///
    /// When there is no key in it.
    pub(crate) fn of_key(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let key = parse(&file::read(path)?).ok_or_else(|| {
            Failure::input(format!(
                "{shown} is no public key on P-384 or P-256 (PEM, DER, JWK or an uncompressed point)"
            ))
        })?;
        Ok(Self {
            key,
            whose: shown.to_string(),
            instance_id: None,
            implementation_id: None,
        })
    }

    /// The development identity, with what its key is worth: that of `seed`, else of the seed in the environment, else of the one
    /// that everybody knows.
    ///
    /// # Errors
    ///
    /// When the seed is none.
    pub fn development(seed: Option<&[u8]>) -> Result<Self, Failure> {
        let seed: [u8; SEED_SIZE] = match seed {
            Some(seed) => seed.try_into().map_err(|_| {
                let message = format!("--identity-seed has {} bytes, not {SEED_SIZE}", seed.len());
                Failure::input(message)
            })?,
            None => {
                firmware::identity()
                    .map_err(|error| Failure::input(error.to_string()))?
                    .seed
            }
        };
        let whose = if seed == development::DEFAULT_SEED {
            "the development identity, which is no secret".to_owned()
        } else {
            format!("the identity of the seed in {SEED} or --identity-seed")
        };
        let point = development::platform_key(&seed).public_key();
        let key =
            PublicKey::from_point(&point).ok_or_else(|| Failure::input("the seed gives no key"))?;
        Ok(Self {
            key,
            whose,
            instance_id: Some(instance_id(&point)),
            implementation_id: Some(development::IMPLEMENTATION_ID),
        })
    }
}

/// A public key in any of the usual forms.
fn parse(bytes: &[u8]) -> Option<PublicKey> {
    if let Some(key) = PublicKey::from_point(bytes).or_else(|| PublicKey::from_der(bytes)) {
        return Some(key);
    }
    let text = str::from_utf8(bytes).ok()?.trim();
    if text.starts_with('{') {
        return from_jwk(text);
    }
    PublicKey::from_pem(text).or_else(|| PublicKey::from_point(&hex::parse(text).ok()?))
}

fn from_jwk(text: &str) -> Option<PublicKey> {
    let jwk: serde_json::Value = serde_json::from_str(text).ok()?;
    let curve = match jwk["crv"].as_str()? {
        "P-256" => Curve::P256,
        "P-384" => Curve::P384,
        _ => return None,
    };
    let coordinate = |name| from_base64url(jwk[name].as_str()?);
    PublicKey::from_coordinates(curve, &coordinate("x")?, &coordinate("y")?)
}

/// Base64 with the alphabet for addresses and without padding (RFC 4648, section 5).
fn from_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0 && count < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The platform key of Veraison's samples.
    const JWK: &str = r#"{"kty":"EC","crv":"P-384",
        "x":"IShnxS4rlQiwpCCpBWDzlNLfqiG911FP8akBr-fh94uxHU5m-Kijivp2r2oxxN6M",
        "y":"hM4tr8mWQli1P61xh3T0ViDREbF26DGOEYfbAjWjGNN7pZf-6A4OTHYqEryz6m7U"}"#;
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEIShnxS4rlQiwpCCpBWDzlNLfqiG911FP\n\
        8akBr+fh94uxHU5m+Kijivp2r2oxxN6MhM4tr8mWQli1P61xh3T0ViDREbF26DGO\n\
        EYfbAjWjGNN7pZf+6A4OTHYqEryz6m7U\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn all_forms_give_the_same_key() {
        let key = parse(JWK.as_bytes()).unwrap();
        assert_eq!(parse(PEM.as_bytes()).unwrap(), key);
        assert_eq!(parse(&key.point()).unwrap(), key);
        assert_eq!(parse(hex::show(&key.point()).as_bytes()).unwrap(), key);
        for wrong in [
            "",
            "{}",
            &JWK.replace("P-384", "P-256"),
            &JWK.replace("-fh", "-fi"),
            &PEM.replace("YHK", "YHL"),
        ] {
            assert!(parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_seed_has_32_bytes() {
        assert!(Identity::development(Some(&[1; 32])).is_ok());
        assert!(Identity::development(Some(&[1; 31])).is_err());
    }
}
