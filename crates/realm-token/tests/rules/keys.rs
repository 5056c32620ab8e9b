//! RFC 9052, section 7, and RFC 9053, sections 2.1 and 7.1: what a key says of its use is binding.

use super::*;

#[test]
fn cose_keys() {
    keep(&[
        (
            "7: no map",
            |p| p.raw_key = Some(array(&[])),
            Err("it is no COSE_Key"),
        ),
        (
            "7: no kty",
            |p| drop(p.key.remove(0)),
            Err("it is no COSE_Key"),
        ),
        (
            "7.1: kty of another type",
            |p| set(&mut p.key, 1, bytes(&[2])),
            Err("it is no COSE_Key"),
        ),
        (
            "7: labels are integers and text",
            |p| p.key.push((bytes(b"x"), int(0))),
            Err("it is no COSE_Key"),
        ),
        (
            "RFC 9053, 2.1: kty must be EC2",
            |p| set(&mut p.key, 1, int(1)),
            Err("its kty is not EC2"),
        ),
        (
            "RFC 9053, 7.1.1: crv must be there",
            |p| drop(p.key.remove(1)),
            Err("its crv is neither P-256 nor P-384"),
        ),
        (
            "RFC 9053, 7.1.1: another curve",
            |p| set(&mut p.key, -1, int(3)),
            Err("its crv is neither P-256 nor P-384"),
        ),
        (
            "RFC 9053, 7.1.1: the curve of other coordinates",
            |p| set(&mut p.key, -1, int(1)),
            Err("its coordinates are no point on its curve"),
        ),
        (
            "RFC 9053, 7.1.1: x must be there",
            |p| drop(p.key.remove(2)),
            Err("its coordinates are no point on its curve"),
        ),
        (
            "RFC 9053, 7.1.1: y must be there",
            |p| drop(p.key.remove(3)),
            Err("its coordinates are no point on its curve"),
        ),
        (
            "RFC 9053, 7.1.1: coordinates have all of their bytes",
            |p| set(&mut p.key, -2, bytes(&realm_key().public_key()[2..49])),
            Err("its coordinates are no point on its curve"),
        ),
        (
            "RFC 9053, 7.1.1: the other y",
            |p| set(&mut p.key, -3, bytes(&[1; 48])),
            Err("its coordinates are no point on its curve"),
        ),
        (
            "RFC 9053, 7.1.1: y may be its sign",
            |p| {
                let odd = realm_key().public_key()[96] & 1;
                set(&mut p.key, -3, vec![0xf4 + odd]);
            },
            Ok(()),
        ),
        (
            "RFC 9053, 7.1.1: the other sign is another key",
            |p| {
                let odd = realm_key().public_key()[96] & 1;
                set(&mut p.key, -3, vec![0xf5 - odd]);
            },
            Err("the signature of the realm token does not verify"),
        ),
        (
            "RFC 9053, 7.1.1: d is private",
            |p| p.key.push(entry(-4, bytes(&[0x17; 48]))),
            Err("it is a private key"),
        ),
        (
            "7.1: alg restricts the key to another algorithm",
            |p| p.key.push(entry(3, int(-7))),
            Err("its alg is another one than that of its curve"),
        ),
        (
            "7.1: alg that is text",
            |p| p.key.push(entry(3, text("ES384"))),
            Err("its alg is another one than that of its curve"),
        ),
        (
            "7.1: alg is that of the signature",
            |p| p.key.push(entry(3, int(-35))),
            Ok(()),
        ),
        (
            "7.1: key_ops without verify",
            |p| p.key.push(entry(4, array(&[int(1)]))),
            Err("its key_ops does not have `verify`"),
        ),
        (
            "7.1: key_ops that are text",
            |p| p.key.push(entry(4, array(&[text("verify")]))),
            Err("its key_ops does not have `verify`"),
        ),
        (
            "7.1: key_ops of nothing",
            |p| p.key.push(entry(4, array(&[]))),
            Err("it is no COSE_Key"),
        ),
        (
            "7.1: key_ops that is no array",
            |p| p.key.push(entry(4, int(2))),
            Err("it is no COSE_Key"),
        ),
        (
            "7.1: an operation twice",
            |p| p.key.push(entry(4, array(&[int(2), int(2)]))),
            Err("it is no COSE_Key"),
        ),
        (
            "7.1: key_ops with verify",
            |p| p.key.push(entry(4, array(&[int(2)]))),
            Ok(()),
        ),
        (
            "7.1: kid is a byte string",
            |p| p.key.push(entry(2, int(1))),
            Err("it is no COSE_Key"),
        ),
        (
            "7: what is unknown is ignored",
            |p| p.key.push(entry(-70001, int(1))),
            Ok(()),
        ),
    ]);
}
