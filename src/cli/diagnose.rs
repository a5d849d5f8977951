//! `fleetmend diagnose`: which servers and packages are not well, why, and what to run.

mod evidence;
mod playbook;

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use serde_json::Value;

use super::approvals::Approvals;
use super::args::{Cli, DiagnoseArgs};
use super::error::Failure;
use super::launch::{self, Show};
use super::run::{self, RunRequest};
use super::{environment, files, inventory, output, signals, sources};
use crate::event::{RunResult, RunState};
use crate::itms::evidence::FleetEvidence;
use crate::itms::triage::{Diagnosis, Expectations, Severity, Verdict, triage};
use crate::model::{Inventory, TagChoice, TimeScale, Vars, parse_span};
use crate::report::{Examination, changes, diagnosis_json, diagnosis_page, diagnosis_text};
use crate::store::{Keep, KeepRuns, StateDir, StateDirError, prunable};

pub(super) use playbook::NAME as PLAYBOOK_NAME;

/// The variable that says under which credential package services run.
const CREDENTIAL: &str = "package_credential";
/// How much of the past of a fleet is kept.
const KEEP: Keep = Keep { examinations: 50, bytes: 256 << 20 };
/// Journals of diagnoses that are kept, of all fleets together.
const KEEP_JOURNALS: usize = 20;

/// One look at a fleet.
struct Look {
    state: RunState,
    evidence: FleetEvidence,
    diagnosis: Diagnosis,
    scale: TimeScale,
}

/// Examines a fleet, once or again and again, and says what is wrong with it.
pub(super) async fn diagnose(cli: &Cli, args: &DiagnoseArgs) -> Result<RunResult, Failure> {
    let every = parse_span(&args.every).map_err(|error| {
        Failure::input(format!("could not understand --every {}", args.every)).because(&error)
    })?;
    let state_dir = launch::writable_state_dir(cli)?;
    let mut before: Option<Diagnosis> = None;
    let mut number = 0;
    // From the first look on: what comes while a look ends is heard by the pause after it.
    let mut leaves = pin!(signals::interrupted());
    loop {
        let look = look(cli, &state_dir, args).await?;
        let result = launch::result_of(&look.state);
        show(args, &look, before.as_ref())?;
        // What was not looked at to its end says nothing of the fleet.
        if matches!(result, RunResult::Bug | RunResult::Stopped) || look.state.breaker.is_some() {
            return Ok(result);
        }
        let verdict = result_of(&look.diagnosis);
        number += 1;
        if !args.watch || args.times.is_some_and(|times| number >= times) {
            return Ok(verdict);
        }
        let real = look.scale.to_real(every).max(Duration::from_secs(1));
        before = Some(look.diagnosis);
        tokio::select! {
            () = tokio::time::sleep(real) => {}
            () = &mut leaves => return Ok(verdict),
        }
    }
}

/// One examination with its diagnosis; it is kept for the next one.
async fn look(cli: &Cli, state_dir: &StateDir, args: &DiagnoseArgs) -> Result<Look, Failure> {
    let file = sources::resolve(cli, files::inventory(&args.inventory)?).await?;
    let selector = inventory::selector(&args.pattern, &file.loaded.inventory)?;
    let fleet = file.loaded.inventory.clone();
    let scale = file.loaded.settings.time_scale;
    let expectations = expectations(args, &fleet)?;
    let key = file.path.display().to_string();
    let playbook = playbook::playbook(&file, |host| selector.matches(host, &fleet))?;
    let request = RunRequest {
        window: None,
        limits: file.loaded.settings.limits.clone(),
        playbook,
        inventory: file,
        is_check: false,
        limit: None,
        extra_vars: Vars::new(),
        tags: TagChoice::default(),
        approvals: Approvals::none(),
        seed: launch::random_seed()?,
        show: Show::Beside,
        reads_only: true,
    };
    let state = run::start(state_dir, request).await?;
    let evidence = evidence::evidence(&state, &fleet, launch::wall_clock());
    let past = past(state_dir, &key)?;
    let diagnosis = triage(&evidence, &past, &expectations);
    let body = serde_json::to_string(&evidence)
        .map_err(|error| Failure::internal("could not write down what was seen", &error))?;
    state_dir
        .keep_examination(&key, evidence.taken, &body, KEEP)
        .map_err(|error| Failure::internal("could not keep what was seen", &error))?;
    forget_old_looks(state_dir)?;
    Ok(Look { state, evidence, diagnosis, scale })
}

