//! Where a host goes from task to task: through blocks, into `rescue` and `always`, past tasks that
//! the run does not take, and at last to the handlers that it owes. Pure; the scheduler and a resume
//! walk the same way.

use crate::model::{Block, HandlerSet};

/// The tasks of a play, as far as their order goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Course {
    blocks: Vec<Block>,
    /// Whether the run takes the task, by its place.
    is_taken: Vec<bool>,
    /// The handlers that a task notifies, by its place.
    notify: Vec<HandlerSet>,
    /// How many of the tasks are handlers, the last ones.
    handlers: usize,
}

/// Where a host is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spot {
    task: u16,
    /// Blocks that failed and whose `always` is under way: the failure goes on after it.
    failing: Vec<usize>,
    /// Whether the host failed: what it still does are handlers.
    has_failed: bool,
    /// The handlers that it owes.
    owed: HandlerSet,
}

impl Spot {
    /// Whether a failure goes on after an `always` or a handler that is under way.
    pub fn is_failing(&self) -> bool {
        self.has_failed || !self.failing.is_empty()
    }
}

/// Where it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onward {
    /// At this task.
    At(u16),
    /// Nowhere: it is through.
    Through,
    /// Nowhere: it failed, and no block was left that would have gone on.
    Failed,
}

impl Course {
    /// `blocks` as the playbook has them: outer ones before those inside of them.
    pub fn new(blocks: Vec<Block>, is_taken: Vec<bool>) -> Self {
        Self { blocks, is_taken, notify: Vec::new(), handlers: 0 }
    }

    /// With the last tasks as handlers, and what each task notifies.
    #[must_use]
    pub fn with_handlers(self, handlers: usize, notify: Vec<HandlerSet>) -> Self {
        Self { handlers: handlers.min(self.is_taken.len()), notify, ..self }
    }

    /// Notes that the task at which the host is changed something there: from now on the host owes
    /// the handlers that it notifies.
    pub fn changed(&self, spot: &mut Spot) {
        if let Some(notified) = self.notify.get(usize::from(spot.task)) {
            spot.owed.extend(*notified);
        }
    }

    /// Whether a host at a spot does the task at a place when it comes there.
    pub fn takes(&self, spot: &Spot, task: u16) -> bool {
        let task = usize::from(task);
        let is_owed =
            task.checked_sub(self.first_handler()).is_none_or(|number| spot.owed.contains(number));
        is_owed && self.is_taken.get(task).is_some_and(|is_taken| *is_taken)
    }

    fn first_handler(&self) -> usize {
        self.is_taken.len() - self.handlers
    }

    /// The first task.
    pub fn begin(&self, spot: &mut Spot) -> Onward {
        *spot = Spot::default();
        self.arrive(spot, Some(0))
    }

    /// The task after the one at which the host is, which ended well, was skipped, or failed and
    /// is to be ignored.
    pub fn after(&self, spot: &mut Spot) -> Onward {
        let next = self.past(spot, spot.task);
        self.arrive(spot, next)
    }

    /// Where the host goes on after the task at which it is failed. A host that failed still does
    /// the handlers that it owes, as one that failed at a handler does the others.
    pub fn after_failure(&self, spot: &mut Spot) -> Onward {
        let next = self.failed(spot, spot.task, self.blocks.len());
        self.arrive(spot, next)
    }

    /// The outermost block around a task; none for one that stands alone.
    pub fn outermost(&self, task: u16) -> Option<usize> {
        self.blocks.iter().position(|block| (block.start..block.end).contains(&task))
    }

    /// Goes on from a place until a task is there that the run takes; `None` is a failure.
    fn arrive(&self, spot: &mut Spot, mut next: Option<u16>) -> Onward {
        loop {
            let task = next.unwrap_or_else(|| {
                spot.has_failed = true;
                let after = usize::from(spot.task) + 1;
                u16::try_from(after.max(self.first_handler())).unwrap_or(u16::MAX)
            });
            if usize::from(task) >= self.is_taken.len() {
                return if spot.has_failed { Onward::Failed } else { Onward::Through };
            }
            if self.takes(spot, task) {
                spot.task = task;
                return Onward::At(task);
            }
            next = self.past(spot, task);
        }
    }

