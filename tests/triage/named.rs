//! Whether the causes are named: in the scenarios that were written from the articles, and in mixed
//! ones by a seed.

use std::sync::atomic::{AtomicUsize, Ordering};

use fleetmend::itms::evidence::AppliedCredential;
use fleetmend::itms::triage::{Expectations, triage};

use crate::scenario::{self, Scenario};
use crate::score::Score;
use crate::world::Examined;

/// What the operator of every scenario says of the fleet.
pub(crate) fn expectations() -> Expectations {
    Expectations {
        credential: Some(AppliedCredential::AgentConnectivity),
        ..Expectations::default()
    }
}

/// Looks at a world as often as its causes need, and compares.
async fn score(scenario: &Scenario, seed: u64, score: &mut Score) {
    let world = Examined::new(scenario.world(seed));
    world.wait(30).await;
    let mut looks = vec![world.examine().await];
    if scenario.causes.iter().any(scenario::Cause::needs_history) {
        // A loop turns round in 20 minutes, and a new version comes every 30.
        for _ in 0..7 {
            world.wait(7).await;
            looks.push(world.examine().await);
        }
    }
    let now = looks.pop().expect("it looked at least once");
    let diagnosis = triage(&now, &looks, &expectations());
    let fleet = world.world().with(|world| world.fleet().clone());
    score.take(scenario, &fleet, &diagnosis);
}

/// The figures of many scenarios, each of its own seed, on as many threads as there are processors.
fn score_all(scenarios: &[Scenario]) -> Score {
    let next = AtomicUsize::new(0);
    let work = || {
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let mut figures = Score::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = scenarios.get(seed) else { return figures };
            clock.block_on(score(scenario, seed as u64, &mut figures));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut figures = Score::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            figures.add(worker.join().expect("no scenario panics"));
        }
    });
    figures
}

#[test]
fn the_causes_of_the_articles_scenarios_are_named() {
    let figures = score_all(&scenario::of_articles());

    #[expect(clippy::print_stdout, reason = "the figures are for people")]
    {
        println!("100 scenarios written from the articles:\n{figures}");
    }
    assert!(figures.share(1) >= 0.99, "servers with one cause");
    assert!(figures.share(2) >= 0.95, "servers with two causes");
    assert_eq!(figures.harmful(), [""; 0]);
}

#[test]
fn the_causes_of_mixed_scenarios_are_named() {
    let scenarios: Vec<Scenario> = (0..500).map(scenario::random).collect();
    let figures = score_all(&scenarios);

    #[expect(clippy::print_stdout, reason = "the figures are for people")]
    {
        println!("500 mixed scenarios:\n{figures}");
    }
    assert!(figures.share(1) >= 0.99, "servers with one cause");
    assert!(figures.share(2) >= 0.95, "servers with two causes");
    assert_eq!(figures.harmful(), [""; 0]);
}
