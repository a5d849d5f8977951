//! Where hosts that failed or could not be reached are taken up again.

use super::{Draft, DraftPlay, Onward, Spot};
use crate::event::{HostState, RunState};
use crate::model::{FailureClass, Outcome, PlayNo, StepId, TaskId};

/// The steps at which the hosts that failed or could not be reached go on, one for each host and
/// play. What a host did from there on it does again, as the `always` of a block that failed.
pub(super) fn steps(draft: &Draft, state: &RunState) -> Vec<StepId> {
    let mut again = Vec::new();
    for (number, play) in (0..).map(PlayNo).zip(&draft.plays) {
        let Some(told) = state.plays.get(&number) else { continue };
        for (host, told) in &told.hosts {
            // The journal may have been cut between a host's last step and its end.
            let is_bad =
                matches!(told.outcome, None | Some(Outcome::Failed | Outcome::Unreachable));
            if let Some(task) = is_bad.then(|| failed_at(play, told)).flatten() {
                let task = TaskId { play: number, task };
                again.push(StepId { task, host: host.clone() });
            }
        }
    }
    again
}

/// A step that hosts which are taken up again would wait for in vain: one host goes on in the middle
/// of a task for all, in a wave that begins only after theirs. `state` is reopened.
pub(super) fn awaited(draft: &Draft, state: &RunState, again: &[StepId]) -> Option<StepId> {
    let host = |step: &StepId| state.plays.get(&step.task.play)?.hosts.get(&step.host);
    let wave = |step: &StepId| host(step).map(|host| host.wave);
    let is_once = |id: &StepId| {
        let play = draft.plays.get(usize::from(id.task.play.0));
        let task = play.and_then(|play| play.tasks.get(usize::from(id.task.task)));
        task.is_some_and(|task| task.flow.is_once && !task.replay_is_safe)
    };
    let goes_on = |id: &StepId| host(id).is_some_and(|host| host.outcome.is_none());
    let begun =
        state.steps().filter(|(_, step)| step.outcome.is_none() && !step.changes.is_empty());
    begun.map(|(id, _)| id).filter(|id| is_once(id) && goes_on(id)).find(|id| {
        let of_play = again.iter().filter(|step| step.task.play == id.task.play);
        of_play.filter_map(wave).min().is_some_and(|first| Some(first) < wave(id))
    })
}

/// The step whose failure ended the host, if one did: the first one that no `rescue` took up.
fn failed_at(play: &DraftPlay, host: &HostState) -> Option<u16> {
    let course = play.course();
    let mut spot = Spot::default();
    let mut lost: Option<u16> = None;
    let mut counts_anyway: Option<u16> = None;
    let mut onward = course.begin(&mut spot);
    while let Onward::At(task) = onward {
        let flow = play.tasks.get(usize::from(task)).map(|task| task.flow).unwrap_or_default();
        let step = host.steps.get(&task);
        let Some((step, outcome)) = step.and_then(|step| Some((step, step.outcome?))) else {
            // A task that another host did for all leaves no step here.
            if flow.is_once {
                onward = course.after(&mut spot);
                continue;
            }
            // It is still under way, in an `always` perhaps.
            return counts_anyway;
        };
        if step.has_changed {
            course.changed(&mut spot);
        }
        let class = step.failure.as_ref().map(|failure| failure.class);
        let is_rescuable =
            outcome == Outcome::Failed && class.is_none_or(FailureClass::is_rescuable);
        if outcome.is_well() || (is_rescuable && flow.ignores_errors) {
            onward = course.after(&mut spot);
        } else if is_rescuable && flow.goes_on_failed {
            counts_anyway.get_or_insert(task);
            onward = course.after(&mut spot);
        } else {
            lost.get_or_insert(task);
            if !is_rescuable {
                break;
            }
            onward = course.after_failure(&mut spot);
        }
        if matches!(onward, Onward::At(_)) && !spot.is_failing() {
            lost = None;
        }
    }
    counts_anyway.into_iter().chain(lost).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StepState;
    use crate::model::{Block, WaveNo};
    use crate::plan::DraftTask;

    fn play(tasks: u16, blocks: &[Block]) -> DraftPlay {
        let task = |task| DraftTask::bare(TaskId { play: PlayNo(0), task }, "agent");
        DraftPlay {
            tasks: (0..tasks).map(task).collect(),
            blocks: blocks.to_vec(),
            ..DraftPlay::bare("A play")
        }
    }

    /// What a host did, in order, and where it goes on.
    fn goes_on(play: &DraftPlay, did: &[(u16, Outcome)]) -> Option<u16> {
        let step = |outcome| StepState { outcome: Some(outcome), ..StepState::default() };
        let steps = did.iter().map(|(task, outcome)| (*task, step(*outcome))).collect();
        let outcome = Some(Outcome::Failed);
        failed_at(play, &HostState { wave: WaveNo(0), steps, outcome, class: None })
    }

    #[test]
    fn a_host_goes_on_at_the_step_that_ended_it() {
        use Outcome::{Changed, Failed, Unreachable};
        let plain = play(3, &[]);
        assert_eq!(goes_on(&plain, &[(0, Changed), (1, Failed)]), Some(1));
        assert_eq!(goes_on(&plain, &[(0, Changed), (1, Changed), (2, Unreachable)]), Some(2));

        // Body 0 and 1, rescue 2, always 3; then 4.
        let rescued = play(5, &[Block { start: 0, rescue: 2, always: 3, end: 4 }]);
        let all = [(0, Failed), (2, Changed), (3, Changed), (4, Failed)];
        assert_eq!(goes_on(&rescued, &all), Some(4), "what was rescued is not done again");
        let all = [(0, Changed), (1, Failed), (2, Failed), (3, Changed)];
        assert_eq!(goes_on(&rescued, &all), Some(2), "a failed rescue is taken up there");

        // Body 0 and 1, always 2: the failure goes on after it.
        let always = play(3, &[Block { start: 0, rescue: 2, always: 2, end: 3 }]);
        assert_eq!(goes_on(&always, &[(0, Failed), (2, Changed)]), Some(0));
        assert_eq!(goes_on(&always, &[(0, Changed), (1, Failed), (2, Failed)]), Some(1));
    }
}