/// Forgets the journals of old diagnoses: what they saw is kept, and they changed nothing.
fn forget_old_looks(state_dir: &StateDir) -> Result<(), Failure> {
    let failed = |error: StateDirError| {
        Failure::internal("could not forget the journals of old diagnoses", &error)
    };
    let mut looks = state_dir.runs().map_err(failed)?;
    looks.retain(|run| run.playbook == PLAYBOOK_NAME);
    let keep = KeepRuns { since: launch::wall_clock(), newest: KEEP_JOURNALS, unfinished: false };
    for old in prunable(&looks, keep) {
        state_dir.forget(old.id).map_err(failed)?;
    }
    Ok(())
}

/// What is expected of the fleet: what was typed, else what the inventory says.
fn expectations(args: &DiagnoseArgs, inventory: &Inventory) -> Result<Expectations, Failure> {
    let usual = Expectations::default();
    let told = inventory
        .hosts()
        .find_map(|host| host.text(CREDENTIAL).map(|text| (host.name.clone(), text.to_owned())));
    let credential = match (args.credential, told) {
        (Some(kind), _) => Some(kind.applied()),
        (None, Some((host, text))) => {
            let word = Value::String(text.to_ascii_lowercase());
            Some(serde_json::from_value(word).map_err(|error| {
                Failure::input(format!("could not understand {CREDENTIAL}: {text} of {host}"))
                    .because(&error)
            })?)
        }
        (None, None) => usual.credential,
    };
    let download_grace = match &args.download_grace {
        None => usual.download_grace,
        Some(text) => parse_span(text).map_err(|error| {
            Failure::input(format!("could not understand --download-grace {text}")).because(&error)
        })?,
    };
    Ok(Expectations { credential, download_grace })
}

/// Earlier examinations of the fleet, oldest first. One that another version of this program wrote
/// may not be understood: it is left out.
fn past(state_dir: &StateDir, fleet: &str) -> Result<Vec<FleetEvidence>, Failure> {
    let kept = state_dir.examinations(fleet).map_err(|error| {
        Failure::internal("could not read what was seen of the fleet before", &error)
    })?;
    Ok(kept.iter().filter_map(|body| serde_json::from_str(body).ok()).collect())
}

fn show(args: &DiagnoseArgs, look: &Look, before: Option<&Diagnosis>) -> Result<(), Failure> {
    let inventory = args.inventory.display().to_string();
    let examination =
        Examination { inventory: &inventory, evidence: &look.evidence, diagnosis: &look.diagnosis };
    if let Some(path) = &args.html {
        write_page(path, &diagnosis_page(&examination))?;
    }
    let paint = environment::paint_stdout();
    if args.evidence || args.json {
        let json = if args.evidence {
            serde_json::to_string(&look.evidence)
        } else {
            diagnosis_json(&examination)
        };
        let json =
            json.map_err(|error| Failure::internal("could not write the document", &error))?;
        output::result(&(json + "\n"));
    } else {
        let text = match before {
            Some(before) => changes(before, &look.diagnosis, paint),
            None => diagnosis_text(&examination, paint),
        };
        output::result(&text);
        if let Some(host) = &look.state.breaker {
            output::talk(&format!(
                "stopped: {host} rejected the logon, and more tries could lock the account; what \
                 was seen before is told above\n"
            ));
        }
    }
    Ok(())
}

fn write_page(path: &Path, page: &str) -> Result<(), Failure> {
    std::fs::write(path, page).map_err(|error| {
        Failure::input(format!("could not write the page {}", path.display())).because(&error)
    })
}

/// The end of the program: whether anything is wrong that somebody should know of.
fn result_of(diagnosis: &Diagnosis) -> RunResult {
    let mut wrong =
        diagnosis.findings.iter().filter(|one| one.severity != Severity::Note).peekable();
    if wrong.peek().is_none() {
        RunResult::Done
    } else if wrong.all(|finding| finding.verdict == Verdict::Unreachable) {
        RunResult::UnreachableOnly
    } else {
        RunResult::SomeFailed
    }
}
