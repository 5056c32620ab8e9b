//! RFC 9052, sections 1 to 4: headers and the message.

use super::*;

#[test]
fn cose_messages() {
    let none = Err("the realm token is no tagged COSE_Sign1 message");
    keep(&[
        (
            "2: another tag",
            |p| p.realm_message = Some(|m| Message { tag: 98, ..m }),
            none,
        ),
        (
            "2: no tag",
            |p| p.realm_token = Some(|t| t[1..].to_vec()),
            none,
        ),
        (
            "RFC 8392, 6: the tag of a CWT around it, which the profile has not",
            |p| p.realm_token = Some(|t| tag(61, &t)),
            none,
        ),
        (
            "4.2: three items",
            |p| p.realm_token = Some(|t| [&t[..1], &[0x83], &t[2..t.len() - 98]].concat()),
            none,
        ),
        (
            "4.2: five items",
            |p| p.realm_token = Some(|t| [&t[..1], &[0x85], &t[2..], &[0xf6]].concat()),
            none,
        ),
        (
            "4.2: a detached payload",
            |p| {
                p.realm_token = Some(|t| {
                    // The head of the payload comes after tag, array, protected and unprotected header.
                    let (start, rest) = t.split_at(8);
                    [start, &[0xf6], &rest[rest.len() - 98..]].concat()
                })
            },
            Err("the realm token has no payload"),
        ),
        (
            "1.5: labels are integers and text",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: map(&vec![entry(1, int(-35)), (bytes(b"x"), int(1))]),
                    ..m
                })
            },
            none,
        ),
        (
            "1.5: in the unprotected header, too",
            |p| {
                p.realm_message = Some(|m| Message {
                    unprotected: map(&vec![(bytes(b"x"), int(1))]),
                    ..m
                })
            },
            none,
        ),
        (
            "3: the protected header is a map",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: array(&[]),
                    ..m
                })
            },
            none,
        ),
        (
            "3: no protected header, no algorithm",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: vec![],
                    ..m
                })
            },
            Err("an algorithm that its protected header does not name"),
        ),
        (
            "3.1: the algorithm must be protected",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: map(&vec![]),
                    unprotected: header(&[(1, int(-35))]),
                    ..m
                })
            },
            Err("an algorithm that its protected header does not name"),
        ),
        (
            "3: a label in both headers",
            |p| {
                p.realm_message = Some(|m| Message {
                    unprotected: header(&[(1, int(-7))]),
                    ..m
                })
            },
            Err("header parameter 1 both in its protected and in its unprotected header"),
        ),
        (
            "3: the platform's message likewise",
            |p| {
                p.platform_message = Some(|m| Message {
                    unprotected: header(&[(1, int(-35))]),
                    ..m
                })
            },
            Err("the platform token has header parameter 1 both"),
        ),
        (
            "3.1: crit that is not protected",
            |p| {
                p.realm_message = Some(|m| Message {
                    unprotected: header(&[(2, array(&[int(1)]))]),
                    ..m
                })
            },
            Err("has crit in its unprotected header"),
        ),
        (
            "3.1: crit that names nothing",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (2, array(&[]))]),
                    ..m
                })
            },
            Err("has a crit that names nothing"),
        ),
        (
            "3.1: crit that is no array",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (2, int(1))]),
                    ..m
                })
            },
            Err("has a crit that names nothing"),
        ),
        (
            "3.1: crit that names what is not there",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (2, array(&[int(4)]))]),
                    ..m
                })
            },
            Err("has 4 in crit, but not in its protected header"),
        ),
        (
            "3.1: crit that names what is there, but not protected",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (2, array(&[int(4)]))]),
                    unprotected: header(&[(4, bytes(b"k"))]),
                    ..m
                })
            },
            Err("has 4 in crit, but not in its protected header"),
        ),
        (
            "3.1: crit that names what nobody knows",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[
                        (1, int(-35)),
                        (2, array(&[int(-70001)])),
                        (-70001, int(0)),
                    ]),
                    ..m
                })
            },
            Err("has -70001 in crit"),
        ),
        (
            "3.1: the same as text",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: map(&vec![
                        entry(1, int(-35)),
                        entry(2, array(&[text("reserved")])),
                        (text("reserved"), int(0)),
                    ]),
                    ..m
                })
            },
            Err("has \"reserved\" in crit"),
        ),
        (
            "3.1: the platform's message likewise",
            |p| {
                p.platform_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (2, array(&[int(99)])), (99, int(0))]),
                    ..m
                })
            },
            Err("the platform token has 99 in crit"),
        ),
        (
            "3.1: crit that names what is known",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (2, array(&[int(1)]))]),
                    ..m
                })
            },
            Ok(()),
        ),
        (
            "3.1: what is unknown and not critical is ignored",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (-70001, int(0))]),
                    unprotected: header(&[(-70002, int(0))]),
                    ..m
                })
            },
            Ok(()),
        ),
        (
            "3.1: kid is a byte string",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (4, int(1))]),
                    ..m
                })
            },
            none,
        ),
        (
            "3.1: a content type is a number or type/subtype",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (3, text("nothing"))]),
                    ..m
                })
            },
            none,
        ),
        (
            "3.1: not both IV and Partial IV",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-35)), (5, bytes(b"a")), (6, bytes(b"b"))]),
                    ..m
                })
            },
            none,
        ),
        (
            "RFC 9053, 2.1: an algorithm that is none of these",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-8))]),
                    ..m
                })
            },
            Err("the realm token is signed with EdDSA"),
        ),
        (
            "RFC 9053, 2.1: an algorithm of another curve",
            |p| {
                p.realm_message = Some(|m| Message {
                    protected: header(&[(1, int(-7))]),
                    ..m
                })
            },
            Err("the realm token is signed with ES256, but the key is of curve P-384"),
        ),
    ]);
}
