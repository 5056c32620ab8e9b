//! RFC 8949.

use super::*;

#[test]
fn cbor() {
    let malformed = Err("is not well-formed CBOR");
    let indefinite = Err("has an item of indefinite length");
    let twice = Err("has a map with a key that is there twice");
    keep(&[
        (
            "3: an item that ends early",
            |p| p.token = Some(|t| t[..t.len() - 1].to_vec()),
            malformed,
        ),
        (
            "3: additional information 28 to 30",
            |p| p.platform.push(entry(-1, vec![0x1c])),
            malformed,
        ),
        (
            "3: a break on its own",
            |p| p.platform.push(entry(-1, vec![0xff])),
            malformed,
        ),
        (
            "3.2.1: an integer of indefinite length",
            |p| p.platform.push(entry(-1, vec![0x1f])),
            malformed,
        ),
        (
            "3.2.1: a tag of indefinite length",
            |p| p.platform.push(entry(-1, vec![0xdf, 0])),
            malformed,
        ),
        (
            "3.3: a simple value below 32 in two bytes",
            |p| p.platform.push(entry(-1, vec![0xf8, 24])),
            malformed,
        ),
        (
            "3.3: another simple value",
            |p| p.platform.push(entry(-1, vec![0xf8, 32])),
            malformed,
        ),
        (
            "3.1: text that is no UTF-8",
            |p| p.platform.push(entry(-1, vec![0x61, 0xff])),
            malformed,
        ),
        (
            "3.1: a string longer than the input",
            |p| {
                p.platform.push(entry(
                    -1,
                    vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                ))
            },
            malformed,
        ),
        (
            "3.1: an array longer than the input",
            |p| {
                p.platform.push(entry(
                    -1,
                    vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                ))
            },
            malformed,
        ),
        (
            "3.1: a map longer than the input",
            |p| {
                p.platform.push(entry(
                    -1,
                    vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                ))
            },
            malformed,
        ),
        (
            "3: bytes behind the token",
            |p| p.token = Some(|t| [t, vec![0]].concat()),
            Err("1 bytes follow the token"),
        ),
        (
            "3: bytes behind a message",
            |p| p.realm_token = Some(|t| [t, vec![0, 0]].concat()),
            Err("2 bytes follow the realm token"),
        ),
        (
            "3: bytes behind the claims",
            |p| p.realm_payload = Some(|t| [t, vec![0]].concat()),
            Err("1 bytes follow the payload of the realm token"),
        ),
        (
            "3: bytes behind the protected header",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: [m.protected, vec![0]].concat(),
                    ..m
                })
            },
            Err("1 bytes follow the protected header of the realm token"),
        ),
        (
            "3: bytes behind the key",
            |p| p.raw_key = Some([map(&p.key), vec![0]].concat()),
            Err("1 bytes follow the realm attestation key"),
        ),
        (
            "3.2.2: a map of claims without length",
            |p| p.realm_payload = Some(|t| [vec![0xbf], t[1..].to_vec(), vec![0xff]].concat()),
            indefinite,
        ),
        (
            "3.2.2: an array without length",
            |p| p.platform.push(entry(-1, vec![0x9f, 0xff])),
            indefinite,
        ),
        (
            "3.2.3: bytes without length",
            |p| p.platform.push(entry(-1, vec![0x5f, 0xff])),
            indefinite,
        ),
        (
            "3.2.3: text without length",
            |p| p.platform.push(entry(-1, vec![0x7f, 0xff])),
            indefinite,
        ),
        (
            "3.2.2: the key without length",
            |p| p.raw_key = Some([vec![0xbf], map(&p.key)[1..].to_vec(), vec![0xff]].concat()),
            indefinite,
        ),
        (
            "3.2.2: a header without length",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: vec![0xbf, 1, 0x38, 34, 0xff],
                    ..m
                })
            },
            indefinite,
        ),
        (
            "3.2.2: an unprotected header without length",
            |p| {
                p.realm_message = Some(|m| Message {
                    unprotected: vec![0xbf, 0xff],
                    ..m
                })
            },
            indefinite,
        ),
        (
            "3.2.2: the message without length",
            |p| p.realm_token = Some(|t| [&t[..1], &[0x9f], &t[2..], &[0xff]].concat()),
            indefinite,
        ),
        (
            "5.6: a claim twice in the realm's",
            |p| p.realm.push(entry(10, bytes(&[0xc1; 64]))),
            twice,
        ),
        (
            "5.6: a claim twice in the platform's",
            |p| p.platform.push(entry(2395, int(0x3000))),
            twice,
        ),
        (
            "5.6: a claim that nobody knows, twice",
            |p| p.realm.extend([(text("x"), int(1)), (text("x"), int(2))]),
            twice,
        ),
        (
            "5.6: a claim twice, once with a longer head",
            |p| p.realm.push((vec![0x19, 0, 10], bytes(&[0xc1; 64]))),
            twice,
        ),
        (
            "5.6: a key of a component twice",
            |p| {
                set(
                    &mut p.platform,
                    2399,
                    array(&[map(&vec![
                        entry(2, bytes(&[3; 32])),
                        entry(2, bytes(&[3; 32])),
                        entry(5, bytes(&[3; 32])),
                    ])]),
                )
            },
            twice,
        ),
        (
            "5.6: a key twice, deep in what nobody knows",
            |p| {
                p.realm.push(entry(
                    -9,
                    array(&[map(&vec![entry(1, int(1)), entry(1, int(2))])]),
                ))
            },
            twice,
        ),
        (
            "5.6: a part of the token twice",
            |p| p.outer = Some(|o| [o.clone(), o[..1].to_vec()].concat()),
            twice,
        ),
        (
            "5.6: a header parameter twice",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (1, int(-35))]),
                    ..m
                })
            },
            twice,
        ),
        (
            "5.6: an unprotected header parameter twice",
            |p| {
                p.realm_message = Some(|m| Message {
                    unprotected: header(&[(4, bytes(b"a")), (4, bytes(b"b"))]),
                    ..m
                })
            },
            twice,
        ),
        (
            "5.6: a parameter of the key twice",
            |p| p.key.push(entry(1, int(2))),
            twice,
        ),
        (
            "4: items in items without end",
            |p| p.realm.push(entry(-9, [vec![0x81; 64], vec![0]].concat())),
            Err("is nested too deeply"),
        ),
        (
            "4: some items in items",
            |p| p.realm.push(entry(-9, [vec![0x81; 12], vec![0]].concat())),
            Ok(()),
        ),
        (
            "4.1: longer heads than needed are accepted",
            |p| set(&mut p.platform, 2395, vec![0x1a, 0, 0, 0x30, 0]),
            Ok(()),
        ),
    ]);
}
