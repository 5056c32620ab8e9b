//! Each step of verifying compares with what the caller knows, and says when that is nothing.

mod common;

use cca_abi::rmi::HashAlgorithm;
use common::{realm_claims, token};
use realm_token::sign::{Key, instance_id};
use realm_token::verify::{Check, Evidence, Expected, PublicKey, Step, verify};
use realm_token::{CcaToken, Lifecycle, Sign1, TOKEN_MAX};

const CHALLENGE: [u8; 64] = [0xc1; 64];

fn platform_key() -> Key {
    Key::from_scalar(&[0x55; 48]).unwrap()
}

fn realm_key() -> Key {
    Key::from_scalar(&[0x17; 48]).unwrap()
}

fn good() -> Vec<u8> {
    token(&platform_key(), &realm_key(), HashAlgorithm::Sha256)
}

fn public(key: &Key) -> PublicKey {
    PublicKey::from_point(&key.public_key()).unwrap()
}

/// What the caller does not know is not checked, and that is said.
#[test]
fn what_was_not_given_is_not_checked() {
    let token = good();
    let evidence = Evidence::decode(&token).unwrap();
    let nothing = Expected::default();
    let left = [
        Step::PlatformSignature,
        Step::Instance,
        Step::Implementation,
        Step::Challenge,
        Step::Measurement,
    ];
    assert_eq!(evidence.verify(&nothing).unwrap(), left);
    for step in Step::ALL {
        let check = match left.contains(&step) {
            true => Check::NotChecked,
            false => Check::Passed,
        };
        assert_eq!(evidence.check(step, &nothing), Ok(check), "{step:?}");
    }
    let key = public(&platform_key());
    let all = Expected {
        platform_key: Some(&key),
        instance_id: Some(&instance_id(&platform_key().public_key())),
        implementation_id: Some(&[4; 32]),
        challenge: Some(&CHALLENGE),
        rim: Some(&[0xc3; 32]),
    };
    assert_eq!(evidence.verify(&all).unwrap(), []);
}

/// Each step that compares with something given fails when that is another thing, and says so.
#[test]
fn what_was_given_is_compared() {
    let evidence = Evidence::decode(&good()).unwrap();
    let other = public(&Key::from_scalar(&[0x33; 48]).unwrap());
    let nothing = Expected::default();
    for (step, expected, why) in [
        (
            Step::PlatformSignature,
            Expected {
                platform_key: Some(&other),
                ..nothing
            },
            "the signature of the platform token does not verify",
        ),
        (
            Step::Instance,
            Expected {
                instance_id: Some(&[1; 33]),
                ..nothing
            },
            "the platform is another one: its instance id is 01",
        ),
        (
            Step::Implementation,
            Expected {
                implementation_id: Some(&[5; 32]),
                ..nothing
            },
            "the platform is of another kind: its implementation id is 0404",
        ),
        (
            Step::Challenge,
            Expected {
                challenge: Some(&[0; 64]),
                ..nothing
            },
            "the token answers another challenge, so it may be an old one: c1c1",
        ),
        (
            Step::Measurement,
            Expected {
                rim: Some(&[0xc4; 32]),
                ..nothing
            },
            "the realm measured c3c3",
        ),
        // No prefix of a measurement is the measurement.
        (
            Step::Measurement,
            Expected {
                rim: Some(&[0xc3; 31]),
                ..nothing
            },
            "the realm measured c3c3",
        ),
    ] {
        let error = evidence.check(step, &expected).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
        assert_eq!(evidence.verify(&expected).unwrap_err().to_string(), error);
    }
}

/// A platform that is being debugged, provisioned or thrown away is nobody to trust, whoever has signed that.
#[test]
fn only_a_secured_platform_is_trusted() {
    let key = public(&platform_key());
    for state in [
        0x0000, 0x1000, 0x2000, 0x30ff, 0x3000, 0x4000, 0x5001, 0x60ff,
    ] {
        let platform = common::platform_token_in(&platform_key(), &realm_key(), Lifecycle(state));
        let mut payload = [0; 641];
        let len = realm_claims(HashAlgorithm::Sha256, &realm_key())
            .encode(&mut payload)
            .unwrap();
        let signature = realm_key().sign(&payload[..len]);
        let token = CcaToken {
            platform: &platform,
            realm: Sign1 {
                payload: &payload[..len],
                signature: &signature,
            },
        };
        let mut buffer = [0; TOKEN_MAX];
        let len = token.encode(&mut buffer).unwrap();
        let expected = Expected {
            platform_key: Some(&key),
            challenge: Some(&CHALLENGE),
            ..Expected::default()
        };
        match verify(&buffer[..len], &expected) {
            Ok(_) => assert_eq!(state >> 8, 0x30),
            Err(error) => {
                assert_ne!(state >> 8, 0x30);
                let error = error.to_string();
                assert!(error.contains("only `secured` is worth trust"), "{error}");
                assert!(error.contains(&format!("{state:#06x}")), "{error}");
            }
        }
    }
}
