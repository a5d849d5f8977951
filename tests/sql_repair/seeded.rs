//! A CMDB of 200 servers and 50 packages, and what each repair must make of it.

use std::collections::BTreeMap;

use fleetmend::lab::cmdb::{Cmdb, PackageServerRow};
use fleetmend::model::Guid;
use serde_json::{Value, json};

pub(crate) const SERVERS: u128 = 200;
pub(crate) const PACKAGES: u128 = 50;
pub(crate) const LOCAL: Guid = Guid::from_u128(0x5000);
pub(crate) const PARENT: Guid = Guid::from_u128(0x5001);

pub(crate) fn server(number: u128) -> Guid {
    Guid::from_u128(0xA000 + number)
}

pub(crate) fn package(number: u128) -> Guid {
    Guid::from_u128(0xB000 + number)
}

/// The tables that must not differ but where they are meant to.
pub(crate) const TABLES: [&str; 9] = [
    "SWDPackageServer",
    "SWDPackage",
    "SWDPackageCodebase",
    "ItemNSSource",
    "OriginNSSourceNS",
    "ForwardServer",
    "vThisNS",
    "vItem",
    "backupset",
];

pub(crate) type Tables = BTreeMap<&'static str, Vec<String>>;

pub(crate) fn tables(cmdb: &Cmdb) -> Tables {
    TABLES.into_iter().map(|table| (table, cmdb.dump(table).unwrap())).collect()
}

/// The same in short, for comparing often.
pub(crate) type Prints = BTreeMap<&'static str, u64>;

pub(crate) fn prints(cmdb: &Cmdb) -> Prints {
    TABLES.into_iter().map(|table| (table, cmdb.fingerprint(table).unwrap())).collect()
}

/// 200 servers with 50 packages each, a codebase for each pair, cells of every hostile kind,
/// duplicates of two packages, and three packages that come from another server.
pub(crate) fn seeded() -> Cmdb {
    const HOSTILE: [&str; 6] = [
        "'; DROP TABLE SWDPackageServer; --",
        "]]; DELETE FROM [SWDPackageServer] --",
        "{0562094A-ECBE-4617-9253-5E7FFB5E00C4}",
        "/* @P1 */ \" ` \\ %_[]",
        "The trust relationship failed(1789). Zürich 𝄞",
        "",
    ];
    let cmdb = Cmdb::new().unwrap();
    cmdb.set_this_server(LOCAL, "smp01").unwrap();
    cmdb.add_backup("nightly", cmdb.now() - jiff::SignedDuration::from_hours(5), false).unwrap();
    for p in 0..PACKAGES {
        cmdb.upsert_package(package(p), &format!("Package {p} ' ] --"), "7").unwrap();
    }
    for s in 0..SERVERS {
        for p in 0..PACKAGES {
            let hostile = usize::try_from(s + p).unwrap() % (HOSTILE.len() * 3);
            let version = match HOSTILE.get(hostile) {
                Some(text) => Some((*text).to_owned()),
                None if hostile == 7 => None,
                None => Some((1_600_000_000 + s + p).to_string()),
            };
            let status = (hostile != 8).then(|| "Ready".to_owned());
            let row = PackageServerRow { server: server(s), package: package(p), status, version };
            cmdb.add_package_server_row(&row).unwrap();
            // Two packages have one or two more of the same rows on some servers.
            let surplus = if p < 2 { s % 3 } else { 0 };
            for _ in 0..surplus {
                cmdb.add_package_server_row(&row).unwrap();
            }
            let url = format!("http://ps-{s}/it's]--/{{{p}}}");
            cmdb.upsert_codebase(package(p), &url, &server(s).to_string(), HOSTILE[hostile % 6])
                .unwrap();
        }
    }
    for p in 10..13 {
        cmdb.set_origin(package(p), PARENT, "old-parent").unwrap();
    }
    cmdb
}

pub(crate) fn codebases() -> Value {
    json!({
        "repair": "delete_codebases",
        "packages": [package(3), package(4)],
        "servers": (0..20).map(server).collect::<Vec<_>>(),
        "expect": { "max": 40 },
        "attest_unused_package_setting": true,
    })
}

pub(crate) fn status() -> Value {
    json!({
        "repair": "delete_package_status",
        "packages": [package(0), package(5)],
        "servers": (50..90).map(server).collect::<Vec<_>>(),
        "expect": { "max": 400 },
        "attest_unused_package_setting": true,
    })
}

pub(crate) fn duplicates() -> Value {
    json!({
        "repair": "remove_duplicates",
        "packages": [package(1)],
        "servers": (0..30).map(server).collect::<Vec<_>>(),
        "expect": { "max": 30 },
    })
}

pub(crate) fn origin() -> Value {
    json!({
        "repair": "set_origin",
        "packages": [package(10), package(11), package(20)],
        "owner_guid": LOCAL,
        "left_hierarchy": [PARENT],
        "expect": { "max": 2 },
    })
}

/// Each repair, its table, and the rows of that table as they must be after it.
pub(crate) fn repairs(before: &Tables) -> Vec<(Value, &'static str, Vec<String>)> {
    let is_of = |row: &str, key: Guid| row.contains(&key.bare());
    let any = |row: &str, mut keys: std::ops::Range<u128>, make: fn(u128) -> Guid| {
        keys.any(|number| is_of(row, make(number)))
    };
    let kept = |table: &str, gone: &dyn Fn(&str) -> bool| -> Vec<String> {
        before[table].iter().filter(|row| !gone(row)).cloned().collect()
    };
    let codebases_left =
        kept("SWDPackageCodebase", &|row| any(row, 3..5, package) && any(row, 0..20, server));
    let status_left = kept("SWDPackageServer", &|row| {
        (is_of(row, package(0)) || is_of(row, package(5))) && any(row, 50..90, server)
    });
    let mut once = before["SWDPackageServer"].clone();
    let mut last = String::new();
    once.retain(|row| {
        let is_meant = is_of(row, package(1)) && any(row, 0..30, server);
        let is_surplus = is_meant && *row == last;
        last.clone_from(row);
        !is_surplus
    });
    let mut origins: Vec<String> = before["ItemNSSource"]
        .iter()
        .map(|row| {
            let changes = is_of(row, package(10)) || is_of(row, package(11));
            if changes { row.replace("Integer(2)", "Integer(1)") } else { row.clone() }
        })
        .collect();
    origins.sort_unstable();
    vec![
        (codebases(), "SWDPackageCodebase", codebases_left),
        (status(), "SWDPackageServer", status_left),
        (duplicates(), "SWDPackageServer", once),
        (origin(), "ItemNSSource", origins),
    ]
}
