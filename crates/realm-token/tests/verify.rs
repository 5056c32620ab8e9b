//! Tokens verify, and anything that is wrong with one is found and named.

mod common;

use cca_abi::rmi::HashAlgorithm;
use common::{bytes, platform_token, realm_claims, token};
use realm_token::sign::{Key, instance_id};
use realm_token::verify::{Check, Curve, Error, Evidence, Expected, Part, PublicKey, Step, verify};
use realm_token::{
    CcaToken, HashName, Lifecycle, PLATFORM_PROFILE, REALM_PROFILE, RealmClaims, Sign1, TOKEN_MAX,
};

const CHALLENGE: [u8; 64] = [0xc1; 64];

fn platform_key() -> Key {
    realm_token::development::platform_key(&realm_token::development::DEFAULT_SEED)
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

fn expect<'a>(platform_key: &'a PublicKey, challenge: &'a [u8]) -> Expected<'a> {
    Expected {
        platform_key: Some(platform_key),
        challenge: Some(challenge),
        ..Expected::default()
    }
}

#[test]
fn what_was_built_is_what_is_decoded_and_it_verifies() {
    for (algorithm, name) in [
        (HashAlgorithm::Sha256, HashName::Sha256),
        (HashAlgorithm::Sha512, HashName::Sha512),
    ] {
        let token = token(&platform_key(), &realm_key(), algorithm);
        assert!(token.len() <= TOKEN_MAX);
        let key = public(&platform_key());
        let evidence = verify(&token, &expect(&key, &CHALLENGE)).unwrap();
        let claims = realm_claims(algorithm, &realm_key());
        let realm = &evidence.realm;
        assert_eq!(realm.profile.as_deref(), Some(REALM_PROFILE));
        assert_eq!(realm.challenge, claims.challenge);
        assert_eq!(realm.rpv, claims.rpv);
        assert_eq!(
            (realm.hash, realm.public_key_hash),
            (name, HashName::Sha256)
        );
        assert_eq!(realm.rim, claims.rim[..name.size()]);
        for (decoded, built) in realm.rems.iter().zip(&claims.rems) {
            assert_eq!(decoded[..], built[..name.size()]);
        }
        assert_eq!(realm.public_key, public(&realm_key()));
        assert_eq!(realm.public_key.point(), claims.public_key);
        let platform = &evidence.platform;
        assert_eq!(platform.profile, PLATFORM_PROFILE);
        assert_eq!(platform.implementation_id, [4; 32]);
        assert_eq!(
            platform.instance_id,
            instance_id(&platform_key().public_key())
        );
        assert_eq!(platform.configuration, [0xcf; 4]);
        assert_eq!(platform.lifecycle, Lifecycle::SECURED);
        assert_eq!(
            platform.verification_service.as_deref(),
            Some("https://example.invalid/verify")
        );
        assert_eq!(platform.components.len(), 2);
        assert_eq!(platform.components[1].kind.as_deref(), Some("RMM"));
        assert_eq!(platform.components[1].version.as_deref(), Some("0.1.0"));
        assert_eq!(platform.components[1].measurement, [8; 32]);
        assert_eq!(platform.components[1].signer_id, [9; 32]);
    }
}

/// The published samples, with the code that verifies our own.
#[test]
fn published_tokens_verify() {
    let eat = bytes(include_str!("data/eat.hex"));
    let key = PublicKey::from_pem(include_str!("data/eat.pem")).unwrap();
    assert_eq!(key.curve(), Curve::P256);
    let evidence = verify(&eat, &expect(&key, &b"AB".repeat(32))).unwrap();
    assert_eq!(evidence.platform.profile, PLATFORM_PROFILE);
    assert_eq!(evidence.platform.lifecycle, Lifecycle::SECURED);
    assert_eq!(evidence.platform.configuration, [1, 2, 3]);
    assert_eq!(evidence.platform.components.len(), 1);
    assert_eq!(evidence.realm.profile.as_deref(), Some(REALM_PROFILE));
    assert_eq!(evidence.realm.rpv[..], b"AD".repeat(32));
    assert_eq!(evidence.realm.rim, [0x43; 64]);
    assert_eq!(evidence.realm.public_key_hash, HashName::Sha512);

    let rmm = bytes(include_str!("data/rmm.hex"));
    let key = PublicKey::from_pem(include_str!("data/rmm.pem")).unwrap();
    assert_eq!(key.curve(), Curve::P384);
    let evidence = verify(&rmm, &expect(&key, &[0xab; 64])).unwrap();
    assert_eq!(evidence.platform.lifecycle, Lifecycle(0x3003));
    assert_eq!(evidence.platform.components.len(), 4);
    assert_eq!(
        evidence.platform.components[0].version.as_deref(),
        Some("3.4.2")
    );
    assert_eq!(evidence.platform.components[0].hash, Some(HashName::Sha256));
    assert_eq!(evidence.realm.profile, None);
    assert_eq!(evidence.realm.rim, [0; 32]);
}

/// Whatever byte of a token is changed, in whatever way: nobody accepts it.
#[test]
fn a_token_with_a_flipped_byte_is_refused() {
    let key = public(&platform_key());
    let pem = |text| PublicKey::from_pem(text).unwrap();
    let published = [
        (
            bytes(include_str!("data/eat.hex")),
            pem(include_str!("data/eat.pem")),
            b"AB".repeat(32).try_into().unwrap(),
        ),
        (
            bytes(include_str!("data/rmm.hex")),
            pem(include_str!("data/rmm.pem")),
            [0xab; 64],
        ),
    ];
    let samples = [(good(), key, CHALLENGE)].into_iter().chain(published);
    for (token, key, challenge) in samples {
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(
                verify(&changed, &expect(&key, &challenge)).is_err(),
                "byte {at}"
            );
        }
    }
}

