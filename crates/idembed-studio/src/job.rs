//! Jobs: work on a thread of its own that tells how it goes, can be cancelled, and gives a result.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use crate::error::{Result, StudioError};
use crate::event::Event;

/// A job that was begun, or waits for those before it.
///
/// Dropping it lets the job go on; [`Job::cancel`] stops it.
#[derive(Debug)]
pub struct Job<T> {
    events: Receiver<Event>,
    outcome: Receiver<Result<T>>,
    canceller: Canceller,
}

/// Stops a job, from any thread.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// Asks the job to stop at the next step. A job that has ended is not changed.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T> Job<T> {
    /// What happens in the job, until it ends. Waits for the next event.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.events.iter()
    }

    /// Asks the job to stop at the next step; its result is then [`StudioError::Stopped`], or, of learning, an error that
    /// names the state that was saved.
    pub fn cancel(&self) {
        self.canceller.cancel();
    }

    /// What can cancel the job from elsewhere.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Waits for the result.
    pub fn wait(self) -> Result<T> {
        self.outcome.recv().unwrap_or(Err(StudioError::Lost))
    }
}

/// What a job has while it runs.
#[derive(Debug)]
pub(crate) struct Context {
    events: Sender<Event>,
    stop: Arc<AtomicBool>,
}

impl Context {
    /// Tells whoever listens.
    pub(crate) fn tell(&self, event: Event) {
        // Nobody needs to listen.
        let _ = self.events.send(event);
    }

    /// Becomes true when the job is to stop.
    pub(crate) fn stop_flag(&self) -> &AtomicBool {
        &self.stop
    }

    /// Whether the job is to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

type Work<S> = Box<dyn FnOnce(&S) + Send>;

/// A thread with something of its own, such as a loaded model, that does one job after the other.
pub(crate) struct Worker<S> {
    jobs: Option<Sender<Work<S>>>,
    thread: Option<JoinHandle<()>>,
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl<S: 'static> Worker<S> {
    /// Begins the thread and makes what it works with, there: it need not be able to change threads. `facts` are what its
    /// owner wants to know of it.
    pub(crate) fn start<F: Send + 'static>(
        name: &str,
        make: impl FnOnce() -> Result<(S, F)> + Send + 'static,
    ) -> Result<(Self, F)> {
        let (jobs, waiting) = channel::<Work<S>>();
        let (made, ready) = channel();
        let body = move || match make() {
            Ok((state, facts)) => {
                let _ = made.send(Ok(facts));
                for work in waiting {
                    // A job that panics loses its own result; the next one finds the state as it is between two calls.
                    let _ = catch_unwind(AssertUnwindSafe(|| work(&state)));
                }
            }
            Err(error) => drop(made.send(Err(error))),
        };
        let started = thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = started.map_err(|_| StudioError::Lost)?;
        let facts = ready.recv().unwrap_or(Err(StudioError::Lost))?;
        Ok((Worker { jobs: Some(jobs), thread: Some(thread) }, facts))
    }

    /// Begins a job, after those that wait.
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&S, &Context) -> Result<T> + Send + 'static,
    ) -> Job<T> {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, events) = channel();
        let (done, outcome) = channel();
        let context = Context { events: told, stop: Arc::clone(&stop) };
        let job: Work<S> = Box::new(move |state| {
            let result = work(state, &context);
            // The job may be forgotten by now.
            let _ = done.send(result);
        });
        if let Some(jobs) = &self.jobs {
            // Without a thread the result's channel is closed, which says so.
            let _ = jobs.send(job);
        }
        Job { events, outcome, canceller: Canceller(stop) }
    }
}

impl<S> Drop for Worker<S> {
    /// Waits for the jobs: libtorch must not be at work when a program ends.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn worker() -> Worker<i32> {
        Worker::start("test", || Ok((7, ()))).unwrap().0
    }

    #[test]
    fn jobs_tell_and_give_a_result() {
        let worker = worker();
        let job = worker.submit(|state, context| {
            context.tell(Event::DrawStep { begun: 1, of: 2 });
            Ok(*state)
        });
        let events: Vec<Event> = job.events().collect();
        assert!(matches!(events[..], [Event::DrawStep { begun: 1, of: 2 }]));
        assert_eq!(job.wait().unwrap(), 7);
    }

    #[test]
    fn one_job_is_cancelled_and_the_next_runs() {
        let worker = worker();
        let until_stopped = |_: &i32, context: &Context| -> Result<()> {
            while !context.is_stopped() {
                thread::yield_now();
            }
            Err(StudioError::Stopped)
        };
        let (first, second) = (worker.submit(until_stopped), worker.submit(|_, _| Ok(1)));
        let canceller = first.canceller();
        thread::spawn(move || canceller.cancel());
        assert!(matches!(first.wait(), Err(StudioError::Stopped)));
        assert_eq!(second.wait().unwrap(), 1);
    }

    #[test]
    fn a_panic_loses_one_result_only() {
        let worker = worker();
        let job = worker.submit(|_, _| -> Result<()> { panic!("a test") });
        assert!(matches!(job.wait(), Err(StudioError::Lost)));
        assert_eq!(worker.submit(|state, _| Ok(*state)).wait().unwrap(), 7);
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        let failed = Worker::<i32>::start("test", || -> Result<(i32, ())> { Err(StudioError::Stopped) });
        assert!(matches!(failed, Err(StudioError::Stopped)));
    }
}
