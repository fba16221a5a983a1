// Types of events: what an executor tells of its tasks and of itself.

import type { TaskError } from './errors.js'

/** What every event about a task says. */
export interface TaskEvent {
  /** Of the task. */
  readonly id: string
  /** Of its kind; for a closure that of the function, which may be empty. */
  readonly name: string
  /** The queue it is in. */
  readonly queue: string
  /** Which run: 1 for the first. */
  readonly attempt: number
  /** When it happened, in epoch milliseconds. */
  readonly at: number
}

/** The events of an executor: sent in batches, and only while somebody listens. */
export interface TaskEvents {
  /** It is ready to run and waits for its turn. */
  waiting: [event: TaskEvent]
  /** A run has started. */
  running: [event: TaskEvent]
  /** It has completed; `duration` of the last run in milliseconds. */
  completed: [event: TaskEvent & { readonly output: unknown; readonly duration: number }]
  /** A run has failed; `retryAt` where it is tried again. */
  failed: [
    event: TaskEvent & { readonly error: TaskError; readonly willRetry: boolean; readonly retryAt?: Date },
  ]
  /** It was cancelled. */
  cancelled: [event: TaskEvent]
  /** The process or event loop that ran it is gone or hung. */
  lost: [event: TaskEvent]
  /** Its attempt has ended, its handler has not. */
  abandoned: [event: TaskEvent]
  /** A circuit breaker of this executor has changed its state by an outcome or by hand; `name` as it was given. */
  gate: [event: { readonly name: string; readonly state: 'closed' | 'open' | 'half-open' }]
  /** Nothing waits and nothing runs. */
  idle: []
  /** Something went wrong that no call can report. Without a listener it is dropped. */
  error: [error: Error]
  /** The clock of the store was set by so many milliseconds, or this machine has slept; schedules go on by `catchUp`. */
  clockJump: [event: { readonly by: number }]
  /**
   * The event loop was blocked for `blockedFor` milliseconds while tasks ran: it was asked for a sign of life and gave
   * none for half a second. `names` are the kinds of the tasks that may have done it, one where it is known: the last
   * that began (`(closure)` for a closure), else up to 5 of those that ran. `task` where it is one of a queue. While it
   * is blocked, the log says the same: see `logger` and `TASK_LOG`.
   */
  loopStalled: [
    event: { readonly blockedFor: number; readonly names: readonly string[]; readonly task?: TaskEvent },
  ]
}

/** The names of the events that are about one task. */
export type TaskEventName = Exclude<keyof TaskEvents, 'idle' | 'error' | 'gate' | 'loopStalled' | 'clockJump'>
/** What `events` gives: an event about a task, with its name as `type`. */
export type AnyTaskEvent = {
  [Name in TaskEventName]: TaskEvents[Name][0] & { readonly type: Name }
}[TaskEventName]
