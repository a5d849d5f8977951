//! How long the inventory of a large fleet takes to read: 10,000 servers, each with 20 variables
//! of its own, about 6 MB. The promise is one second for reading and planning together, on one
//! core.

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fleetmend::event::RunMode;
use fleetmend::load::{HostSettings, load_inventory, load_playbook};
use fleetmend::model::{PlayNo, Selector, TagChoice, TimeScale};
use fleetmend::plan::{ActionTraits, Delegates, Draft, DraftRequest};

const HOSTS: usize = 10_000;

/// Every host written out, as an export from another system is.
fn inventory() -> String {
    let mut text = "all:\n  vars: { credential: fleet-admin }\n  children:\n".to_owned();
    for site in 0..20 {
        let _ =
            writeln!(text, "    site{site:02}:\n      vars: {{ site: S{site:02} }}\n      hosts:");
        for host in 0..HOSTS / 20 {
            let _ = writeln!(text, "        ps-{site:02}-{host:04}.corp.example:");
            let _ =
                writeln!(text, "          ansible_host: 10.{site}.{}.{}", host / 250, host % 250);
            let _ = writeln!(text, "          ansible_port: 5985");
            let _ = writeln!(text, "          itms_guid: 0562094a-ecbe-4617-{site:04}-{host:012}");
            let _ = writeln!(text, "          retired: false");
            for var in 0..16 {
                let _ = writeln!(text, "          asset_property_{var:02}: value {var} of {host}");
            }
        }
    }
    text
}

/// From two texts to the waves of the second play, as `run` does before it connects to anything.
fn plan(inventory: &str, playbook: &str) -> usize {
    let loaded = load_inventory("inventory.yml", inventory).expect("an inventory");
    let hosts: Vec<_> = loaded.inventory.hosts().collect();
    let settings = hosts.iter().filter(|host| HostSettings::of(host).is_ok()).count();
    let playbook = playbook.replace("hosts: package_servers", "hosts: all");
    let playbook = playbook.replace("hosts: notification_servers", "hosts: ps-00-0000*");
    let registry = fleetmend::action::registry();
    let playbook = load_playbook("p.yml", &playbook, registry, Some(&loaded)).expect("a playbook");
    let request = DraftRequest {
        window: None,
        playbook: &playbook.playbook,
        inventory: &loaded.inventory,
        inventory_sha256: "",
        limit: None,
        limits: &loaded.settings.limits,
        tags: &TagChoice::default(),
        delegates: &Delegates::default(),
        mode: RunMode::Run,
        seed: 1,
        scale: TimeScale::REAL,
    };
    let traits = |_: &str| ActionTraits::of_host(Duration::from_secs(60), true);
    let draft = Draft::new(&request, &traits);
    let waves = draft.waves(PlayNo(1), None);
    assert_eq!((settings, waves.iter().map(Vec::len).sum::<usize>()), (HOSTS, HOSTS));
    waves.len()
}

fn reading(bench: &mut Criterion) {
    let text = inventory();
    let mut group = bench.benchmark_group("10,000 hosts with 20 variables each");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("read the inventory", |bench| {
        bench.iter(|| load_inventory("inventory.yml", black_box(&text)).expect("an inventory"));
    });

    let loaded = load_inventory("inventory.yml", &text).expect("an inventory");
    group.bench_function("resolve the variables of all hosts", |bench| {
        bench.iter(|| black_box(loaded.inventory.hosts().count()));
    });
    group.bench_function("read the settings of all hosts", |bench| {
        let hosts: Vec<_> = loaded.inventory.hosts().collect();
        bench.iter(|| hosts.iter().filter(|host| HostSettings::of(host).is_ok()).count());
    });
    let selector: Selector = "all:!ps-07-*:&site0*".parse().expect("a pattern");
    group.bench_function("select hosts by a pattern", |bench| {
        bench.iter(|| selector.select(black_box(&loaded.inventory)).len());
    });
    let playbook = include_str!("../playbooks/resync-stale-packages.yml");
    group.bench_function("check a playbook against it", |bench| {
        let read =
            || load_playbook("p.yml", playbook, fleetmend::action::registry(), Some(&loaded));
        bench.iter(|| black_box(read().is_ok()));
    });
    group.bench_function("read both files and plan", |bench| {
        bench.iter(|| plan(black_box(&text), playbook));
    });
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
