use std::time::Duration;

use super::*;
use crate::ledger::{Load, SharedSpec};
use crate::model::{Draw, LimitName};

const A: u128 = 1;
const B: u128 = 2;

fn run(number: u128) -> RunId {
    RunId::new(uuid::Uuid::from_u128(number))
}

fn at(millis: u64) -> Moment {
    Moment { stretch: "a boot".to_owned(), at: Duration::from_millis(millis) }
}

fn key(name: &str) -> LimitKey {
    LimitKey { server: "sql01:1433/cmdb".to_owned(), name: LimitName::new(name), by: None }
}

/// Ten a second, three at once, and so many in flight.
fn draw(name: &str, now: u32, cap: Option<u32>) -> SharedDraw {
    SharedDraw {
        key: key(name),
        spec: SharedSpec { rate: Some((10.0, 3)), in_flight: cap },
        load: Load::from(Draw { now, later: 0 }),
    }
}

fn ask(ledger: &mut Ledger, of: u128, claim: u64, draws: &[SharedDraw], now: u64) -> Option<u64> {
    let word = Word::Draw { claim: ClaimId(claim), draws: draws.to_vec() };
    match &ledger.tell(run(of), &[word], &at(now))[..] {
        [(_, Answer::Granted { .. })] => None,
        [(_, Answer::Wait { span, .. })] => {
            Some(u64::try_from(span.as_micros().div_ceil(1000)).expect("short"))
        }
        other => panic!("one answer: {other:?}"),
    }
}

fn give_back(ledger: &mut Ledger, of: u128, claim: u64, name: &str, now: u64) {
    let word = Word::GiveBack { claim: ClaimId(claim), keys: vec![key(name)] };
    assert!(ledger.tell(run(of), &[word], &at(now)).is_empty());
}

#[test]
fn two_runs_draw_from_one_bucket_and_share_its_places() {
    let mut ledger = Ledger::default();
    let one = [draw("ns_iis", 1, Some(2))];
    assert_eq!(ask(&mut ledger, A, 1, &one, 0), None);
    assert_eq!(ask(&mut ledger, B, 1, &one, 0), None);

    assert_eq!(ask(&mut ledger, A, 2, &one, 0), Some(50), "both places are held");
    give_back(&mut ledger, B, 1, "ns_iis", 10);
    assert_eq!(ask(&mut ledger, A, 2, &one, 10), None);
    give_back(&mut ledger, A, 1, "ns_iis", 10);
    assert_eq!(ask(&mut ledger, B, 2, &one, 10), Some(90), "the fourth unit comes after 100 ms");
}

#[test]
fn a_large_draw_of_one_run_is_not_overtaken_by_small_ones_of_another() {
    let mut ledger = Ledger::default();
    let (small, large) = ([draw("ns_iis", 1, None)], [draw("ns_iis", 3, None)]);
    assert_eq!(ask(&mut ledger, B, 1, &small, 0), None);
    assert_eq!(ask(&mut ledger, A, 1, &large, 0), Some(100));

    let told = ask(&mut ledger, B, 2, &small, 0);
    assert_eq!(told, Some(200), "two are there, and they are not for who comes later");
    assert_eq!(ask(&mut ledger, A, 1, &large, 100), None);
    assert_eq!(ask(&mut ledger, B, 2, &small, 200), None);
}

#[test]
fn who_does_not_ask_again_loses_its_turn() {
    let mut ledger = Ledger::default();
    assert_eq!(ask(&mut ledger, A, 1, &[draw("ns_iis", 3, None)], 0), None);
    assert_eq!(ask(&mut ledger, A, 2, &[draw("ns_iis", 3, None)], 0), Some(300));

    assert_eq!(ask(&mut ledger, B, 1, &[draw("ns_iis", 1, None)], 5_000), Some(100));
    assert_eq!(ask(&mut ledger, B, 1, &[draw("ns_iis", 1, None)], 10_400), None);
}

#[test]
fn a_claim_takes_all_its_limits_or_none() {
    let mut ledger = Ledger::default();
    assert_eq!(ask(&mut ledger, A, 1, &[draw("wan", 1, Some(1))], 0), None);

    let both = [draw("ns_iis", 3, None), draw("wan", 1, Some(1))];
    assert_eq!(ask(&mut ledger, B, 1, &both, 0), Some(50));
    give_back(&mut ledger, B, 1, "ns_iis", 0);
    give_back(&mut ledger, B, 1, "wan", 0);
    assert_eq!(ask(&mut ledger, A, 2, &[draw("ns_iis", 3, None)], 0), None, "nothing was taken");
}

