use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

/// How long anything here may take: a bound for a test that hangs.
const BOUND: Duration = Duration::from_secs(3600);

/// A keyboard at which a test types.
#[derive(Clone)]
struct Desk(Arc<Hands>);

struct Hands {
    /// What was typed and not read, line by line; an empty one is the end.
    typed: Mutex<VecDeque<Vec<u8>>>,
    is_typed: Condvar,
    /// What the reader took.
    taken: Mutex<Vec<String>>,
    screen: watch::Sender<String>,
}

impl Desk {
    fn new() -> Self {
        Self(Arc::new(Hands {
            typed: Mutex::default(),
            is_typed: Condvar::new(),
            taken: Mutex::default(),
            screen: watch::Sender::new(String::new()),
        }))
    }

    fn typed(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.0.typed.lock().expect("nobody panics with it")
    }

    fn press(&self, keys: &str) {
        self.typed().push_back(keys.as_bytes().to_vec());
        self.0.is_typed.notify_all();
    }

    /// Waits until the screen ends so.
    async fn sees(&self, end: &str) {
        let mut screen = self.0.screen.subscribe();
        let shown = tokio::time::timeout(BOUND, screen.wait_for(|all| all.ends_with(end))).await;
        assert!(shown.is_ok(), "no `{end}`: {}", self.screen());
    }

    fn screen(&self) -> String {
        self.0.screen.borrow().clone()
    }
}

impl Keyboard for Desk {
    fn show(&self, text: &str) {
        self.0.screen.send_modify(|screen| screen.push_str(text));
    }

    fn forget(&self) {
        self.typed().clear();
    }

    fn wait(&self) {
        let nothing = |typed: &mut VecDeque<Vec<u8>>| typed.is_empty();
        drop(self.0.is_typed.wait_while(self.typed(), nothing).expect("nobody panics with it"));
    }

    fn read(&self) -> Typed {
        let next = self.typed().pop_front();
        if let Some(keys) = &next {
            let keys = String::from_utf8_lossy(keys).into_owned();
            self.0.taken.lock().expect("nobody panics with it").push(keys);
        }
        match next {
            None => Typed::Nothing,
            Some(keys) if keys.is_empty() => Typed::End,
            Some(keys) => Typed::Keys(keys),
        }
    }
}

/// Puts a question that is called by its text.
fn ask(prompts: &Arc<Prompts>, name: &'static str) -> JoinHandle<Option<String>> {
    let place = prompts.line_up(name.to_owned());
    tokio::spawn(async move { place.answer(&format!("{name}? ")).await })
}

fn desk() -> (Desk, Arc<Prompts>) {
    let desk = Desk::new();
    (desk.clone(), Prompts::new(desk))
}

fn line(text: &str) -> Option<String> {
    Some(format!("{text}\n"))
}

#[tokio::test(start_paused = true)]
async fn one_question_at_a_time_is_shown_in_the_order_in_which_they_came_up() {
    let (desk, prompts) = desk();
    // Places are taken when the question comes up, whoever is run first.
    let (first, second) = (prompts.line_up("A".to_owned()), prompts.line_up("B".to_owned()));
    let second = tokio::spawn(async move { second.answer("B? ").await });
    let first = tokio::spawn(async move { first.answer("A? ").await });

    desk.sees("A? ").await;
    assert_eq!(desk.screen(), "A? ");
    desk.press("yes\n");
    assert_eq!(first.await.unwrap(), line("yes"));
    desk.sees("B? ").await;
    desk.press("no\n");

    assert_eq!(second.await.unwrap(), line("no"));
    assert_eq!(desk.screen(), "A? B? ");
}

#[tokio::test(start_paused = true)]
async fn what_was_typed_before_a_question_was_shown_does_not_answer_it() {
    let (desk, prompts) = desk();
    desk.press("y\n");
    let first = ask(&prompts, "A");
    let second = ask(&prompts, "B");

    desk.sees("A? ").await;
    desk.press("n\n");
    desk.press("y\n");
    assert_eq!(first.await.unwrap(), line("n"));
    desk.sees("B? ").await;
    desk.press("no\n");

    assert_eq!(second.await.unwrap(), line("no"));
}

#[tokio::test(start_paused = true)]
async fn between_two_questions_is_a_moment_in_which_keys_are_for_neither() {
    let (desk, prompts) = desk();
    let first = ask(&prompts, "A");
    desk.sees("A? ").await;
    let second = ask(&prompts, "B");
    desk.press("y\n");
    first.await.unwrap();
    let gone = Instant::now();

    desk.sees("B? ").await;

    assert_eq!(Instant::now() - gone, BETWEEN);
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_taken_back_says_so_and_the_next_line_is_for_the_next_one() {
    let (desk, prompts) = desk();
    let first = ask(&prompts, "A");
    let second = ask(&prompts, "B");
    desk.sees("A? ").await;

    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // The operator was about to answer.
    desk.press("y\n");
    desk.sees("B? ").await;
    desk.press("no\n");

    assert_eq!(second.await.unwrap(), line("no"));
    assert_eq!(desk.screen(), "A? \nA is not asked any more\nB? ");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_taken_back_unseen_leaves_its_place_without_a_word() {
    let (desk, prompts) = desk();
    let (first, second, third) = (ask(&prompts, "A"), ask(&prompts, "B"), ask(&prompts, "C"));
    desk.sees("A? ").await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());

    desk.press("y\n");
    assert_eq!(first.await.unwrap(), line("y"));
    desk.sees("C? ").await;
    desk.press("n\n");

    assert_eq!(third.await.unwrap(), line("n"));
    assert_eq!(desk.screen(), "A? C? ");
}

#[tokio::test(start_paused = true)]
async fn while_nobody_is_asked_nothing_is_read() {
    let (desk, prompts) = desk();
    let first = ask(&prompts, "A");
    desk.sees("A? ").await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());

    desk.press("a secret\n");
    let second = ask(&prompts, "B");
    desk.sees("B? ").await;

    desk.press("y\n");
    assert_eq!(second.await.unwrap(), line("y"));
    assert_eq!(*desk.0.taken.lock().unwrap(), ["y\n"]);
}

#[tokio::test(start_paused = true)]
async fn an_end_answers_nothing_not_even_with_what_was_begun() {
    let (desk, prompts) = desk();
    let first = ask(&prompts, "A");
    desk.sees("A? ").await;
    desk.press("y");
    desk.press("");
    assert_eq!(first.await.unwrap(), None);

    // Each question finds out for itself whether somebody is there.
    let second = ask(&prompts, "B");
    desk.sees("B? ").await;
    desk.press("");
    assert_eq!(second.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_comes_in_pieces_is_one_answer() {
    let (desk, prompts) = desk();
    let first = ask(&prompts, "A");
    desk.sees("A? ").await;

    desk.press("REP");
    desk.press("LACE\n");

    assert_eq!(first.await.unwrap(), line("REPLACE"));
}
