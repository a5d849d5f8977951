//! What a log can say of why packages are not well: the named signatures of the articles, found in
//! the events of an agent.log or of the Notification Server's a.log.

use super::agent_log::Event;
use super::evidence::LogFinding;
use super::log_date::LogDate;
use crate::model::Guid;

/// Something that is told by the text of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signature {
    /// `Server is busy. Package sources request is backing off (-2147467259)` (KB 181405, which
    /// writes the number as -214746725; KB 176788 has it right).
    ServerBusy,
    /// A trace that names `MaxConcurrentPackageInfoRequest` (KB 181405).
    PackageInfoLimit,
    /// `Cannot create directory: 0x80070005` by `CreateDirectoryPath` (KB 179719).
    AccessDeniedDirectory,
    /// `Error while copying event to capture directory: Access is denied (-2147024891)` (KB 179719).
    AccessDeniedEvent,
    /// `The trust relationship between this workstation and the primary domain failed (1789)`
    /// (KB 179719).
    Trust1789,
    /// `version of the package on the server(1) is older than required(2)` (KB 163475).
    PackageServerOlder,
    /// A `snapshot.xml` that another process uses (0x00000020) (KB 163475).
    SnapshotLocked,
    /// `CAeXNSCPkgSvr::UpdatePackage failed … 0x80043005`, `Cannot save package` (KB 387398).
    SecureStorage,
    /// `Partial Data Received`, 0x000002C3: an application pool of IIS that stops (KB 422201).
    PartialData,
    /// `Marking package id: {…} as deleted`: the package was unassigned (KB 181052).
    MarkedDeleted,
    /// `CleanupExpiredPackages`: the agent's own removal (KB 413372).
    CleanupExpired,
    /// The Notification Server cannot reach the folder of a package's source (KB 397906).
    SourcePath,
    /// An event that could not be sent to the Notification Server, other than by a denied access.
    EventNotSent,
    /// A transaction of the Notification Server that was rolled back, or lost a lock, while it built
    /// a snapshot (KB 181405, causes).
    SnapshotRollback,
    /// The Notification Server could not process an event (KB 181405, causes).
    EventNotProcessed,
    /// A disk without space (KB 416632).
    DiskFull,
    /// A path that is too long for the product (KB 152039).
    PathTooLong,
    /// A package whose files came in whole.
    DownloadCompleted,
}

use Signature::{
    AccessDeniedDirectory, AccessDeniedEvent, CleanupExpired, DiskFull, DownloadCompleted,
    EventNotProcessed, EventNotSent, MarkedDeleted, PackageInfoLimit, PackageServerOlder,
    PartialData, PathTooLong, SecureStorage, ServerBusy, SnapshotLocked, SnapshotRollback,
    SourcePath, Trust1789,
};

impl Signature {
    /// Every signature, in the order in which findings are listed.
    pub const ALL: [Self; 18] = [
        ServerBusy,
        PackageInfoLimit,
        AccessDeniedDirectory,
        AccessDeniedEvent,
        Trust1789,
        PackageServerOlder,
        SnapshotLocked,
        SecureStorage,
        PartialData,
        MarkedDeleted,
        CleanupExpired,
        SourcePath,
        EventNotSent,
        SnapshotRollback,
        EventNotProcessed,
        DiskFull,
        PathTooLong,
        DownloadCompleted,
    ];

