//! What the ledger says of limits that other runs draw from, and what follows.

use super::*;

/// The claim and the limits of the draws among commands.
pub(super) fn asked(commands: &[Command]) -> Vec<(ClaimId, Vec<String>)> {
    let draw = |command: &Command| match command {
        Command::Draw { claim, draws } => {
            let keys = draws.iter().map(|draw| draw.key.to_string());
            Some((*claim, keys.collect()))
        }
        _ => None,
    };
    commands.iter().filter_map(draw).collect()
}

#[test]
fn nothing_is_applied_while_the_ledger_cannot_be_read() {
    let mut scheduler = Scheduler::new(draft(1, 1, None));
    scheduler.share(vec!["sql01".to_owned(), "sql02".to_owned()]);
    let step = started(&commands(&mut scheduler, at(0))).remove(0);
    let decided = Input::Decided { step: step.clone(), cost: Cost::ns_iis(1, 0) };
    scheduler.handle(at(1), decided);

    let first = asked(&commands(&mut scheduler, at(1)));
    let keys = [r#""ns_iis" of "sql01""#, r#""ns_iis" of "sql02""#];
    assert_eq!(first[0].1, keys, "a change may reach either server");
    let error = crate::ledger::SharedLimitsError { reason: "database is locked".to_owned() };
    let claim = first[0].0;
    scheduler.handle(at(9), Input::Drawn { claim, answer: Answer::Unreadable(error) });
    assert_eq!(commands(&mut scheduler, at(9)), []);
    let waiting = scheduler.gauge(at(9)).waiting;
    assert!(waiting.contains(&(WaitReason::Ledger("database is locked".to_owned()), 1)));

    assert_eq!(scheduler.next_wakeup(), Some(Elapsed::from_millis(2_009)));
    assert_eq!(asked(&commands(&mut scheduler, at(2_009))), first, "the same claim asks again");
    let answer = Answer::Granted { at: Duration::ZERO, left: vec![Some(2.0), Some(0.0)] };
    scheduler.handle(at(2_010), Input::Drawn { claim, answer });
    assert_eq!(commands(&mut scheduler, at(2_010)), [Command::Apply { step: step.clone() }]);

    finish(&mut scheduler, &step, None, at(3_000));
    let after = commands(&mut scheduler, at(3_000));
    assert!(matches!(&after[0], Command::GiveBack { claim: back, .. } if *back == claim));
}

#[test]
fn a_host_whose_site_other_runs_fill_lets_others_pass_and_asks_again() {
    let mut draft = draft(2, 1, None);
    let site = |name: &str| BTreeMap::from([("site".to_owned(), name.to_owned())]);
    draft.plays[0].hosts[0].values = site("LON");
    draft.plays[0].hosts[1].values = site("OSL");
    let mut scheduler = Scheduler::new(draft);
    scheduler.share(vec!["sql01".to_owned()]);
    let london = asked(&commands(&mut scheduler, at(0)));
    assert_eq!(london[0].1, [r#""site" of "sql01" at "LON""#]);

    let full = Answer::Wait { span: Duration::from_millis(500), by: 0 };
    scheduler.handle(at(1), Input::Drawn { claim: london[0].0, answer: full });
    let oslo = asked(&commands(&mut scheduler, at(1)));
    assert_eq!(oslo[0].1, [r#""site" of "sql01" at "OSL""#]);
    let site = WaitReason::Limit(LimitName::new("site"), Some("LON".to_owned()));
    assert!(scheduler.gauge(at(1)).waiting.contains(&(site, 1)));
    let answer = Answer::Granted { at: Duration::ZERO, left: vec![None] };
    scheduler.handle(at(2), Input::Drawn { claim: oslo[0].0, answer: answer.clone() });
    let step = started(&commands(&mut scheduler, at(2))).remove(0);
    assert_eq!(step.host.as_str(), "ps-1");

    finish(&mut scheduler, &step, None, at(600));
    let again = asked(&commands(&mut scheduler, at(600)));
    assert_eq!(again[0].1, london[0].1);
    scheduler.handle(at(601), Input::Drawn { claim: again[0].0, answer });
    assert_eq!(started(&commands(&mut scheduler, at(601)))[0].host.as_str(), "ps-0");
}

#[test]
fn what_the_ledger_grants_while_the_play_is_paused_is_given_back_and_drawn_anew() {
    let mut scheduler = Scheduler::new(adapting(1));
    scheduler.share(vec!["sql01".to_owned()]);
    let quick = Some(Duration::from_millis(40));
    let step = started(&seconds(&mut scheduler, 0, 8, quick)).remove(0);
    let decided = Input::Decided { step: step.clone(), cost: Cost::ns_iis(1, 0) };
    scheduler.handle(at(8_000), decided);
    let claim = asked(&seconds(&mut scheduler, 8, 1, quick))[0].0;
    // The Notification Server falls silent before the ledger answers.
    let _silent = seconds(&mut scheduler, 9, 7, None);

    let answer = Answer::Granted { at: Duration::ZERO, left: vec![Some(2.0)] };
    scheduler.handle(at(15_100), Input::Drawn { claim, answer: answer.clone() });
    let paused = commands(&mut scheduler, at(15_100));
    let is_back = |command: &Command| matches!(command, Command::GiveBack { claim: back, .. } if *back == claim);
    assert!(paused.iter().any(is_back), "{paused:?}");
    assert!(!paused.contains(&Command::Apply { step: step.clone() }), "{paused:?}");
    let booked: Vec<u64> =
        scheduler.gauge(at(15_100)).limits.iter().map(|limit| limit.booked).collect();
    assert!(booked.iter().all(|units| *units == 0), "nothing was asked of the server: {booked:?}");

    let after = seconds(&mut scheduler, 16, 60, quick);
    let anew = asked(&after);
    assert_eq!(anew.len(), 1, "{after:?}");
    scheduler.handle(at(78_000), Input::Drawn { claim: anew[0].0, answer });
    let next = commands(&mut scheduler, at(78_000));
    assert!(next.contains(&Command::Apply { step }), "{next:?}");
}
