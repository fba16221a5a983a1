//! What can be a handler: a future, a closure or function that makes futures, with or without a context.
//!
//! Each form is told by a type of its own (`Once`, `Repeat`, `WithContext`, for kinds the tuple of arguments),
//! so that one method takes all of them; the compiler finds the form, nobody writes it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::TaskError;
use crate::task::Text;

use super::failure::{AnyError, not_repeatable, wrong_input};
use super::{Ended, Running, TaskContext, TaskOutput};

pub use super::builder::{Fallible, Infallible, NoHandler, Returning};

/// The form of a bare future. It runs once: a task with it has no second attempt.
#[derive(Debug)]
pub struct Once;
/// The form of `|| async { .. }` and `async || { .. }`.
#[derive(Debug)]
pub struct Repeat;
/// The form of `|context: TaskContext| async move { .. }` and `async |context: TaskContext| { .. }`.
#[derive(Debug)]
pub struct WithContext;

/// A handler of a `Task`.
///
/// - A bare future, `async { .. }`: runs once.
/// - `|| async { .. }` or `async || { .. }`: makes a future for each attempt.
/// - The same with one argument of type `TaskContext`.
///
/// A closure is called for each attempt, so it must be `Fn` and its futures must not borrow from it: what an
/// attempt uses it clones first, `move || { let url = url.clone(); async move { get(url).await } }`. An
/// `async move || { .. }` that captures something lends it to its future, which the compiler refuses here.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler of a task",
    label = "neither a future nor a closure that makes futures",
    note = "a handler is `async {{ .. }}`, `async || {{ .. }}` or `async |context: TaskContext| {{ .. }}`",
    note = "a handler is `Send + 'static`; a closure is also `Sync` and does not use up what it captures"
)]
pub trait Handler<Form>: Send + 'static {
    /// What its future gives.
    type Output: 'static;

    /// The handler in the one form that the executor runs.
    fn into_work(self) -> WorkFor<Self::Output>;
}

/// How the output of a handler becomes that of its task.
pub(super) type Convert<O> = fn(O) -> Ended;
type Start<O> = dyn Fn(TaskContext, Convert<O>) -> Running + Send + Sync;
type StartKind = dyn Fn(Text, TaskContext) -> Running + Send + Sync;

/// A handler of a task, ready to run but for the conversion of its output.
pub struct WorkFor<O> {
    start: Box<Start<O>>,
    pub(super) habits: Habits,
}

/// What has to be known about a handler to treat it well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    /// It can be run again.
    pub repeatable: bool,
    /// It is told when it should stop; others can only be dropped.
    pub heeds_stop: bool,
}

/// A handler of a task, ready to run.
#[derive(Clone)]
pub(super) struct Work {
    pub start: Arc<dyn Fn(TaskContext) -> Running + Send + Sync>,
    pub habits: Habits,
}

impl<O: 'static> WorkFor<O> {
    fn new(
        habits: Habits,
        start: impl Fn(TaskContext, Convert<O>) -> Running + Send + Sync + 'static,
    ) -> Self {
        Self { start: Box::new(start), habits }
    }

    /// In the place of a handler that is gone; never run.
    pub(super) fn nothing() -> Self {
        Self::new(Habits { repeatable: false, heeds_stop: false }, |_, _| refuse(not_repeatable()))
    }

    pub(super) fn converted(self, convert: Convert<O>) -> Work {
        let Self { start, habits } = self;
        Work { start: Arc::new(move |context| start(context, convert)), habits }
    }
}

impl<F> Handler<Once> for F
where
    F: Future + Send + 'static,
    F::Output: 'static,
{
    type Output = F::Output;

    fn into_work(self) -> WorkFor<F::Output> {
        let future = Mutex::new(Some(self));
        WorkFor::new(Habits { repeatable: false, heeds_stop: false }, move |_, convert| {
            match future.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(future) => Box::pin(async move { convert(future.await) }),
                None => refuse(not_repeatable()),
            }
        })
    }
}

impl<F, Fut> Handler<Repeat> for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: 'static,
{
    type Output = Fut::Output;

    fn into_work(self) -> WorkFor<Fut::Output> {
        WorkFor::new(Habits { repeatable: true, heeds_stop: false }, move |_, convert| {
            let future = self();
            Box::pin(async move { convert(future.await) })
        })
    }
}

impl<F, Fut> Handler<WithContext> for F
where
    F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: 'static,
{
    type Output = Fut::Output;

    fn into_work(self) -> WorkFor<Fut::Output> {
        WorkFor::new(Habits { repeatable: true, heeds_stop: true }, move |context, convert| {
            let future = self(context);
            Box::pin(async move { convert(future.await) })
        })
    }
}

/// A handler of a kind of task: a closure or function from the task's input, perhaps with a `TaskContext`
/// after it, to a future of a `Result`.
///
/// `|input: Order| async move { .. }` or `async |input: Order, context: TaskContext| { .. }`. The input is made
/// from JSON; one that does not fit fails the task with ERR_TASK_INPUT, which is not retried.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler of a kind of task",
    label = "not a closure from an input to a future of a `Result`",
    note = "a handler is `async |input: Input| {{ .. }}` or `async |input: Input, context: TaskContext| {{ .. }}`",
    note = "its future gives a `Result`, its input is `DeserializeOwned`, its output `Serialize`"
)]
pub trait KindHandler<Form>: Send + Sync + 'static {
    /// The handler in the one form that the executor runs.
    fn into_work(self) -> KindWork;
}

/// A handler of a kind of task, ready to run.
#[derive(Clone)]
pub struct KindWork {
    pub(super) start: Arc<StartKind>,
    pub(super) heeds_stop: bool,
}

impl<F, In, Fut, T, E> KindHandler<(In,)> for F
where
    F: Fn(In) -> Fut + Send + Sync + 'static,
    In: DeserializeOwned,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Serialize,
    E: Into<AnyError>,
{
    fn into_work(self) -> KindWork {
        let start = move |input: Text, _| match serde_json::from_str(&input) {
            Ok(input) => result_of(self(input)),
            Err(error) => refuse(wrong_input(error)),
        };
        KindWork { start: Arc::new(start), heeds_stop: false }
    }
}

impl<F, In, Fut, T, E> KindHandler<(In, TaskContext)> for F
where
    F: Fn(In, TaskContext) -> Fut + Send + Sync + 'static,
    In: DeserializeOwned,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Serialize,
    E: Into<AnyError>,
{
    fn into_work(self) -> KindWork {
        let start = move |input: Text, context| match serde_json::from_str(&input) {
            Ok(input) => result_of(self(input, context)),
            Err(error) => refuse(wrong_input(error)),
        };
        KindWork { start: Arc::new(start), heeds_stop: true }
    }
}

fn result_of<T: Serialize, E: Into<AnyError>>(
    future: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Running {
    Box::pin(async move { from_result(future.await) })
}

fn refuse(error: TaskError) -> Running {
    Box::pin(std::future::ready(Err(error)))
}

/// What a handler's `Result` means for its task.
pub(super) fn from_result<T: Serialize, E: Into<AnyError>>(result: Result<T, E>) -> Ended {
    match result {
        Ok(value) => TaskOutput::new(&value),
        Err(error) => Err(TaskError::new(error)),
    }
}