    /// Its name in findings and playbooks.
    pub fn name(self) -> &'static str {
        match self {
            ServerBusy => "server_busy",
            PackageInfoLimit => "package_info_limit",
            AccessDeniedDirectory => "access_denied_directory",
            AccessDeniedEvent => "access_denied_event",
            Trust1789 => "trust_1789",
            PackageServerOlder => "package_server_older",
            SnapshotLocked => "snapshot_locked",
            SecureStorage => "secure_storage",
            PartialData => "partial_data",
            MarkedDeleted => "marked_deleted",
            CleanupExpired => "cleanup_expired",
            SourcePath => "source_path",
            EventNotSent => "event_not_sent",
            SnapshotRollback => "snapshot_rollback",
            EventNotProcessed => "event_not_processed",
            DiskFull => "disk_full",
            PathTooLong => "path_too_long",
            DownloadCompleted => "download_completed",
        }
    }

    /// The signature of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signature| signature.name() == name)
    }

    /// Whether an event shows it. The texts are compared without regard to case; numbers of errors
    /// count where the text may be in another language and the number says the same.
    fn is_in(self, event: &Seen<'_>) -> bool {
        let Seen { text, source, severity } = event;
        let has = |needle: &str| text.contains(needle);
        let all = |needles: &[&str]| needles.iter().all(|needle| text.contains(needle));
        match self {
            ServerBusy => {
                has("server is busy")
                    || (has("package sources request")
                        && (has("backing off") || has("-2147467259") || has("-214746725")))
            }
            PackageInfoLimit => has("maxconcurrentpackageinforequest"),
            AccessDeniedDirectory => {
                let is_of_directory =
                    source.contains("createdirectorypath") || has("cannot create directory");
                is_of_directory
                    && (has("0x80070005") || has("-2147024891") || has("access is denied"))
            }
            AccessDeniedEvent => {
                let is_of_event = source.contains("eventtransport") || has("capture directory");
                is_of_event && (has("-2147024891") || has("0x80070005") || has("access is denied"))
            }
            Trust1789 => has("trust relationship") || has("(1789)"),
            PackageServerOlder => older_version(text).is_some(),
            SnapshotLocked => {
                let is_held = has("used by another process") || has("0x00000020");
                is_held && (has("snapshot.xml") || has("package"))
            }
            SecureStorage => has("0x80043005") || has("cannot save package"),
            PartialData => has("0x000002c3") || has("partial data received"),
            MarkedDeleted => all(&["marking package id", "as deleted"]),
            CleanupExpired => {
                has("cleanupexpiredpackages") || source.contains("cleanupexpiredpackages")
            }
            SourcePath => {
                all(&["failed to refresh package snapshot", "could not access"])
                    || has("unable to refresh the codebase information for package")
                    || has("could not access the path for package")
                    || has("could not access the package path")
            }
            EventNotSent => {
                let is_failure = severity.is_some_and(|severity| severity <= 2)
                    || has("error")
                    || has("fail")
                    || has("cannot");
                source.contains("eventtransport") && is_failure && !AccessDeniedEvent.is_in(event)
            }
            SnapshotRollback => {
                let is_undone = has("rolled back") || has("rollback") || has("deadlock");
                is_undone && has("snapshot")
            }
            EventNotProcessed => {
                let is_event = has("nse") || has("event queue") || has("process event");
                let is_failure = has("failed to process") || has("error processing");
                is_failure && is_event
            }
            DiskFull => {
                has("not enough space on the disk")
                    || has("0x80070070")
                    || has("-2147024784")
                    || has("disk is full")
            }
            PathTooLong => {
                has("path is too long")
                    || has("filename or extension is too long")
                    || has("0x800700ce")
                    || all(&["path", "exceeds", "254"])
            }
            DownloadCompleted => {
                let is_well = has("is ready, version")
                    || has("download complete")
                    || has("downloaded successfully")
                    || all(&["download", "100%"]);
                has("package") && is_well
            }
        }
    }
}

/// An event in the form in which it is searched.
struct Seen<'a> {
    text: &'a str,
    source: &'a str,
    severity: Option<u32>,
}

/// The signatures that an event shows, in the order of [`Signature::ALL`]; mostly none.
pub fn signatures(event: &Event) -> Vec<Signature> {
    let (text, source) = (event.text.to_lowercase(), event.source.to_lowercase());
    let seen = Seen { text: &text, source: &source, severity: event.severity };
    Signature::ALL.into_iter().filter(|signature| signature.is_in(&seen)).collect()
}

/// The GUIDs that a text names, each once, in order of their first mention, at most
/// [`MOST_PACKAGES`]. A package's event names the package; it may name a machine as well.
pub fn guids_in(text: &str) -> Vec<Guid> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let mut at = 0;
    while at + GUID_LENGTH <= bytes.len() && found.len() < MOST_PACKAGES {
        let is_whole = (at == 0 || !is_word(at - 1)) && !is_word(at + GUID_LENGTH);
        let guid = text.get(at..at + GUID_LENGTH).filter(|_| is_whole && bytes[at + 8] == b'-');
        match guid.and_then(|guid| guid.parse::<Guid>().ok()) {
            Some(guid) => {
                if !found.contains(&guid) {
                    found.push(guid);
                }
                at += GUID_LENGTH;
            }
            None => at += 1,
        }
    }
    found
}