#[test]
fn a_token_that_ends_early_is_refused() {
    let token = good();
    let key = public(&platform_key());
    for len in 0..token.len() {
        assert!(
            verify(&token[..len], &expect(&key, &CHALLENGE)).is_err(),
            "{len} bytes"
        );
    }
    let longer = [&token[..], &[0]].concat();
    assert_eq!(
        Evidence::decode(&longer).unwrap_err().to_string(),
        "1 bytes follow the token"
    );
}

#[test]
fn a_changed_claim_breaks_its_signature() {
    let token = good();
    let key = public(&platform_key());
    for (claim, part) in [(&[0xc3; 32][..], Part::Realm), (&[8; 32], Part::Platform)] {
        let at = token
            .windows(claim.len())
            .position(|window| window == claim)
            .unwrap();
        let mut changed = token.clone();
        changed[at] ^= 1;
        assert_eq!(
            verify(&changed, &expect(&key, &CHALLENGE)).unwrap_err(),
            Error::Signature { part }
        );
    }
}

#[test]
fn a_wrong_platform_key_is_refused() {
    let other = Key::from_scalar(&[0x33; 48]).unwrap();
    let error = verify(&good(), &expect(&public(&other), &CHALLENGE)).unwrap_err();
    assert_eq!(
        error,
        Error::Signature {
            part: Part::Platform
        }
    );
    assert_eq!(
        error.to_string(),
        "the signature of the platform token does not verify with the platform key given: it was changed, or another key \
         signed it"
    );
    let p256 = PublicKey::from_pem(include_str!("data/eat.pem")).unwrap();
    let error = verify(&good(), &expect(&p256, &CHALLENGE)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the platform token is signed with ES384, but the key is of curve P-256"
    );
}

#[test]
fn a_wrong_challenge_is_refused() {
    let key = public(&platform_key());
    let error = verify(&good(), &expect(&key, &[0xc0; 64])).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the token answers another challenge"),
        "{error}"
    );
    // A short one is filled up with zeros, not with anything.
    let error = verify(&good(), &expect(&key, &CHALLENGE[..63])).unwrap_err();
    assert!(matches!(error, Error::Challenge { .. }));
    let error = verify(&good(), &expect(&key, &[0xc1; 65])).unwrap_err();
    assert_eq!(error, Error::ChallengeTooLong { size: 65 });
}

/// A realm token of another realm attestation key, genuine in itself, beside the platform's own token.
#[test]
fn a_realm_token_of_another_platform_is_refused() {
    let platform = platform_token(&platform_key(), &realm_key());
    let other = Key::from_scalar(&[0x44; 48]).unwrap();
    let mut payload = [0; 641];
    let len = realm_claims(HashAlgorithm::Sha256, &other)
        .encode(&mut payload)
        .unwrap();
    let token = join(&platform, &payload[..len], &other);
    let key = public(&platform_key());
    let evidence = Evidence::decode(&token).unwrap();
    let expected = expect(&key, &CHALLENGE);
    for step in [
        Step::PlatformSignature,
        Step::RealmSignature,
        Step::Challenge,
    ] {
        assert_eq!(evidence.check(step, &expected), Ok(Check::Passed));
    }
    let error = evidence.verify(&expected).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the platform token vouches for another realm attestation key"),
        "{error}"
    );
}

/// A realm token signed by another key than the one in it.
#[test]
fn a_realm_token_signed_by_somebody_else_is_refused() {
    let platform = platform_token(&platform_key(), &realm_key());
    let mut payload = [0; 641];
    let len = realm_claims(HashAlgorithm::Sha256, &realm_key())
        .encode(&mut payload)
        .unwrap();
    let other = Key::from_scalar(&[0x44; 48]).unwrap();
    let token = join(&platform, &payload[..len], &other);
    let key = public(&platform_key());
    assert_eq!(
        verify(&token, &expect(&key, &CHALLENGE)).unwrap_err(),
        Error::Signature { part: Part::Realm }
    );
}

