//! Pages and granules of realms that come and go.

extern crate std;
use super::*;

const ONE: RealmId = RealmId(1);
const TWO: RealmId = RealmId(2);

fn book(size: PageSize, pages: &[(RealmId, Side, u64)]) -> Book {
    let mut book = Book::new(size);
    book.open(ONE);
    book.open(TWO);
    for &(owner, side, page) in pages {
        book.add_page(owner, side, PageAddress::new(page, size).unwrap());
    }
    book
}

#[test]
fn a_page_is_returned_only_when_all_its_granules_are_back() {
    // Every order of returning four granules of a 16K page.
    for seed in 0..24 {
        let mut book = book(PageSize::Size16K, &[(ONE, Side::Monitor, 0x8000)]);
        let mut granules: std::vec::Vec<_> = (0..4)
            .map(|_| book.take(ONE, Purpose::Rec).unwrap())
            .collect();
        assert_eq!(book.take(ONE, Purpose::Rec), None);
        granules
            .iter()
            .for_each(|&granule| book.delegated(granule).unwrap());
        let mut order = seed;
        for left in (1..=4).rev() {
            let granule = granules.remove(order % left);
            order /= left;
            let page = book.returned(granule).unwrap();
            assert_eq!(page.is_some(), left == 1, "order {seed}");
        }
        assert_eq!(book.pages(), 0);
        assert_eq!(
            book.account(),
            Account {
                delegated: 4,
                returned: 4,
                quarantined: 0
            }
        );
    }
}

#[test]
fn granules_of_two_realms_and_two_sides_never_share_a_page() {
    let mut book = book(
        PageSize::Size64K,
        &[
            (ONE, Side::Monitor, 0x1_0000),
            (ONE, Side::Host, 0x2_0000),
            (TWO, Side::Monitor, 0x3_0000),
        ],
    );
    assert_eq!(book.take(ONE, Purpose::Data).unwrap().get(), 0x1_0000);
    assert_eq!(book.take(TWO, Purpose::Data).unwrap().get(), 0x3_0000);
    assert_eq!(book.take(ONE, Purpose::Run).unwrap().get(), 0x2_0000);
    assert_eq!(book.take(TWO, Purpose::Run), None);
    assert_eq!(book.take(ONE, Purpose::Table).unwrap().get(), 0x1_1000);
}

#[test]
fn nothing_is_returned_twice() {
    let mut book = book(PageSize::Size16K, &[(ONE, Side::Monitor, 0x4000)]);
    let granule = book.take(ONE, Purpose::Data).unwrap();
    let other = book.take(ONE, Purpose::Data).unwrap();
    assert!(book.returned(granule).is_err(), "it was never delegated");
    book.delegated(granule).unwrap();
    assert!(book.released(granule).is_err(), "it is delegated");
    book.returned(granule).unwrap();
    assert!(book.returned(granule).is_err(), "it is back already");
    assert_eq!(
        book.released(other).unwrap().map(|freed| freed.page.get()),
        Some(0x4000)
    );
    assert!(book.released(other).is_err(), "its page is gone");
}

#[test]
fn a_quarantined_granule_keeps_its_page_and_its_reason() {
    let mut book = book(PageSize::Size16K, &[(ONE, Side::Monitor, 0x4000)]);
    let granule = book.take(ONE, Purpose::Table).unwrap();
    book.delegated(granule).unwrap();
    book.quarantine(granule, 0x1).unwrap();
    book.quarantine(granule, 0x1).unwrap();
    book.close(ONE);
    assert_eq!(
        book.account(),
        Account {
            delegated: 1,
            returned: 0,
            quarantined: 1
        }
    );
    assert_eq!(
        book.quarantined_from(0),
        Some((granule, Purpose::Table, ONE, 1))
    );
    assert_eq!(book.quarantined_from(granule.get() + 1), None);
    assert!(book.returned(granule).unwrap().is_some());
    assert_eq!(
        book.account(),
        Account {
            delegated: 1,
            returned: 1,
            quarantined: 0
        }
    );
}

#[test]
fn room_is_found_again_in_any_page_of_the_list() {
    let mut book = book(
        PageSize::Size16K,
        &[
            (ONE, Side::Monitor, 0x4000),
            (ONE, Side::Monitor, 0x8000),
            (ONE, Side::Monitor, 0xC000),
        ],
    );
    let all: std::vec::Vec<_> = (0..12)
        .map(|_| book.take(ONE, Purpose::Data).unwrap())
        .collect();
    assert_eq!(book.take(ONE, Purpose::Data), None);
    for &granule in &[all[1], all[6], all[9], all[10]] {
        book.released(granule).unwrap();
    }
    let mut again: std::vec::Vec<_> = (0..4)
        .map(|_| book.take(ONE, Purpose::Data).unwrap())
        .collect();
    again.sort_unstable();
    let mut freed = [all[1], all[6], all[9], all[10]];
    freed.sort_unstable();
    assert_eq!(again, freed);
    assert_eq!(book.take(ONE, Purpose::Data), None);
}

#[test]
fn what_the_monitor_does_not_take_is_not_offered_again() {
    let mut book = book(PageSize::Size4K, &[(ONE, Side::Monitor, 0x4000)]);
    let granule = book.take(ONE, Purpose::Data).unwrap();
    book.set_aside(granule).unwrap();
    assert_eq!(book.take(ONE, Purpose::Data), None);
    assert_eq!(book.take_idle_page(TWO), None);
    assert_eq!(
        book.take_idle_page(ONE).map(|freed| freed.page.get()),
        Some(0x4000)
    );
    assert_eq!(book.take_idle_page(ONE), None);
}
