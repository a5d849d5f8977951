//! Cuts a play's hosts into waves.

use crate::model::{Batch, wave_sizes};

/// Cuts `hosts` into waves by the sizes of `serial`: see [`wave_sizes`].
pub fn cut<T>(hosts: Vec<T>, serial: &[Batch]) -> Vec<Vec<T>> {
    let sizes = wave_sizes(hosts.len(), serial);
    let mut rest = hosts.into_iter();
    sizes.into_iter().map(|size| rest.by_ref().take(size).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(total: usize, serial: &[&str]) -> Vec<usize> {
        let serial: Vec<Batch> =
            serial.iter().map(|text| text.parse().expect("a size of a wave")).collect();
        cut((0..total).collect(), &serial).iter().map(Vec::len).collect()
    }

    #[test]
    fn shares_are_of_the_plays_hosts_and_the_last_size_repeats() {
        assert_eq!(sizes(2000, &["1", "2%", "25%", "100%"]), [1, 40, 500, 1459]);
        assert_eq!(sizes(10, &["4"]), [4, 4, 2]);
        assert_eq!(sizes(7, &["1", "30%"]), [1, 2, 2, 2]);
    }

    #[test]
    fn a_play_without_sizes_is_one_wave_and_one_without_hosts_has_none() {
        assert_eq!(sizes(9, &[]), [9]);
        assert_eq!(sizes(0, &["1", "100%"]), [0; 0]);
    }

    #[test]
    fn waves_can_be_numbered_however_many_hosts_there_are() {
        let waves = sizes(70_000, &["1"]);

        assert_eq!(waves.len(), usize::from(u16::MAX));
        assert_eq!(waves.iter().sum::<usize>(), 70_000);
    }
}
