//! Many host names in few characters: `ps-lon-[03-05,09]`.

use std::collections::BTreeMap;

/// Folds names that differ in their last number into ranges, and the domain that all of them share
/// is left out after the first.
pub fn fold_hosts<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    // Names with the same text around a number of the same width make one range.
    let mut ranges: BTreeMap<(&str, &str, usize), Vec<u64>> = BTreeMap::new();
    let mut plain: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        match split_number(name) {
            Some((before, digits, after)) => {
                if let Ok(number) = digits.parse() {
                    ranges.entry((before, after, digits.len())).or_default().push(number);
                } else {
                    plain.push(name);
                }
            }
            None => plain.push(name),
        }
    }
    let folded = ranges.into_iter().map(|((before, after, width), numbers)| {
        if let [only] = numbers[..] {
            format!("{before}{only:0width$}{after}")
        } else {
            format!("{before}[{}]{after}", runs(&numbers, width))
        }
    });
    folded.chain(plain.into_iter().map(str::to_owned)).collect::<Vec<_>>().join(", ")
}

/// Splits at the last number of the first label, so that `ps-01.corp2.example` counts by `01`.
fn split_number(name: &str) -> Option<(&str, &str, &str)> {
    let label_end = name.find('.').unwrap_or(name.len());
    let label = &name[..label_end];
    if label.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let end = label.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = label[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    Some((&name[..start], &name[start..end], &name[end..]))
}

/// `3,4,5,9` as `03-05,09`.
fn runs(numbers: &[u64], width: usize) -> String {
    let mut parts = Vec::new();
    let mut open: Option<(u64, u64)> = None;
    let show = |(first, last): (u64, u64)| match last - first {
        0 => format!("{first:0width$}"),
        1 => format!("{first:0width$},{last:0width$}"),
        _ => format!("{first:0width$}-{last:0width$}"),
    };
    for &number in numbers {
        open = match open {
            Some((first, last)) if number == last + 1 => Some((first, number)),
            Some(run) => {
                parts.push(show(run));
                Some((number, number))
            }
            None => Some((number, number)),
        };
    }
    parts.extend(open.map(show));
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_count_are_folded_into_ranges() {
        let names = ["ps-lon-04", "ps-lon-03", "ps-lon-05", "ps-lon-09", "ps-osl-11", "smp"];

        assert_eq!(fold_hosts(names), "ps-lon-[03-05,09], ps-osl-11, smp");
    }

    #[test]
    fn a_domain_is_kept_and_widths_are_not_mixed() {
        let names = ["ps-1.corp2.example", "ps-2.corp2.example", "ps-01.corp2.example"];

        assert_eq!(fold_hosts(names), "ps-[1,2].corp2.example, ps-01.corp2.example");
    }

    #[test]
    fn addresses_are_not_taken_apart() {
        assert_eq!(fold_hosts(["127.0.1.2", "127.0.1.1"]), "127.0.1.1, 127.0.1.2");
    }
}
