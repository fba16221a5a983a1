// Types of the errors; index.d.ts passes them on.

import type { Duration } from '../index.js'

/** What went wrong, in one stable word. Those that no part of this version can cause belong to other stores. */
export type TaskErrorCode =
  /** The handler threw, or its promise was rejected. */
  | 'ERR_TASK_FAILED'
  /** The attempt did not end in time. */
  | 'ERR_TASK_TIMEOUT'
  /** It was cancelled. */
  | 'ERR_TASK_CANCELLED'
  /** The id belongs to a task with another input, or the key to an unfinished task. */
  | 'ERR_TASK_DUPLICATE'
  /** A handler that can run only once was asked to run again. */
  | 'ERR_TASK_NOT_REPEATABLE'
  /** There is no such task, or no longer. */
  | 'ERR_TASK_NOT_FOUND'
  /** There is no such kind of task. */
  | 'ERR_TASK_UNKNOWN'
  /** The input does not fit the schema. */
  | 'ERR_TASK_INPUT'
  /** JSON cannot carry the input or the output. */
  | 'ERR_TASK_SERIALIZE'
  /** A rate limit refused the call. */
  | 'ERR_RATE_LIMITED'
  /** A circuit breaker refused the call. */
  | 'ERR_CIRCUIT_OPEN'
  /** `expiresAt` passed before the task could start. */
  | 'ERR_TASK_EXPIRED'
  /** The processes that ran it died or hung more often than `maxLosses` allows. */
  | 'ERR_TASK_LOST'
  /** `maxQueue` tasks wait. */
  | 'ERR_QUEUE_FULL'
  /** The input or output is larger than `maxPayload`. */
  | 'ERR_PAYLOAD_SIZE'
  /** The executor has been closed. */
  | 'ERR_EXECUTOR_CLOSED'
  /** The store cannot be reached or did not do what it should. */
  | 'ERR_STORE'
  /** The store has no room left. */
  | 'ERR_STORE_FULL'
  /** The store is held by somebody else. */
  | 'ERR_STORE_BUSY'
  /** The store is damaged. */
  | 'ERR_STORE_CORRUPT'
  /** The store was written by a newer version. */
  | 'ERR_STORE_VERSION'
  /** There can be no such schedule: its expression, its time zone, or its key. */
  | 'ERR_SCHEDULE'
  /** An option that is not one, or has a value it cannot have. */
  | 'ERR_OPTION'
  /** A test has waited for tasks to which nothing will happen by itself. */
  | 'ERR_STUCK'
  /** A defect inside the engine. */
  | 'ERR_ENGINE'

/** Options of `new TaskError()`. */
export interface TaskErrorOptions {
  /**
   * What went wrong.
   * @default 'ERR_TASK_FAILED'
   */
  readonly code?: TaskErrorCode | undefined
  /** The error behind this one. */
  readonly cause?: unknown
  /** Whether another attempt may help. Default: by the code. */
  readonly retryable?: boolean | undefined
  /** Thrown by a handler: the next attempt comes after this, whatever the retry policy says. */
  readonly retryAfter?: Duration | undefined
}

/** Every error of this package, and what a handler may throw to say what follows. */
export class TaskError extends Error {
  constructor(message?: string, options?: TaskErrorOptions)
  /** What went wrong. */
  readonly code: TaskErrorCode
  /**
   * Whether another attempt may help; where it is false, a failed attempt is the last. By default true for
   * `ERR_TASK_FAILED`, `ERR_TASK_TIMEOUT`, `ERR_TASK_LOST`, and for what time alone can lift: `ERR_RATE_LIMITED`,
   * `ERR_CIRCUIT_OPEN`, `ERR_QUEUE_FULL`, `ERR_EXECUTOR_CLOSED` (the task may do better in another process),
   * `ERR_STORE`, `ERR_STORE_FULL`, `ERR_STORE_BUSY`. False for all others.
   */
  readonly retryable: boolean
  /** Milliseconds to wait before another attempt, where that is known. */
  readonly retryAfter?: number
  /** The task, where there is one. */
  readonly taskId?: string
  /** The run that failed: 1 for the first. */
  readonly attempt?: number
  /** Thrown by a handler: do not try again. */
  static fatal(message: string, options?: { readonly cause?: unknown }): TaskError
  /** Thrown by a handler: the next attempt comes after `delay`, whatever the retry policy says. */
  static retryAfter(delay: Duration, message?: string): TaskError
}
