//! What the documentation publishes as a table is what the program does.

use fleetmend::model::{Batch, wave_sizes};
use fleetmend::plan::DraftPlay;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::case::any_case;

const PLAYBOOKS: &str = include_str!("../../docs/playbooks.md");

/// `1, 2 × 40` for 1, 40, 40.
fn folded(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a == b).map(|run| match run {
        [one] => one.to_string(),
        many => format!("{} × {}", many.len(), many[0]),
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// A play with nothing but this share.
fn play(share: f64) -> DraftPlay {
    let case = any_case().new_tree(&mut TestRunner::deterministic()).expect("a case").current();
    let mut play = case.draft.plays.into_iter().next().expect("a play");
    play.max_fail_percentage = Some(share);
    play
}

#[test]
fn the_published_table_of_waves_and_budgets_is_what_is_planned() {
    let head = "| hosts | `serial` | `max_fail_percentage` |";
    let (_, table) = PLAYBOOKS.split_once(head).expect("the table is published");
    let mut rows = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [hosts, serial, share, waves, tolerated] = cells[..] else { panic!("{row}") };
        let serial: Vec<Batch> =
            serial.split(',').map(|size| size.trim().parse().expect("a size")).collect();
        let play = play(share.parse().expect("a share"));

        let sizes = wave_sizes(hosts.parse().expect("a number"), &serial);
        let budgets: Vec<usize> = sizes.iter().map(|size| play.tolerated(*size) as usize).collect();

        assert_eq!(
            (folded(&sizes).as_str(), folded(&budgets).as_str()),
            (waves, tolerated),
            "{row}"
        );
        rows += 1;
    }
    assert!(rows >= 10, "{rows} rows");
}
