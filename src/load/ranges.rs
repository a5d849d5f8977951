//! Host ranges as Ansible writes them: `ps-[001:400]`, `rack-[a:c]`, `ps-[0:10:2]`.

/// The most hosts that one name may stand for.
const MAX_HOSTS: usize = 100_000;

/// Why a name is no host or range of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRange(pub(super) String);

/// The hosts that a name stands for.
pub(super) fn expand(name: &str) -> Result<Vec<String>, BadRange> {
    let mut names = vec![String::new()];
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        let (inside, after) = after
            .split_once(']')
            .ok_or_else(|| BadRange(format!("the bracket of `[{after}` is not closed")))?;
        let parts = values(inside)?;
        if names.len() * parts.len() > MAX_HOSTS {
            return Err(BadRange(format!("it stands for more than {MAX_HOSTS} hosts")));
        }
        names = names
            .iter()
            .flat_map(|known| parts.iter().map(move |part| format!("{known}{before}{part}")))
            .collect();
        rest = after;
    }
    for known in &mut names {
        known.push_str(rest);
    }
    Ok(names)
}

/// What stands between the brackets, written out.
fn values(inside: &str) -> Result<Vec<String>, BadRange> {
    let wrong = |why: &str| BadRange(format!("`[{inside}]` is no range: {why}"));
    let parts: Vec<&str> = inside.split(':').collect();
    let (from, to, step) = match parts[..] {
        [from, to] => (from, to, 1),
        [from, to, step] => {
            let step = step.parse().ok().filter(|step| *step > 0);
            (from, to, step.ok_or_else(|| wrong("the step is no number over 0"))?)
        }
        _ => return Err(wrong("write a first and a last value, as in `[01:40]`")),
    };
    if let ([first @ (b'a'..=b'z' | b'A'..=b'Z')], [last @ (b'a'..=b'z' | b'A'..=b'Z')]) =
        (from.as_bytes(), to.as_bytes())
    {
        if first > last {
            return Err(wrong("the first letter comes after the last"));
        }
        return Ok((*first..=*last)
            .step_by(step)
            .map(|letter| char::from(letter).to_string())
            .collect());
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(from) || !is_number(to) {
        return Err(wrong("write two numbers or two letters, as in `[01:40]` or `[a:c]`"));
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    if width > 1 && to.len() != width {
        return Err(wrong("with leading zeros both numbers have as many digits"));
    }
    let number = |text: &str| text.parse::<usize>().map_err(|_| wrong("the number is too large"));
    let (first, last) = (number(from)?, number(to)?);
    if first > last {
        return Err(wrong("the first number is larger than the last"));
    }
    if (last - first) / step >= MAX_HOSTS {
        return Err(BadRange(format!("it stands for more than {MAX_HOSTS} hosts")));
    }
    Ok((first..=last).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_out_with_the_zeros_of_its_first_number() {
        assert_eq!(expand("ps-[08:11].x").unwrap(), ["ps-08.x", "ps-09.x", "ps-10.x", "ps-11.x"]);
        assert_eq!(expand("ps-[9:11]").unwrap(), ["ps-9", "ps-10", "ps-11"]);
        assert_eq!(expand("[a:c]-[1:2]").unwrap(), ["a-1", "a-2", "b-1", "b-2", "c-1", "c-2"]);
        assert_eq!(expand("ps-[0:10:5]").unwrap(), ["ps-0", "ps-5", "ps-10"]);
        assert_eq!(expand("ps-lon-01.corp.example").unwrap(), ["ps-lon-01.corp.example"]);
        assert_eq!(expand("ps-[001:400]").unwrap().len(), 400);
    }

    #[test]
    fn a_range_that_would_be_guessed_at_is_refused() {
        for name in [
            "ps-[01:40",
            "ps-[]",
            "ps-[5]",
            "ps-[5:1]",
            "ps-[c:a]",
            "ps-[1:x]",
            "ps-[001:4]",
            "ps-[1:9:0]",
            "[1:999999]",
            "[1:999][1:999]",
        ] {
            assert!(expand(name).is_err(), "{name}");
        }
    }
}