fn join(platform: &[u8], payload: &[u8], signer: &Key) -> Vec<u8> {
    let signature = signer.sign(payload);
    let token = CcaToken {
        platform,
        realm: Sign1 {
            payload,
            signature: &signature,
        },
    };
    let mut buffer = [0; TOKEN_MAX];
    let len = token.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// A realm payload, changed by `edit` and signed again, is refused with this message.
fn refused(edit: impl Fn(&mut Vec<u8>), why: &str) {
    let mut payload = vec![0; 641];
    let claims: RealmClaims = realm_claims(HashAlgorithm::Sha256, &realm_key());
    let len = claims.encode(&mut payload).unwrap();
    payload.truncate(len);
    edit(&mut payload);
    let platform = platform_token(&platform_key(), &realm_key());
    let error = Evidence::decode(&join(&platform, &payload, &realm_key())).unwrap_err();
    assert_eq!(error.to_string(), why);
}

fn replace(payload: &mut Vec<u8>, from: &[u8], to: &[u8]) {
    let at = payload
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    payload.splice(at..at + from.len(), to.iter().copied());
}

#[test]
fn claims_that_are_not_what_they_should_be_are_named() {
    refused(
        |payload| replace(payload, b"realm#1.0.0", b"realm#1.0.1"),
        "the profile of the realm token is \"tag:arm.com,2023:realm#1.0.1\", not \"tag:arm.com,2023:realm#1.0.0\"",
    );
    refused(
        |payload| replace(payload, &[0x19, 0xac, 0xcb], &[0x19, 0xac, 0xff]),
        "the realm token has no claim 44235 (personalization value)",
    );
    refused(
        |payload| replace(payload, &[0x19, 0xac, 0xcb], &[0x19, 0x00, 0x0a]),
        "the payload of the realm token has a map with a key that is there twice",
    );
    refused(
        |payload| {
            replace(payload, &[0x0a, 0x58, 0x40], &[0x0a, 0x58, 0x3f]);
            payload.remove(4);
        },
        "claim 10 (challenge) of the realm token is not a byte string of 64 bytes",
    );
    refused(
        |payload| {
            replace(
                payload,
                b"\x19\xac\xcc\x67sha-256",
                b"\x19\xac\xcc\x67sha-123",
            )
        },
        "claim 44236 (hash algorithm) of the realm token is not the name of a hash algorithm that is known here",
    );
    refused(
        |payload| replace(payload, b"\x67sha-256", b"\x47sha-256"),
        "claim 44236 (hash algorithm) of the realm token is not text",
    );
    // Five extensible measurements, the last one a number.
    refused(
        |payload| {
            replace(
                payload,
                &[0x19, 0xac, 0xcf, 0x84],
                &[0x19, 0xac, 0xcf, 0x85],
            );
            payload.push(0);
        },
        "claim 44239 (extensible measurements) of the realm token is not an array of four digests of 32, 48 or 64 bytes",
    );
    // A point that is not on the curve.
    refused(
        |payload| {
            let at = 142 + 8;
            payload[at] ^= 1;
        },
        "the realm attestation key is not to be used so: its coordinates are no point on its curve",
    );
    refused(
        |payload| payload.truncate(10),
        "the payload of the realm token is not well-formed CBOR",
    );
    refused(
        |payload| payload.push(0),
        "1 bytes follow the payload of the realm token",
    );
    refused(
        |payload| *payload = vec![0x80],
        "the payload of the realm token is no map",
    );
}

#[test]
fn what_is_no_token_is_refused_by_name() {
    for (bytes, why) in [
        (&[][..], "the token is not well-formed CBOR"),
        (
            &[0xa0],
            "this is no CCA token: it has no tag (399 was expected)",
        ),
        (
            &[0xd2, 0x80],
            "this is no CCA token: its tag is 18, not 399",
        ),
        (&[0xd9, 0x01, 0x8f, 0x80], "the token is no map"),
        (&[0xd9, 0x01, 0x8f, 0xa0], "there is no platform token"),
        (
            &[0xd9, 0x01, 0x8f, 0xa1, 0x01, 0x40],
            "the token has a part that is neither platform nor realm token",
        ),
        (
            &[0xd9, 0x01, 0x8f, 0xa1, 0x19, 0xac, 0xca, 0x01],
            "the platform token is no tagged COSE_Sign1 message",
        ),
        (
            &[0xd9, 0x01, 0x8f, 0xa1, 0x19, 0xac, 0xca, 0x40],
            "there is no realm token",
        ),
    ] {
        assert_eq!(Evidence::decode(bytes).unwrap_err().to_string(), why);
    }
}
