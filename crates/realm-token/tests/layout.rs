//! The bytes of a token, against sizes, offsets and digests that others published.

use cca_abi::rmi::HashAlgorithm;
use realm_token::sign::{Key, binding, digest_to_sign};
use realm_token::{
    CcaToken, CoseKey, Lifecycle, PLATFORM_TOKEN_MAX, PlatformClaims, REALM_PAYLOAD_MAX,
    REALM_TOKEN_MAX, RealmClaims, Sign1, SignaturePrefix, SoftwareComponent, TOKEN_MAX,
    development,
};

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().unwrap()
}

/// The key that TF-A's QEMU platform hands out for tests.
fn sample_key() -> Key {
    Key::from_scalar(&hex(
        "2011c7f03cee4325176e524f033c0ce1e21a76e6c1a4f0b839aa1df61e0e8a5c8a05740f9b69efa7eb1a4185bd117f68",
    ))
    .unwrap()
}

fn realm_claims(hash_algo: HashAlgorithm) -> RealmClaims {
    RealmClaims {
        challenge: [0xc1; 64],
        rpv: [0xc2; 64],
        rim: [0xc3; 64],
        rems: [[0xe0; 64], [0xe1; 64], [0xe2; 64], [0xe3; 64]],
        hash_algo,
        public_key: sample_key().public_key(),
    }
}

#[test]
fn a_key_is_encoded_and_bound_like_the_sample() {
    let key = sample_key();
    let expected: [u8; 107] = hex(
        "a40102200221583076f988091be585ed41801aecfab858548c63057e16b0e676120bbd0d2f9c29e056c5d41a0130eb9c21517899dc2314\
         6b22583028e1b062bd3ea4b315fd219f1cbb528cb6e74ca49be16773734f61a1ca61031b2bbf3d918f2f94ffc4228e50919544ae",
    );
    assert_eq!(CoseKey::from_point(&key.public_key()).as_bytes(), &expected);
    assert_eq!(
        binding(&key.public_key()),
        hex("0d22e08a98469058486318283489bdb36f09dbefeb1864df433fa6e54ea2d711")
    );
}

#[test]
fn a_realm_payload_has_its_claims_where_the_reference_has_them() {
    for (algorithm, name, size, total) in [
        (HashAlgorithm::Sha256, b"\x67sha-256", 32, 481),
        (HashAlgorithm::Sha512, b"\x67sha-512", 64, 641),
    ] {
        let mut buffer = [0; REALM_PAYLOAD_MAX];
        let len = realm_claims(algorithm).encode(&mut buffer).unwrap();
        let payload = &buffer[..len];
        assert_eq!(len, total);
        assert_eq!(payload[..4], bytes("a80a5840"));
        assert_eq!(payload[68..73], bytes("19accb5840"));
        assert_eq!(payload[137..142], bytes("19accd586b"));
        assert_eq!(payload[249..252], bytes("19accc"));
        assert_eq!(&payload[252..260], name);
        assert_eq!(payload[260..263], bytes("19acd0"));
        assert_eq!(&payload[263..271], b"\x67sha-256");
        assert_eq!(payload[271..276], bytes("190109781c"));
        assert_eq!(&payload[276..304], b"tag:arm.com,2023:realm#1.0.0");
        assert_eq!(payload[304..308], bytes("19acce58"));
        assert_eq!(payload[308], size as u8);
        assert_eq!(payload[309..309 + size], vec![0xc3; size]);
        assert_eq!(payload[309 + size..313 + size], bytes("19accf84"));
        let rems = &payload[313 + size..];
        for (index, rem) in rems.chunks(size + 2).enumerate() {
            assert_eq!(rem[..2], [0x58, size as u8]);
            assert_eq!(rem[2..], vec![0xe0 + index as u8; size]);
        }
    }
}

#[test]
fn a_buffer_one_byte_too_small_is_refused() {
    let mut buffer = [0; REALM_PAYLOAD_MAX];
    let claims = realm_claims(HashAlgorithm::Sha512);
    assert!(claims.encode(&mut buffer[..REALM_PAYLOAD_MAX - 1]).is_err());
    assert_eq!(claims.encode(&mut buffer), Ok(REALM_PAYLOAD_MAX));
}

