//! The rules of the fuzz targets, with a few inputs that are drawn from a fixed seed.

fn each(run: fn(&[u8]), seed: u64, count: usize, longest: usize) {
    for (n, input) in fuzz::inputs(seed, count, longest).enumerate() {
        let caught = std::panic::catch_unwind(|| run(&input));
        assert!(caught.is_ok(), "input {n} of seed {seed}: {input:?}");
    }
}

#[test]
fn hostile_hosts_break_nothing() {
    each(fuzz::host::run, 1, 300, 400);
}

#[test]
fn hostile_realms_break_nothing() {
    each(fuzz::realm::run, 2, 100, 300);
}

#[test]
fn the_root_monitor_survives_both_worlds() {
    each(fuzz::root::run, 3, 3000, 300);
}

#[test]
fn damaged_manifests_are_refused() {
    each(fuzz::manifest::run, 4, 20_000, 200);
}

#[test]
fn damaged_device_trees_are_refused() {
    each(fuzz::device_tree::run, 5, 500, 60);
}

#[test]
fn words_of_any_content_are_decoded() {
    each(fuzz::formats::run, 6, 50_000, 100);
}

/// Its exception handler is where there is no memory: it takes the same exception again and again, without a single
/// instruction in between. That is the realm's own affair, and the host gets its processor back all the same.
#[test]
fn a_realm_whose_handler_is_nowhere_lets_the_host_go_on() {
    fuzz::realm::run(&[11, 44, 61, 96, 47, 24, 99, 152, 113]);
}

#[test]
fn damaged_tokens_are_refused() {
    each(fuzz::token::run, 7, 400, 200);
}

#[test]
fn hostile_drivers_stop_only_their_devices() {
    each(fuzz::virtio::run, 8, 4000, 600);
}

#[test]
fn hostile_realms_leave_their_interrupt_controllers_working() {
    each(fuzz::interrupts::run, 9, 4000, 1200);
}

#[test]
fn realms_come_and_go_on_all_pes_at_once() {
    let work = fuzz::stress::run(3, fuzz::stress::Until::Rounds(8));
    assert_eq!(work.realms, 24);
    assert!(
        work.exits > 24 * 5 && work.calls > work.exits * 2,
        "{work:?}"
    );
}

#[test]
fn hostile_hosts_on_several_pes_break_nothing() {
    let work = fuzz::swarm::run(3, fuzz::stress::Until::Rounds(30), 8);
    assert!(
        work.realms > 0 && work.exits > 0 && work.calls > 3 * 30 * 20,
        "{work:?}"
    );
}

#[test]
fn hostile_tools_break_nothing() {
    each(fuzz::control::run, 10, 1000, 200);
}

#[test]
fn whatever_is_in_their_memory_the_ends_of_a_ring_stay_in_it() {
    each(fuzz::rings::run, 11, 10_000, 300);
}

#[test]
fn mad_hypervisors_get_nothing_but_their_own_machine() {
    each(fuzz::tool::run, 12, 150, 200);
}
