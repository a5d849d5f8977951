//! Windows of plays, and the calendars that they name.

use super::*;
use crate::model::{AtClose, Window, WindowZone};

const INVENTORY: &str = "all:
  vars:
    calendars: { change-tue: { days: [tue, thursday], dates: [2026-12-24], except: [2026-12-29] } }
  children:
    oslo: { vars: { site_tz: Europe/Oslo }, hosts: { ps-osl-01: } }
    pune: { vars: { site_tz: Asia/Kolkata }, hosts: { ps-pnq-01: } }
    nowhere: { hosts: { ps-xx-01: , ps-xx-02: } }
";

fn window(hosts: &str, window: &str) -> Result<Window, Vec<Diagnostic>> {
    let inventory = load_inventory("i.yml", INVENTORY)
        .unwrap_or_else(|found| panic!("{}", render(&found, false)));
    let text = format!(
        "- hosts: {hosts}\n  max_fail_percentage: 5\n  window: {window}\n  tasks:\n    \
         - agent: update_configuration\n"
    );
    let loaded = load_playbook("a.yml", &text, &doubles::actions(), Some(&inventory))?;
    Ok(loaded.playbook.plays[0].safeguards.window.clone().expect("a window"))
}

#[test]
fn a_window_is_read_in_parts_and_in_one_line() {
    let parts = "{ calendar: change-tue, except: [2026-12-31], open: \"22:00\", close: 02:00, tz: site, \
                 cutoff: 30m, at_close: terminate, grace: 2m, margin: 5 min, expect: 10 min, fold: second }";
    let read =
        window("oslo:pune", parts).unwrap_or_else(|found| panic!("{}", render(&found, false)));

    assert_eq!(
        read.to_string(),
        "tue,thu,2026-12-24,!2026-12-29,!2026-12-31 22:00-02:00 site cutoff=1800s margin=300s \
         expect=600s fold=second at_close=terminate"
    );
    let line = window("oslo", "fri 20:00-mon/06:00 Europe/Oslo").expect("a window");
    let parts = "{ days: fri, open: 20:00, close: mon 06:00, tz: europe/oslo }";
    assert_eq!(window("oslo", parts).expect("a window"), line);
    assert_eq!((line.at_close, line.margin), (AtClose::StopAfterBlock, Window::MARGIN));
}

#[test]
fn every_host_of_a_window_by_site_says_its_zone() {
    assert_eq!(window("oslo:pune", "22:00-02:00 site").expect("a window").tz, WindowZone::Site);

    let found = window("all", "22:00-02:00 site").expect_err("two hosts have none");
    assert_eq!(rules(&found), ["no-site-zone"]);
    assert!(found[0].message.starts_with("2 hosts have no `site_tz`"), "{}", found[0].message);
}

#[test]
fn a_calendar_is_the_same_for_all() {
    let text = "all:\n  vars: { calendars: { a: { days: tue } } }\n  children:\n    \
                b: { vars: { calendars: { a: { days: wed } } }, hosts: { x: } }\n";
    let found = load_inventory("i.yml", text).expect_err("two of one name");

    assert_eq!(rules(&found), ["two-calendars"]);
}
