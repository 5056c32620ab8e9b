//! Tokens to test with.
#![allow(dead_code, reason = "every test file uses a part of this")]

use cca_abi::rmi::HashAlgorithm;
use realm_token::sign::{Key, binding, instance_id};
use realm_token::{
    CcaToken, Lifecycle, PlatformClaims, RealmClaims, Sign1, SoftwareComponent, TOKEN_MAX,
};

pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).unwrap() as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2));
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

pub(crate) fn hex<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().unwrap()
}

pub(crate) fn realm_claims(hash_algo: HashAlgorithm, key: &Key) -> RealmClaims {
    RealmClaims {
        challenge: [0xc1; 64],
        rpv: [0xc2; 64],
        rim: [0xc3; 64],
        rems: [[0xe0; 64], [0xe1; 64], [0xe2; 64], [0xe3; 64]],
        hash_algo,
        public_key: key.public_key(),
    }
}

/// The signed platform token of a platform that vouches for `realm_key`.
pub(crate) fn platform_token(platform_key: &Key, realm_key: &Key) -> Vec<u8> {
    platform_token_in(platform_key, realm_key, Lifecycle::SECURED)
}

/// That of a platform in this state.
pub(crate) fn platform_token_in(
    platform_key: &Key,
    realm_key: &Key,
    lifecycle: Lifecycle,
) -> Vec<u8> {
    let component = |kind, measurement| SoftwareComponent {
        kind,
        measurement: [measurement; 32],
        version: "0.1.0",
        signer_id: [9; 32],
    };
    let claims = PlatformClaims {
        challenge: &binding(&realm_key.public_key()),
        implementation_id: [4; 32],
        instance_id: instance_id(&platform_key.public_key()),
        configuration: &[0xcf; 4],
        lifecycle,
        components: &[component("root monitor", 7), component("RMM", 8)],
        verification_service: "https://example.invalid/verify",
    };
    let mut payload = [0; TOKEN_MAX];
    let len = claims.encode(&mut payload).unwrap();
    let message = Sign1 {
        payload: &payload[..len],
        signature: &platform_key.sign(&payload[..len]),
    };
    let mut buffer = [0; TOKEN_MAX];
    let len = message.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// A whole token.
pub(crate) fn token(platform_key: &Key, realm_key: &Key, hash_algo: HashAlgorithm) -> Vec<u8> {
    let mut payload = [0; TOKEN_MAX];
    let len = realm_claims(hash_algo, realm_key)
        .encode(&mut payload)
        .unwrap();
    let signature = realm_key.sign(&payload[..len]);
    let platform = platform_token(platform_key, realm_key);
    let token = CcaToken {
        platform: &platform,
        realm: Sign1 {
            payload: &payload[..len],
            signature: &signature,
        },
    };
    let mut buffer = [0; TOKEN_MAX];
    let len = token.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}
