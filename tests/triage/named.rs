//! Whether the causes are named: in the scenarios that were written from the articles, and in mixed
//! ones by a seed.

use fleetmend::itms::evidence::AppliedCredential;
use fleetmend::itms::triage::{Expectations, triage};

use crate::scenario::{self, Scenario};
use crate::score::Score;
use crate::world::Examined;

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
    let expectations = Expectations {
        credential: Some(AppliedCredential::AgentConnectivity),
        ..Expectations::default()
    };
    let diagnosis = triage(&now, &looks, &expectations);
    let fleet = world.world().with(|world| world.fleet().clone());
    score.take(scenario, &fleet, &diagnosis);
}

#[tokio::test(start_paused = true)]
async fn the_causes_of_the_articles_scenarios_are_named() {
    let mut figures = Score::default();
    for (number, scenario) in scenario::of_articles().iter().enumerate() {
        score(scenario, number as u64, &mut figures).await;
    }

    #[expect(clippy::print_stdout, reason = "the figures are for people")]
    {
        println!("100 scenarios written from the articles:\n{figures}");
    }
    assert!(figures.share(1) >= 0.99, "servers with one cause");
    assert!(figures.share(2) >= 0.95, "servers with two causes");
    assert_eq!(figures.harmful(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_causes_of_mixed_scenarios_are_named() {
    let mut figures = Score::default();
    for seed in 0..500 {
        score(&scenario::random(seed), seed, &mut figures).await;
    }

    #[expect(clippy::print_stdout, reason = "the figures are for people")]
    {
        println!("500 mixed scenarios:\n{figures}");
    }
    assert!(figures.share(1) >= 0.99, "servers with one cause");
    assert!(figures.share(2) >= 0.95, "servers with two causes");
    assert_eq!(figures.harmful(), [""; 0]);
}