#[test]
fn a_question_whose_answer_was_lost_draws_once() {
    let mut ledger = Ledger::default();
    let one = [draw("ns_iis", 3, Some(5))];
    assert_eq!(ask(&mut ledger, A, 1, &one, 0), None);
    assert_eq!(ask(&mut ledger, A, 1, &one, 0), None);

    assert_eq!(ask(&mut ledger, A, 2, &one, 0), Some(300));
}

#[test]
fn what_a_run_held_is_free_when_it_is_gone_and_what_it_drew_stays_drawn() {
    let mut ledger = Ledger::default();
    let two = [draw("ns_iis", 2, Some(1))];
    assert_eq!(ask(&mut ledger, A, 1, &two, 0), None);
    assert_eq!(ask(&mut ledger, A, 2, &two, 0), Some(100));
    ledger.forget(&BTreeSet::from([run(A)]), &at(0));

    assert_eq!(ask(&mut ledger, B, 1, &two, 0), Some(100), "its unit is missing still");
    assert_eq!(ask(&mut ledger, B, 1, &two, 100), None);
}

#[test]
fn the_tighter_of_two_limits_holds_while_both_runs_are_there() {
    let mut ledger = Ledger::default();
    let loose = [draw("ns_iis", 1, Some(9))];
    let mut tight = loose.clone();
    tight[0].spec = SharedSpec { rate: Some((1.0, 1)), in_flight: Some(2) };
    assert_eq!(ask(&mut ledger, A, 1, &loose, 0), None);
    assert_eq!(ask(&mut ledger, B, 1, &tight, 0), None);

    assert_eq!(ask(&mut ledger, A, 2, &loose, 500), Some(500), "one a second");
    assert_eq!(ask(&mut ledger, A, 2, &loose, 1_000), Some(63), "and two in flight");
    ledger.forget(&BTreeSet::from([run(B)]), &at(1_000));
    assert_eq!(ask(&mut ledger, A, 2, &loose, 1_000), None);
    assert_eq!(ask(&mut ledger, A, 3, &loose, 1_000), Some(100), "ten a second");
}

#[test]
fn the_time_of_a_restart_gives_nothing_back() {
    let mut ledger = Ledger::default();
    assert_eq!(ask(&mut ledger, A, 1, &[draw("ns_iis", 3, None)], 60_000), None);
    ledger.forget(&BTreeSet::from([run(A)]), &at(60_000));
    let after = Moment { stretch: "the next boot".to_owned(), at: Duration::from_millis(40) };
    let word = Word::Draw { claim: ClaimId(1), draws: vec![draw("ns_iis", 1, None)] };

    let answers = ledger.tell(run(B), &[word], &after);

    let Answer::Wait { span, .. } = answers[0].1 else { panic!("{answers:?}") };
    assert_eq!(span, Duration::from_millis(60), "a tenth of a second for a unit, since the boot");
}

#[test]
fn a_clock_that_goes_back_gives_nothing_back_and_does_not_stop_the_limit() {
    let mut ledger = Ledger::default();
    assert_eq!(ask(&mut ledger, A, 1, &[draw("ns_iis", 3, None)], 60_000), None);

    assert_eq!(ask(&mut ledger, A, 2, &[draw("ns_iis", 1, None)], 10_000), Some(100));
    assert_eq!(ask(&mut ledger, A, 2, &[draw("ns_iis", 1, None)], 10_100), None);
}

#[test]
fn who_does_not_wait_any_more_is_not_granted_in_the_same_breath() {
    let mut ledger = Ledger::default();
    let draws = vec![draw("ns_iis", 1, None)];
    let claim = ClaimId(1);
    let words = [Word::Draw { claim, draws }, Word::GiveBack { claim, keys: vec![key("ns_iis")] }];

    assert!(ledger.tell(run(A), &words, &at(0)).is_empty());
    assert_eq!(ask(&mut ledger, B, 1, &[draw("ns_iis", 3, None)], 0), None);
}