const GUID_LENGTH: usize = 36;
/// The most packages that one finding names.
pub const MOST_PACKAGES: usize = 200;
/// The most characters of an event's text that a finding keeps.
const MOST_TEXT: usize = 300;

/// The two versions of `version of the package on the server(1) is older than required(2)`: what the
/// server has, and what was required (KB 163475).
pub fn older_version(text: &str) -> Option<(u64, u64)> {
    let text = text.to_lowercase();
    let number_after = |text: &str, phrase: &str| -> Option<(u64, usize)> {
        let start = text.find(phrase)? + phrase.len();
        let inside = text[start..].trim_start().strip_prefix('(')?;
        let end = inside.find(')')?;
        let number = inside[..end].trim().parse().ok()?;
        Some((number, text.len() - inside.len() + end))
    };
    let (has, end) = number_after(&text, "version of the package on the server")?;
    let (required, _) = number_after(&text[end..], "is older than required")?;
    Some((has, required))
}

/// Sums up what the events of a log show, in the order of [`Signature::ALL`]; `events` are in the
/// order of the log.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<LogFinding> {
    let mut findings: Vec<Option<LogFinding>> = vec![None; Signature::ALL.len()];
    let mut end: Option<LogDate> = None;
    for event in events {
        end = LogDate::parse(&event.date).or(end);
        for signature in signatures(event) {
            let finding = findings[signature as usize].get_or_insert_with(|| LogFinding {
                signature: signature.name().to_owned(),
                count: 0,
                last: String::new(),
                seconds_ago: None,
                packages: Vec::new(),
                text: String::new(),
            });
            finding.count = finding.count.saturating_add(1);
            finding.last.clone_from(&event.date);
            finding.text = event.text.trim().chars().take(MOST_TEXT).collect();
            for package in guids_in(&event.text) {
                if finding.packages.len() < MOST_PACKAGES && !finding.packages.contains(&package) {
                    finding.packages.push(package);
                }
            }
        }
    }
    let mut findings: Vec<LogFinding> = findings.into_iter().flatten().collect();
    for finding in &mut findings {
        finding.seconds_ago =
            LogDate::parse(&finding.last).zip(end).map(|(last, end)| last.seconds_before(end));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itms::agent_log::read_events;

    const PACKAGE: &str = "{0562094A-ECBE-4617-9253-5E7FFB5E00C4}";

    fn event(source: &str, text: &str) -> Event {
        Event {
            date: "May 16 11:51:05".to_owned(),
            severity: Some(2),
            source: source.to_owned(),
            text: text.to_owned(),
            ..Event::default()
        }
    }

    fn names(source: &str, text: &str) -> Vec<&'static str> {
        signatures(&event(source, text)).into_iter().map(Signature::name).collect()
    }

    #[test]
    fn the_events_of_article_b_are_known() {
        let log = "<event date='May 16 11:51:05' severity='2' hostName='xx100' source='CreateDirectoryPath' module='AeXNSAgent.exe' process='AeXNSAgent.exe' pid='724' thread='1740' tickCount='495844828' >\n  <![CDATA[Cannot create directory: 0x80070005 [Access is denied] d:]]></event>\n<event date='May 16 11:51:07' severity='2' hostName='xx100' source='EventTransport' module='AeXNSAgent.exe' process='AeXNSAgent.exe' pid='724' thread='1740' tickCount='495844843' >\n  <![CDATA[Error while copying event to capture directory: Access is denied (-2147024891)]]></event>\n";

        let findings = fold(&read_events(log.as_bytes()).events);

        let seen: Vec<(&str, u32, Option<u64>)> =
            findings.iter().map(|f| (f.signature.as_str(), f.count, f.seconds_ago)).collect();
        assert_eq!(
            seen,
            [("access_denied_directory", 1, Some(2)), ("access_denied_event", 1, Some(0))]
        );
    }

    #[test]
    fn each_signature_is_found_in_the_words_of_its_article_and_alone() {
        let marking = format!("Marking package id: {PACKAGE} as deleted");
        let cases: &[(&str, &str, &[&str])] = &[
            (
                "",
                "Error while downloading package: Server is busy.  Package sources request is backing off (-2147467259)",
                &["server_busy"],
            ),
            ("", "Package sources request is waiting (-214746725)", &["server_busy"]),
            ("", "MaxConcurrentPackageInfoRequests reached", &["package_info_limit"]),
            (
                "PackageStatus",
                "The trust relationship between this workstation and the primary domain failed(1789).",
                &["trust_1789"],
            ),
            (
                "",
                "The version of the package on the server(1601867730) is older than required(1601954124)",
                &["package_server_older"],
            ),
            (
                "",
                r"C:\x\snapshot.xml: the file is being used by another process (0x00000020)",
                &["snapshot_locked"],
            ),
            ("", "CAeXNSCPkgSvr::UpdatePackage failed, 0x80043005", &["secure_storage"]),
            ("", "Partial Data Received (0x000002C3)", &["partial_data"]),
            ("", &marking, &["marked_deleted"]),
            ("CAeXNSCPkgSvr", "CleanupExpiredPackages: 2 removed", &["cleanup_expired"]),
            (
                "",
                r"failed to refresh package snapshot. Could not access the package path \\src\p",
                &["source_path"],
            ),
            ("EventTransport", "Failed to send event: timed out", &["event_not_sent"]),
            ("", "Snapshot of the package: transaction was rolled back", &["snapshot_rollback"]),
            ("", "Failed to process NSE 1.nse", &["event_not_processed"]),
            ("", "There is not enough space on the disk", &["disk_full"]),
            ("", "The filename or extension is too long", &["path_too_long"]),
            ("Package Server", "Package is ready, version 1601954124", &["download_completed"]),
        ];
        for (source, text, expected) in cases {
            assert_eq!(names(source, text), *expected, "{text}");
        }
    }

    #[test]
    fn what_only_resembles_a_signature_is_none() {
        let mut quiet = event("EventTransport", "Event posted");
        quiet.severity = Some(4);
        assert!(signatures(&quiet).is_empty());
        for text in [
            "Unspecified error (-2147467259)",
            "Request denied: 0x80070005",
            "file is used by another process",
            "Package 1789 updated",
            "version of the package on the server(x) is older than required(2)",
            "",
        ] {
            assert!(names("Agent", text).is_empty(), "{text}");
        }
    }

    #[test]
    fn every_name_is_unique_and_leads_back() {
        for (at, signature) in Signature::ALL.into_iter().enumerate() {
            assert_eq!(Signature::of(signature.name()), Some(signature));
            assert_eq!(signature as usize, at, "the order of ALL is that of the enum");
        }
    }

    #[test]
    fn packages_are_taken_from_texts_in_every_spelling_and_nothing_else() {
        let text = format!(
            "pkggroup_{PACKAGE}: 0562094a-ecbe-4617-9253-5e7ffb5e00c4; ü{{1562094A-ECBE-4617-9253-5E7FFB5E00C4}} 0562094A-ECBE-4617-9253-5E7FFB5E00C4F"
        );

        let found = guids_in(&text);

        let expected: Vec<Guid> =
            [PACKAGE, "{1562094A-ECBE-4617-9253-5E7FFB5E00C4}"].map(|g| g.parse().unwrap()).into();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_fold_counts_keeps_the_last_and_names_each_package_once() {
        let mut events: Vec<Event> = (0..3)
            .map(|minute| Event {
                date: format!("May 16 11:{minute:02}:00"),
                ..event("", &format!("Server is busy, {PACKAGE} is backing off"))
            })
            .collect();
        events.push(Event { date: "May 16 12:02:00".to_owned(), ..event("", "other") });

        let [finding] = &fold(&events)[..] else { panic!("one finding") };

        assert_eq!((finding.count, finding.last.as_str()), (3, "May 16 11:02:00"));
        assert_eq!(finding.seconds_ago, Some(3600));
        assert_eq!(finding.packages.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(source in ".*", text in ".*", date in ".*") {
            let event = Event { date, source, text, ..Event::default() };
            fold([&event]);
        }
    }
}