#[test]
fn what_is_signed_is_the_signature_structure() {
    assert_eq!(
        SignaturePrefix::new(481).as_bytes(),
        bytes("846a5369676e61747572653144a1013822405901e1")
    );
    // The same digest in steps of the caller's own.
    use sha2::{Digest, Sha384};
    let payload = [7; 300];
    let mut hasher = Sha384::new();
    hasher.update(SignaturePrefix::new(payload.len()).as_bytes());
    for part in payload.chunks(17) {
        hasher.update(part);
    }
    assert_eq!(
        digest_to_sign(&payload),
        <[u8; 48]>::from(hasher.finalize())
    );
}

#[test]
fn a_whole_token_is_the_same_in_parts_of_any_size() {
    let mut payload = [0; REALM_PAYLOAD_MAX];
    let len = realm_claims(HashAlgorithm::Sha256)
        .encode(&mut payload)
        .unwrap();
    let signature = sample_key().sign(&payload[..len]);
    let realm = Sign1 {
        payload: &payload[..len],
        signature: &signature,
    };
    assert_eq!(realm.size(), 590);
    // A platform token of the size of the published sample.
    let platform = [0xd2; 1518];
    let token = CcaToken {
        platform: &platform,
        realm,
    };
    assert_eq!(token.size(), 2124);
    let mut whole = [0; TOKEN_MAX];
    assert_eq!(token.encode(&mut whole), Ok(2124));
    let whole = &whole[..2124];
    assert_eq!(whole[..10], bytes("d9018fa219acca5905ee"));
    assert_eq!(whole[1528..1534], bytes("19acd159024e"));
    assert_eq!(whole[1534..1542], bytes("d28444a1013822a0"));
    for size in [1, 7, 64, 1000, 2124, 4096] {
        let mut read = Vec::new();
        let mut part = vec![0; size];
        loop {
            let copied = token.read(read.len(), &mut part);
            if copied == 0 {
                break;
            }
            read.extend_from_slice(&part[..copied]);
        }
        assert_eq!(read, whole, "in parts of {size}");
    }
    assert!(token.encode(&mut [0; 2123]).is_err());
}

#[test]
fn the_largest_platform_token_still_fits() {
    let mut payload = [0; REALM_PAYLOAD_MAX];
    let len = realm_claims(HashAlgorithm::Sha512)
        .encode(&mut payload)
        .unwrap();
    let realm = Sign1 {
        payload: &payload[..len],
        signature: &[0; 96],
    };
    assert_eq!(realm.size(), REALM_TOKEN_MAX);
    let platform = [0; PLATFORM_TOKEN_MAX];
    let token = CcaToken {
        platform: &platform,
        realm,
    };
    assert_eq!(token.size(), TOKEN_MAX);
}

#[test]
fn a_platform_payload_grows_by_its_components() {
    let component = SoftwareComponent {
        kind: "RMM",
        measurement: [1; 32],
        version: "0.1.0",
        signer_id: [2; 32],
    };
    let sizes: Vec<usize> = [1, 2]
        .map(|count| {
            let components = vec![component; count];
            let claims = PlatformClaims {
                challenge: &[3; 32],
                implementation_id: [4; 32],
                instance_id: [1; 33],
                configuration: &[0xcf; 4],
                lifecycle: Lifecycle::NON_PLATFORM_DEBUG,
                components: &components,
                verification_service: "https://example.invalid/verify",
            };
            claims.encode(&mut [0; 1024]).unwrap()
        })
        .to_vec();
    // Map of 5; "RMM", digest, "0.1.0", signer, "sha-256".
    assert_eq!(sizes[1] - sizes[0], 1 + 5 + 35 + 7 + 35 + 9);
}

#[test]
fn a_seed_gives_always_the_same_key_and_another_seed_another() {
    let default = development::platform_key(&development::DEFAULT_SEED);
    let again = development::platform_key(&development::DEFAULT_SEED);
    let other = development::platform_key(&[0; 32]);
    assert_eq!(default.scalar(), again.scalar());
    assert_ne!(default.public_key(), other.public_key());
    // Computed with Python's hashlib: the firmware of one release must not stop to agree with the tool of the next.
    assert_eq!(
        default.scalar(),
        hex(
            "67deb53f526b7492886e829fad3e4a0e3bbb26ac34c58e3424868d2d620da882c8d757701ec4a71f29b4b51508f8d32c"
        )
    );
}
