use proptest::prelude::*;

use super::*;

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn draw(now: u32, later: u32) -> Draw {
    Draw { now, later }
}

const fn due(units: u32, after: Duration) -> Load {
    Load { draw: draw(0, 0), due: Some((units, after)) }
}

#[test]
fn a_burst_is_there_at_once_and_then_units_come_at_the_rate() {
    let mut bucket = Bucket::new(2.0, 3, at(0));
    for _ in 0..3 {
        assert_eq!(bucket.not_before(draw(1, 0), at(0)), at(0));
        bucket.draw(draw(1, 0), at(0));
    }

    assert_eq!(bucket.not_before(draw(1, 0), at(0)), at(500));
    bucket.draw(draw(1, 0), at(500));
    assert_eq!(bucket.not_before(draw(1, 0), at(600)), at(1000));
}

#[test]
fn what_a_change_causes_later_is_worked_off_before_the_next_one() {
    let mut bucket = Bucket::new(1.0, 3, at(0));
    bucket.draw(draw(1, 10), at(0));

    assert!((bucket.available(at(0)) - -8.0).abs() < 1e-9);
    assert_eq!(bucket.not_before(draw(1, 0), at(0)), at(9000));
    let soon = bucket.not_before(draw(0, 5), at(0));
    assert!(soon > at(8000) && soon <= at(8001), "{soon:?}");
}

#[test]
fn a_draw_larger_than_the_burst_waits_for_a_full_bucket_only() {
    let mut bucket = Bucket::new(1.0, 3, at(0));
    bucket.draw(draw(1, 0), at(0));

    assert_eq!(bucket.not_before(draw(50, 0), at(0)), at(1000));
}

#[test]
fn a_pause_never_fills_more_than_the_burst() {
    let bucket = Bucket::new(1000.0, 3, at(0));

    assert!((bucket.available(at(3_600_000)) - 3.0).abs() < 1e-9);
}

#[test]
fn what_falls_due_is_taken_at_its_time_and_room_is_left_for_it() {
    let mut bucket = Bucket::new(1.0, 3, at(0));
    bucket.draw(due(2, at(10_000)), at(0));

    assert!((bucket.available(at(9_999)) - 3.0).abs() < 1e-9, "nothing is taken before");
    assert_eq!(bucket.not_before(draw(3, 0), at(0)), at(0), "it is back by then");
    assert_eq!(bucket.not_before(draw(3, 0), at(9_000)), at(12_000), "it would not be back");
    assert_eq!(bucket.not_before(draw(1, 0), at(9_000)), at(9_000), "two are left");
    assert!((bucket.available(at(10_000)) - 1.0).abs() < 1e-9);
}

#[test]
fn load_that_falls_due_together_is_spread_by_starting_later() {
    let after = at(900_000);
    let mut bucket = Bucket::new(1.0, 3, at(0));
    bucket.draw(due(10, after), at(0));

    let next = bucket.not_before(due(2, after), at(0));
    assert_eq!(next, at(9_000), "ten less the burst are worked off, and two are there again");
    bucket.draw(due(2, after), next);
    assert_eq!(bucket.not_before(due(3, after), next), at(12_000));
}

#[test]
fn what_falls_due_too_soon_to_be_parted_from_its_draw_is_lent_with_it() {
    let mut bucket = Bucket::new(1.0, 3, at(0));
    let load = Load { draw: draw(3, 0), due: Some((3, at(2_000))) };
    assert_eq!(bucket.not_before(load, at(0)), at(0), "it would never be possible otherwise");
    bucket.draw(load, at(0));

    assert!((bucket.available(at(0)) - -3.0).abs() < 1e-9);
    assert_eq!(bucket.not_before(draw(1, 0), at(0)), at(4_000));
}

#[test]
fn after_a_restart_nothing_starts_while_it_is_unknown_what_falls_due() {
    let mut bucket = Bucket::new(1.0, 3, at(50_000));
    bucket.draw(Load { draw: draw(2, 0), due: Some((4, at(30_000))) }, at(50_000));
    bucket.carry_over(at(0));

    assert_eq!(bucket.not_before(draw(1, 0), at(5_000)), at(34_000));
    assert!((bucket.available(at(30_000)) - -3.0).abs() < 1e-9);
}

#[test]
fn a_restart_gives_back_only_the_time_since_it() {
    let mut bucket = Bucket::new(1.0, 3, at(50_000));
    bucket.draw(draw(3, 4), at(50_000));
    bucket.carry_over(at(0));

    assert!((bucket.available(at(1_000)) - -3.0).abs() < 1e-9);
    assert!(!bucket.is_idle(at(6_999)) && bucket.is_idle(at(7_000)));
}

#[test]
fn a_bucket_that_was_written_down_is_the_same_one() {
    let mut bucket = Bucket::new(20.0 / 60.0, 3, at(7));
    bucket.draw(Load { draw: draw(3, 9_999_999), due: Some((4, at(30_000))) }, at(50_000));
    let text = serde_json::to_string(&bucket).expect("it is written");

    assert_eq!(serde_json::from_str::<Bucket>(&text).expect("it is read"), bucket);
}

fn any_load() -> impl Strategy<Value = Load> {
    let due = prop::option::of((0..8_u32, prop_oneof![Just(20_000_u64), 0..60_000_u64]));
    (0..5_u32, 0..4_u32, due).prop_map(|(now, later, due)| Load {
        draw: draw(now, later),
        due: due.map(|(units, millis)| (units, at(millis))),
    })
}

/// A point at which units were taken: when, what had to be there, and what was taken.
type Taken = (Duration, f64, f64);

fn taken(load: Load, start: Duration, burst: u32) -> Vec<Taken> {
    let mut points = Vec::new();
    if load.draw.total() > 0 {
        let need = f64::from(load.draw.now.min(burst));
        points.push((start, need, f64::from(load.draw.total())));
    }
    if let Some((units, after)) = load.due.filter(|(units, _)| *units > 0) {
        points.push((start + after, f64::from(units.min(burst)), f64::from(units)));
    }
    points
}

proptest! {
    /// For any two points, all that is taken from the first up to the second, plus what the second
    /// needs, is at most `burst + rate * span`: what falls due is counted at its due time.
    #[test]
    fn no_window_holds_more_than_burst_and_rate(
        rate in prop_oneof![0.2..2.0_f64, Just(1.0), Just(5.0)],
        burst in 1..6_u32,
        loads in prop::collection::vec((any_load(), 0..4_000_u64), 1..40),
    ) {
        let mut bucket = Bucket::new(rate, burst, at(0));
        let (mut now, mut points) = (at(0), Vec::new());
        for (load, pause) in loads {
            now += at(pause);
            for turn in 0.. {
                let start = bucket.not_before(load, now);
                prop_assert!(turn < 100, "it waits for ever");
                if start <= now {
                    break;
                }
                now = start;
            }
            bucket.draw(load, now);
            points.extend(taken(bucket.parted(load), now, burst));
        }
        // At one instant, in the order in which they came about.
        points.sort_by_key(|(at, ..)| *at);
        for i in 0..points.len() {
            let mut sum = 0.0;
            for j in i..points.len() {
                let span = (points[j].0 - points[i].0).as_secs_f64();
                let allowed = f64::from(burst) + rate * span;
                prop_assert!(sum + points[j].1 <= allowed + 1e-6, "{sum} + {} > {allowed}", points[j].1);
                sum += points[j].2;
            }
        }
    }
}
