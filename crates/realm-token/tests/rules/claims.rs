//! RFC 8392, RFC 9711, and the profile of CCA tokens.

use super::*;

#[test]
fn claims() {
    keep(&[
        (
            "profile: another tag",
            |p| p.token = Some(|t| [&[0xd9, 0x02, 0x5a], &t[3..]].concat()),
            Err("its tag is 602, not 399"),
        ),
        (
            "profile: a third part",
            |p| p.outer = Some(|o| [o, vec![entry(1, int(1))]].concat()),
            Err("a part that is neither platform nor realm token"),
        ),
        (
            "profile: only the realm's part",
            |p| p.outer = Some(|o| o[1..].to_vec()),
            Err("there is no platform token"),
        ),
        (
            "profile: only the platform's part",
            |p| p.outer = Some(|o| o[..1].to_vec()),
            Err("there is no realm token"),
        ),
        (
            "RFC 8392, 1.1: keys of claims are integers and text",
            |p| p.realm.push((bytes(b"x"), int(1))),
            Err("a key that is neither a number nor text"),
        ),
        (
            "RFC 8392, 3: an unknown claim is ignored",
            |p| p.realm.push(entry(-70001, int(1))),
            Ok(()),
        ),
        (
            "RFC 8392, 3: an unknown claim with a name is ignored",
            |p| p.realm.push((text("x"), int(1))),
            Ok(()),
        ),
        (
            "RFC 8392, 3.1.4: a token that expires",
            |p| p.realm.push(entry(4, int(1))),
            Err("claim 4 (exp) of the realm token is not checked here"),
        ),
        (
            "RFC 8392, 3.1.5: a token that is not yet good",
            |p| p.platform.push(entry(5, int(1))),
            Err("claim 5 (nbf) of the platform token is not checked here"),
        ),
        (
            "RFC 9711, 4.1: a nonce has 8 to 64 bytes, the realm's 64",
            |p| set(&mut p.realm, 10, bytes(&[0xc1; 65])),
            Err("claim 10 (challenge) of the realm token is not a byte string of 64 bytes"),
        ),
        (
            "RFC 9711, 4.1: a short one",
            |p| set(&mut p.realm, 10, bytes(&[0xc1; 7])),
            Err("claim 10 (challenge) of the realm token"),
        ),
        (
            "RFC 9711, 4.1: several",
            |p| {
                set(
                    &mut p.realm,
                    10,
                    array(&[bytes(&[0xc1; 64]), bytes(&[0xc1; 64])]),
                )
            },
            Err("claim 10 (challenge) of the realm token"),
        ),
        (
            "profile: the platform's has 32, 48 or 64",
            |p| set(&mut p.platform, 10, bytes(&[0; 33])),
            Err("claim 10 (challenge) of the platform token is not a digest"),
        ),
        (
            "RFC 9711, 4.2.1: a UEID of another type",
            |p| set(&mut p.platform, 256, bytes(&[2; 33])),
            Err("claim 256 (instance id) of the platform token is not of type 0x01"),
        ),
        (
            "RFC 9711, 4.2.1: a UEID of another length",
            |p| set(&mut p.platform, 256, bytes(&[1; 17])),
            Err("claim 256 (instance id) of the platform token is not a byte string of 33 bytes"),
        ),
        (
            "RFC 9711, 4.3.2: the platform must name its profile",
            |p| drop(p.platform.remove(0)),
            Err("the platform token has no claim 265 (profile)"),
        ),
        (
            "RFC 9711, 4.3.2: another profile",
            |p| {
                set(
                    &mut p.platform,
                    265,
                    text("tag:arm.com,2023:cca_platform#2.0.0"),
                )
            },
            Err("the profile of the platform token is"),
        ),
        (
            "RFC 9711, 4.3.2: a profile that is no text",
            |p| set(&mut p.realm, 265, bytes(&[0x2b])),
            Err("claim 265 (profile) of the realm token is not text"),
        ),
        (
            "RFC 9711, 4.3.2: another one of the realm's",
            |p| set(&mut p.realm, 265, text("tag:arm.com,2024:realm#2.0.0")),
            Err("the profile of the realm token is"),
        ),
        (
            "profile: a life cycle state that there is not",
            |p| set(&mut p.platform, 2395, int(0x7000)),
            Err("claim 2395 (life cycle state)"),
        ),
        (
            "profile: a life cycle state of too many bits",
            |p| set(&mut p.platform, 2395, int(0x1_3000)),
            Err("claim 2395 (life cycle state)"),
        ),
        (
            "profile: a negative life cycle state",
            |p| set(&mut p.platform, 2395, int(-1)),
            Err("claim 2395 (life cycle state)"),
        ),
        (
            "profile: no life cycle state",
            |p| p.platform.retain(|(key, _)| *key != int(2395)),
            Err("the platform token has no claim 2395"),
        ),
        (
            "profile: an implementation id of another size",
            |p| set(&mut p.platform, 2396, bytes(&[4; 31])),
            Err("claim 2396 (implementation id)"),
        ),
        (
            "profile: no software component",
            |p| set(&mut p.platform, 2399, array(&[])),
            Err("claim 2399 (software components)"),
        ),
        (
            "profile: a component that is no map",
            |p| set(&mut p.platform, 2399, array(&[int(1)])),
            Err("a software component is no map"),
        ),
        (
            "profile: a component without measurement",
            |p| {
                set(
                    &mut p.platform,
                    2399,
                    array(&[map(&vec![entry(5, bytes(&[3; 32]))])]),
                )
            },
            Err("has no claim 2 (measurement of a component)"),
        ),
        (
            "profile: a component without signer",
            |p| {
                set(
                    &mut p.platform,
                    2399,
                    array(&[map(&vec![entry(2, bytes(&[3; 32]))])]),
                )
            },
            Err("has no claim 5 (signer of a component)"),
        ),
        (
            "profile: the hash algorithm of a component",
            |p| {
                set(
                    &mut p.platform,
                    2399,
                    array(&[map(&vec![
                        entry(2, bytes(&[3; 32])),
                        entry(5, bytes(&[3; 32])),
                        entry(6, text("md5")),
                    ])]),
                )
            },
            Err("claim 6 (hash algorithm of a component)"),
        ),
        (
            "profile: the hash algorithm of the platform",
            |p| set(&mut p.platform, 2402, text("md5")),
            Err("claim 2402 (hash algorithm)"),
        ),
        (
            "profile: the hash algorithm of the binding",
            |p| set(&mut p.realm, 44240, text("md5")),
            Err("claim 44240 (hash algorithm of the public key)"),
        ),
        (
            "profile: the digest of the realm's key",
            |p| p.platform.push(entry(10, bytes(&[3; 32]))),
            Err("the platform token vouches for another realm attestation key"),
        ),
        (
            "profile: a measurement of another size",
            |p| set(&mut p.realm, 44238, bytes(&[3; 20])),
            Err("claim 44238 (initial measurement)"),
        ),
        (
            "profile: three extensible measurements",
            |p| {
                set(
                    &mut p.realm,
                    44239,
                    array(&[bytes(&[3; 32]), bytes(&[3; 32]), bytes(&[3; 32])]),
                )
            },
            Err("claim 44239 (extensible measurements)"),
        ),
        (
            "profile: a plain point where there is a profile",
            |p| p.raw_key = Some(realm_key().public_key().to_vec()),
            Err("follow the realm attestation key"),
        ),
    ]);
}
