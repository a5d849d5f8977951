//! How the Notification Server was found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How one look found the Notification Server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NsHealth {
    /// How long its connection test took to answer, in real time; none when it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Duration>,
    /// The status of that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Whether it said that it is busy: status 503, "Server is busy", -214746725.
    #[serde(default)]
    pub is_busy: bool,
    /// Rows of `EventQueueEntry`; none when they were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// The smallest id of those rows. While it does not move, no event is taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<i64>,
}

impl NsHealth {
    /// A look to which nothing answered.
    pub fn unreadable() -> Self {
        Self::default()
    }

    /// Several Notification Servers as one: what is worst of them. What one of them did not tell is
    /// not known of all.
    pub fn together(looks: impl IntoIterator<Item = Self>) -> Self {
        let worse = |one: Self, other: Self| Self {
            latency: one.latency.zip(other.latency).map(|(one, other)| one.max(other)),
            status: match (one.status, other.status) {
                (Some(200), status) | (status, Some(200)) => status,
                (status, _) => status,
            },
            is_busy: one.is_busy || other.is_busy,
            queue: one.queue.zip(other.queue).map(|(one, other)| one.saturating_add(other)),
            oldest: match (one.oldest, other.oldest) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (oldest, None) | (None, oldest) => oldest,
            },
        };
        looks.into_iter().reduce(worse).unwrap_or_default()
    }

    /// Whether anything is known from it: the connection test answered, if only that the server is
    /// busy.
    pub fn is_readable(&self) -> bool {
        self.latency.is_some() || self.is_busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_servers_the_worst_is_told() {
        let well = NsHealth {
            latency: Some(Duration::from_millis(20)),
            status: Some(200),
            is_busy: false,
            queue: Some(3),
            oldest: Some(7),
        };
        let slow = NsHealth { latency: Some(Duration::from_secs(2)), ..well.clone() };
        let silent = NsHealth { queue: Some(1), ..NsHealth::unreadable() };

        let both = NsHealth::together([well.clone(), slow]);
        assert_eq!((both.latency, both.queue), (Some(Duration::from_secs(2)), Some(6)));
        let told = NsHealth::together([well.clone(), silent]);
        assert!(!told.is_readable() && told.status.is_none());
        assert_eq!(NsHealth::together([well.clone()]), well);
        assert_eq!(NsHealth::together([]), NsHealth::unreadable());
    }

    #[test]
    fn a_busy_answer_tells_something_and_no_answer_does_not() {
        let busy = NsHealth { is_busy: true, ..NsHealth::default() };
        let queue_alone = NsHealth { queue: Some(3), ..NsHealth::default() };

        assert!(busy.is_readable());
        assert!(!NsHealth::unreadable().is_readable());
        assert!(!queue_alone.is_readable(), "the queue says nothing of the web server");
    }
}
