//! The policies of a play: batches, order, limits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{LimitName, TimeScale, parse_span};

/// A text that is not the policy value it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}")]
pub struct ParsePolicyError {
    /// What was written.
    pub text: String,
    /// What should be there, with examples.
    pub expected: &'static str,
}

/// The size of a wave, or of a budget: a number of hosts or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Batch {
    /// So many hosts.
    Hosts(u32),
    /// This share of the play's hosts, over 0 to 100.
    Percent(f64),
}

impl Batch {
    /// The number of hosts out of `total`: rounded down, at least 1, at most `total`.
    pub fn of(self, total: usize) -> usize {
        let wanted = match self {
            Self::Hosts(count) => count as usize,
            Self::Percent(share) => share_of(total, share),
        };
        wanted.max(1).min(total)
    }
}

/// The sizes of the waves into which `serial` cuts a play's hosts; no sizes mean one wave of all.
///
/// A share is one of the *play's* hosts, rounded down and at least 1, not one of what is left, as
/// in Ansible. The last size repeats until no host is left. A play has at most 65,535 waves: the
/// last one takes what is left.
pub fn wave_sizes(total: usize, serial: &[Batch]) -> Vec<usize> {
    let mut sizes = serial.iter();
    let mut size = total;
    let (mut waves, mut left) = (Vec::new(), total);
    while left > 0 {
        size = sizes.next().map_or(size, |batch| batch.of(total));
        let is_last = waves.len() == usize::from(u16::MAX - 1);
        let take = if is_last { left } else { size.clamp(1, left) };
        waves.push(take);
        left -= take;
    }
    waves
}

/// A share of hosts, 0 to 100, rounded down: 0.57 % of 10,000 is 57.
pub fn share_of(total: usize, percent: f64) -> usize {
    // A share as it is written is seldom a binary fraction; what is a whole number to its writer
    // is one here.
    const GRAIN: f64 = 1e-9;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share between 0 and 100 of a host count is a host count"
    )]
    let hosts = (total as f64 * percent.clamp(0.0, 100.0) / 100.0 + GRAIN).floor() as usize;
    hosts
}

impl FromStr for Batch {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePolicyError {
            text: text.to_owned(),
            expected: "a number of hosts (`1`, `40`) or a share of them (`5%`)",
        };
        match text.trim().strip_suffix('%') {
            Some(share) => {
                let share: f64 = share.trim().parse().map_err(|_| error())?;
                (share > 0.0 && share <= 100.0).then_some(Self::Percent(share)).ok_or_else(error)
            }
            None => match text.trim().parse() {
                Ok(0) | Err(_) => Err(error()),
                Ok(count) => Ok(Self::Hosts(count)),
            },
        }
    }
}

impl TryFrom<String> for Batch {
    type Error = ParsePolicyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Batch> for String {
    fn from(batch: Batch) -> Self {
        batch.to_string()
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// The order in which a play takes its hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Order {
    /// As the inventory lists them.
    #[default]
    Inventory,
    /// By name.
    Sorted,
    /// Shuffled by the run's seed.
    Shuffle,
    /// One of each value of a variable in turn: `interleave(site)`.
    Interleave(String),
}

impl FromStr for Order {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "inventory" => Ok(Self::Inventory),
            "sorted" => Ok(Self::Sorted),
            "shuffle" => Ok(Self::Shuffle),
            other => other
                .strip_prefix("interleave(")
                .and_then(|rest| rest.strip_suffix(')'))
                .map(str::trim)
                .filter(|var| {
                    !var.is_empty() && var.chars().all(|c| c.is_alphanumeric() || c == '_')
                })
                .map(|var| Self::Interleave(var.to_owned()))
                .ok_or_else(|| ParsePolicyError {
                    text: text.to_owned(),
                    expected: "an order: `inventory`, `sorted`, `shuffle` or `interleave(site)`",
                }),
        }
    }
}

impl TryFrom<String> for Order {
    type Error = ParsePolicyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Order> for String {
    fn from(order: Order) -> Self {
        order.to_string()
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inventory => f.write_str("inventory"),
            Self::Sorted => f.write_str("sorted"),
            Self::Shuffle => f.write_str("shuffle"),
            Self::Interleave(var) => write!(f, "interleave({var})"),
        }
    }
}

/// A rate: so many units in each `per`, written `20/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Units, at least 1.
    pub units: u32,
    /// The span they are spread over.
    pub per: Duration,
}

impl Rate {
    /// Units each second in real time, on a world that runs at `scale`.
    pub fn per_second(self, scale: TimeScale) -> f64 {
        f64::from(self.units) / self.per.as_secs_f64() * scale.factor()
    }
}

