// Types of the rate limiter; index.d.ts passes them on.

import type { Duration } from '../index.js'

/** A limit on starts over time. */
export interface RateLimiterOptions {
  /** How many may start in each `per`. From 1. */
  readonly limit: number
  /** The time that `limit` is for. At least 1 ms. */
  readonly per: Duration
  /**
   * How many may start at once after a quiet time: over any time at most the limit for it, and this. From 1.
   * @default limit
   */
  readonly burst?: number | undefined
  /**
   * The limit holds for each `group` of tasks, and for each `key` of `acquire`, by itself; those without one are one
   * group. It counts enqueued tasks. Default: one limit for all.
   */
  readonly by?: 'group' | undefined
  /**
   * The limit holds for all executors on the store together, which keeps count of what they take from queues; closures
   * and `acquire` count in this process. Of several such limits that hold for a task the store keeps the innermost, and
   * each process the others. Default: true where the store is Redis.
   */
  readonly shared?: boolean | undefined
  /**
   * What it is called in `waitingFor` and errors, and who shares it in a store. Give it one where several kinds share
   * it there. Default: the kind, queue or executor that it is given to.
   */
  readonly name?: string | undefined
  /**
   * `'reject'`: `execute` and `acquire` reject with `ERR_RATE_LIMITED` instead of waiting; enqueued tasks wait.
   * @default 'wait'
   */
  readonly onExcess?: 'wait' | 'reject' | undefined
  /**
   * A handler that throws a TaskError with `retryAfter` also pauses this limiter for that time.
   * @default false
   */
  readonly heedRetryAfter?: boolean | undefined
}

/** Options of `RateLimiter#acquire`. */
export interface AcquireOptions {
  /** With `by: 'group'`: whose limit to take from. A name. */
  readonly key?: string | undefined
  /** Gives the place in the line up and rejects with its reason. */
  readonly signal?: AbortSignal | undefined
}

/**
 * One limit, wherever it is used in this process: on executors, queues and kinds, and by any code with `acquire`.
 * A start counts when a handler is about to be called, and not when it was given back before. The limit is that of the
 * generic cell rate algorithm.
 */
export class RateLimiter {
  /** Throws `ERR_OPTION` for a wrong option. */
  constructor(options: RateLimiterOptions)
  /** 100 starts a second, 100 at once. */
  static withDefaults(): RateLimiter
  /** So many starts a second. */
  static perSecond(limit: number, options?: { readonly burst?: number | undefined }): RateLimiter
  /** How many may start in each `per`. */
  readonly limit: number
  /** The time that `limit` is for, in milliseconds. */
  readonly per: number
  /** How many may start at once. */
  readonly burst: number
  /** Another limit from now on; what has started counts on. A `burst` that was never given goes with the limit. */
  update(options: {
    readonly limit?: number | undefined
    readonly per?: Duration | undefined
    readonly burst?: number | undefined
  }): void
  /** Nothing starts before so long from now: after a 429, for instance. Never shortens a pause. */
  pause(duration: Duration): void
  /**
   * Resolves when it may go on, first come, first served. Rejects with the reason of `signal`, with `ERR_RATE_LIMITED`
   * where `onExcess` says so, or where more than 1000000 keys are in use at once.
   */
  acquire(options?: AcquireOptions): Promise<void>
  /** Whether it may go on now; false too where others wait. */
  tryAcquire(key?: string): boolean
}