    /// The place after a task that did not fail.
    fn past(&self, spot: &mut Spot, task: u16) -> Option<u16> {
        let mut next = task + 1;
        for (number, block) in self.around(task, self.blocks.len()) {
            if task < block.rescue && next == block.rescue {
                next = block.always;
            }
            if next != block.end {
                break;
            }
            if let Some(at) = spot.failing.iter().position(|failing| *failing == number) {
                spot.failing.remove(at);
                return self.failed(spot, task, number);
            }
        }
        Some(next)
    }

    /// The place after a failure at a task, for the blocks before `limit`.
    fn failed(&self, spot: &mut Spot, task: u16, limit: usize) -> Option<u16> {
        for (number, block) in self.around(task, limit) {
            if task < block.rescue && self.takes_any(block.rescue, block.always) {
                return Some(block.rescue);
            }
            if task < block.always && self.takes_any(block.always, block.end) {
                spot.failing.push(number);
                return Some(block.always);
            }
            spot.failing.retain(|failing| *failing != number);
        }
        None
    }

    /// The blocks before `limit` around a task, inner ones first.
    fn around(&self, task: u16, limit: usize) -> impl Iterator<Item = (usize, Block)> + use<> {
        let around = self.blocks[..limit].iter().copied().enumerate().rev();
        around
            .filter(move |(_, block)| (block.start..block.end).contains(&task))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn takes_any(&self, from: u16, to: u16) -> bool {
        let range = usize::from(from)..usize::from(to);
        self.is_taken.get(range).is_some_and(|tasks| tasks.contains(&true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a course and says which tasks were done; those named fail.
    fn walk(course: &Course, fails: &[u16]) -> (Vec<u16>, Onward) {
        walk_changing(course, fails, &[])
    }

    /// The same, where tasks change something, before they fail perhaps.
    fn walk_changing(course: &Course, fails: &[u16], changes: &[u16]) -> (Vec<u16>, Onward) {
        let (mut spot, mut done) = (Spot::default(), Vec::new());
        let mut onward = course.begin(&mut spot);
        while let Onward::At(task) = onward {
            done.push(task);
            if changes.contains(&task) {
                course.changed(&mut spot);
            }
            onward = if fails.contains(&task) {
                course.after_failure(&mut spot)
            } else {
                course.after(&mut spot)
            };
        }
        (done, onward)
    }

    fn block(start: u16, rescue: u16, always: u16, end: u16) -> Block {
        Block { start, rescue, always, end }
    }

    fn course(blocks: &[Block], tasks: usize) -> Course {
        Course::new(blocks.to_vec(), vec![true; tasks])
    }

    #[test]
    fn a_block_goes_past_its_rescue_and_through_always() {
        let course = course(&[block(1, 3, 4, 5)], 6);

        assert_eq!(walk(&course, &[]), (vec![0, 1, 2, 4, 5], Onward::Through));
    }

    #[test]
    fn a_failure_is_rescued_and_the_host_goes_on() {
        let course = course(&[block(1, 3, 4, 5)], 6);

        assert_eq!(walk(&course, &[1]), (vec![0, 1, 3, 4, 5], Onward::Through));
    }

    #[test]
    fn a_failure_in_rescue_runs_always_and_then_fails() {
        let course = course(&[block(1, 3, 4, 5)], 6);

        assert_eq!(walk(&course, &[1, 3]), (vec![0, 1, 3, 4], Onward::Failed));
        assert_eq!(walk(&course, &[1, 4]), (vec![0, 1, 3, 4], Onward::Failed));
        assert_eq!(walk(&course, &[0]), (vec![0], Onward::Failed));
    }

    #[test]
    fn without_a_rescue_always_runs_and_the_outer_block_takes_over() {
        // Outer: body 0-3 with the inner block (body 1, always 2), rescue 4, always 5.
        let course = course(&[block(0, 4, 5, 6), block(1, 2, 2, 3)], 7);

        assert_eq!(walk(&course, &[]), (vec![0, 1, 2, 3, 5, 6], Onward::Through));
        assert_eq!(walk(&course, &[1]), (vec![0, 1, 2, 4, 5, 6], Onward::Through));
        assert_eq!(walk(&course, &[1, 2]), (vec![0, 1, 2, 4, 5, 6], Onward::Through));
        assert_eq!(walk(&course, &[1, 4]), (vec![0, 1, 2, 4, 5], Onward::Failed));
    }

    #[test]
    fn a_failure_in_a_block_within_always_ends_both() {
        // Outer: body 0, always 1-2, in which 1 is a block of its own with rescue 2.
        let course = course(&[block(0, 1, 1, 3), block(1, 2, 3, 3)], 4);

        assert_eq!(walk(&course, &[0]), (vec![0, 1], Onward::Failed));
        assert_eq!(walk(&course, &[0, 1]), (vec![0, 1, 2], Onward::Failed));
        assert_eq!(walk(&course, &[1]), (vec![0, 1, 2, 3], Onward::Through));
    }

    #[test]
    fn tasks_that_the_run_does_not_take_are_passed() {
        let blocks = vec![block(0, 2, 3, 4)];
        let course = Course::new(blocks, vec![false, true, false, true, false]);

        assert_eq!(walk(&course, &[]), (vec![1, 3], Onward::Through));
        // A rescue of which nothing is taken rescues nothing.
        assert_eq!(walk(&course, &[1]), (vec![1, 3], Onward::Failed));
        assert_eq!(walk(&Course::new(Vec::new(), vec![false; 3]), &[]).1, Onward::Through);
    }

    /// Tasks 0 to 2, of which 0 notifies both handlers and 1 the second one, 4; 3 is the first.
    fn with_handlers(blocks: &[Block]) -> Course {
        let set = |numbers: &[usize]| numbers.iter().copied().collect::<HandlerSet>();
        let notify = vec![set(&[0, 1]), set(&[1]), set(&[]), set(&[]), set(&[])];
        course(blocks, 5).with_handlers(2, notify)
    }

    #[test]
    fn a_handler_runs_once_after_the_last_task_where_something_changed() {
        let course = with_handlers(&[]);

        assert_eq!(walk(&course, &[]), (vec![0, 1, 2], Onward::Through));
        assert_eq!(walk_changing(&course, &[], &[1]), (vec![0, 1, 2, 4], Onward::Through));
        assert_eq!(walk_changing(&course, &[], &[0, 1]), (vec![0, 1, 2, 3, 4], Onward::Through));
        assert_eq!(walk_changing(&course, &[], &[2]), (vec![0, 1, 2], Onward::Through));
    }

    #[test]
    fn a_host_that_failed_does_the_handlers_that_it_owes_and_has_failed() {
        let course = with_handlers(&[]);

        assert_eq!(walk_changing(&course, &[2], &[0]), (vec![0, 1, 2, 3, 4], Onward::Failed));
        assert_eq!(walk_changing(&course, &[1], &[0]), (vec![0, 1, 3, 4], Onward::Failed));
        // Of a loop, the first items changed something.
        assert_eq!(walk_changing(&course, &[1], &[1]), (vec![0, 1, 4], Onward::Failed));
        assert_eq!(walk_changing(&course, &[0], &[]), (vec![0], Onward::Failed));
    }

    #[test]
    fn a_handler_that_fails_keeps_no_other_from_running() {
        let course = with_handlers(&[]);

        assert_eq!(walk_changing(&course, &[3], &[0]), (vec![0, 1, 2, 3, 4], Onward::Failed));
        assert_eq!(walk_changing(&course, &[4], &[0]), (vec![0, 1, 2, 3, 4], Onward::Failed));
    }

    #[test]
    fn handlers_come_after_rescue_and_always() {
        // Body 0, rescue 1, always 2.
        let course = with_handlers(&[block(0, 1, 2, 3)]);

        assert_eq!(walk_changing(&course, &[], &[0]), (vec![0, 2, 3, 4], Onward::Through));
        assert_eq!(walk_changing(&course, &[0], &[1]), (vec![0, 1, 2, 4], Onward::Through));
        assert_eq!(walk_changing(&course, &[0, 1], &[0]), (vec![0, 1, 2, 3, 4], Onward::Failed));
    }
}