impl FromStr for Rate {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePolicyError {
            text: text.to_owned(),
            expected: "a rate: a number, a slash and `s`, `min` or `h`, as in `20/min`",
        };
        let (units, per) = text.split_once('/').ok_or_else(error)?;
        let units: u32 = units.trim().parse().map_err(|_| error())?;
        let per = per.trim();
        if units == 0 || !per.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(error());
        }
        let per = parse_span(&format!("1 {per}")).map_err(|_| error())?;
        Ok(Self { units, per })
    }
}

impl TryFrom<String> for Rate {
    type Error = ParsePolicyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            60 => write!(f, "{}/min", self.units),
            3600 => write!(f, "{}/h", self.units),
            86_400 => write!(f, "{}/d", self.units),
            _ => write!(f, "{}/s", self.units),
        }
    }
}

/// Among whom a limit is shared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// All runs of this state directory that work with the same Notification Server.
    #[default]
    Controller,
    /// The hosts and tasks of one run.
    Run,
}

impl LimitScope {
    /// The words that inventories and playbooks use.
    pub const ALL: [(&str, Self); 2] = [("controller", Self::Controller), ("run", Self::Run)];

    /// Whether it is the one that nobody needs to write.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A named limit: how fast, how much at once, how many in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSpec {
    /// The rate at which units come back; none means that only `in_flight` limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Units that may be drawn at once after a pause; at least 1.
    #[serde(default = "one")]
    pub burst: u32,
    /// Changes that may be under way at once; none means no cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// The host variable that splits the limit into one for each of its values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How the limit follows what the server bears; none means that it stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapt: Option<Adapt>,
    /// Among whom it is shared.
    #[serde(default, skip_serializing_if = "LimitScope::is_default")]
    pub scope: LimitScope,
}

/// How far a limit goes below what is declared when its server is slow. It never goes above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adapt {
    /// How much longer than at rest an answer may take, in the world's time, before the server
    /// counts as slow.
    pub slow: Duration,
    /// How many events may wait in the queue while it still grows.
    pub queue: u64,
}

impl Adapt {
    /// The stricter of two.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self { slow: self.slow.min(other.slow), queue: self.queue.min(other.queue) }
    }
}

impl Default for Adapt {
    fn default() -> Self {
        Self { slow: Duration::from_secs(3), queue: 2000 }
    }
}

fn one() -> u32 {
    1
}

/// All limits of a run, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(pub IndexMap<LimitName, LimitSpec>);

impl Default for Limits {
    /// What holds when nothing is said: `ns_iis` 20/min, burst 3, 5 in flight; `cmdb` 2 in
    /// flight; 4 hosts in flight for each site.
    fn default() -> Self {
        let minute = Rate { units: 20, per: Duration::from_secs(60) };
        Self(IndexMap::from([
            (
                LimitName::new(LimitName::NS_IIS),
                LimitSpec {
                    rate: Some(minute),
                    burst: 3,
                    in_flight: Some(5),
                    by: None,
                    adapt: None,
                    scope: LimitScope::Controller,
                },
            ),
            (
                LimitName::new(LimitName::CMDB),
                LimitSpec {
                    rate: None,
                    burst: 1,
                    in_flight: Some(2),
                    by: None,
                    adapt: None,
                    scope: LimitScope::Controller,
                },
            ),
            (
                LimitName::new(LimitName::SITE),
                LimitSpec {
                    rate: None,
                    burst: 1,
                    in_flight: Some(4),
                    by: Some("site".to_owned()),
                    adapt: None,
                    scope: LimitScope::Controller,
                },
            ),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_at_least_one_host_and_at_most_all_of_them() {
        let sizes =
            ["1", "5%", "25%", "100%", "500"].map(|text| text.parse::<Batch>().expect(text).of(60));

        assert_eq!(sizes, [1, 3, 15, 60, 60]);
        assert_eq!("5%".parse::<Batch>().expect("a share").of(3), 1);
        for wrong in ["0", "0%", "101%", "-1", "all", ""] {
            assert!(wrong.parse::<Batch>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn policies_are_shown_as_they_are_written() {
        for order in ["inventory", "sorted", "shuffle", "interleave(site)"] {
            assert_eq!(order.parse::<Order>().expect(order).to_string(), order);
        }
        for rate in ["20/min", "4/s", "100/h"] {
            assert_eq!(rate.parse::<Rate>().expect(rate).to_string(), rate);
        }
        assert!("20".parse::<Rate>().is_err() && "0/min".parse::<Rate>().is_err());
    }

    #[test]
    fn a_rate_is_scaled_with_the_world() {
        let rate: Rate = "20/min".parse().expect("a rate");
        let scale = TimeScale::new(20.0).expect("a scale");

        assert!((rate.per_second(scale) - 20.0 / 3.0).abs() < 1e-9);
    }
}
