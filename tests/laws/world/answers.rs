//! What the CMDB and the gates answer, and a person who is asked about a gate.

use fleetmend::event::{NotReady, OracleReport};
use fleetmend::model::{
    FailureClass, GateVerdict, Guid, HostName, MatchedWork, PlayNo, ServerIdentity, StepFailure,
    WaveNo, WorkRow,
};
use fleetmend::scheduler::{GateReading, Input};

use super::{Happens, World};

impl World<'_> {
    pub(super) fn find_work(&mut self, play: PlayNo) {
        let input = if self.case.is_work_found(play) {
            let hosts = &self.case.draft.plays[usize::from(play.0)].hosts;
            let names = hosts.iter().map(|host| &host.name);
            let with_work = names.filter(|name| self.case.has_work(play, name));
            let by_host = with_work.map(|name| (name.clone(), vec![row()])).collect();
            Input::Work { play, matched: MatchedWork { by_host, ..MatchedWork::default() } }
        } else {
            let failure = StepFailure::new(FailureClass::Unreachable, "no answer");
            Input::WorkFailed { play, failure }
        };
        self.plan(self.now + 40, Happens::Other(input));
    }

    pub(super) fn check_gate(&mut self, play: PlayNo, wave: WaveNo, gate: u16) {
        let count = self.gates_asked.entry((play, wave, gate)).or_default();
        *count += 1;
        let reading = match self.case.gate(play, wave, gate, *count) {
            GateVerdict::Unreadable => {
                GateReading::Unreadable(StepFailure::new(FailureClass::Unreachable, "no answer"))
            }
            verdict => GateReading::Said { verdict, seen: format!("answer {count}") },
        };
        let input = Input::GateSaid { play, gate, reading };
        self.plan(self.now + 25, Happens::Other(input));
    }

    pub(super) fn ask_about_gate(&mut self, play: PlayNo, wave: WaveNo, gate: &str) {
        let (reply, delay) = self.case.gate_reply(play, wave, gate);
        let place = self.case.gates(play).iter().position(|known| known.name == gate);
        let gate = u16::try_from(place.expect("a gate of the play")).expect("few");
        let input = Input::GateAnswered { play, gate, reply };
        self.plan(self.now + delay, Happens::Other(input));
    }

    pub(super) fn ask_oracle(&mut self, play: PlayNo) {
        let asked = self.asked.entry(play).or_default();
        *asked += 1;
        let fate = self.case.oracle(play);
        let is_ready = fate.satisfied_at.is_some_and(|number| *asked >= number);
        let hosts: Vec<HostName> = self.state.plays[&play].hosts.keys().cloned().collect();
        let of = u32::try_from(hosts.len()).expect("few hosts");
        let not_ready = |host: HostName| NotReady {
            host,
            package: Guid::from_u128(9),
            package_name: None,
            status: None,
            reported_version: None,
            current_version: None,
            is_refused: false,
        };
        let input = match (fate.is_readable, is_ready) {
            (false, _) => {
                let failure = StepFailure::new(FailureClass::Throttled, "busy");
                Input::OracleFailed { play, failure }
            }
            (true, true) => {
                let report = OracleReport { ready: of, of, not_ready: Vec::new() };
                Input::Oracle { play, report }
            }
            (true, false) => {
                let not_ready = hosts.into_iter().map(not_ready).collect();
                Input::Oracle { play, report: OracleReport { ready: 0, of, not_ready } }
            }
        };
        self.plan(self.now + 30, Happens::Other(input));
    }
}

fn row() -> WorkRow {
    WorkRow {
        server: ServerIdentity { guid: Guid::from_u128(1), name: None, fqdn: None },
        package: Guid::from_u128(9),
        package_name: None,
        status: "Invalid".to_owned(),
        current_version: None,
        reported_version: None,
    }
}
