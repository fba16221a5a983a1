// Types of the retry policies; index.d.ts passes them on.

import type { Duration } from '../index.js'
import type { TaskError } from './errors.js'

/** A policy as plain data: exponential backoff. */
export interface RetryOptions {
  /** Counts every run, the first included: 3 means at most 3 runs, 2 of them retries. From 1 to 2147483647. */
  readonly attempts: number
  /**
   * The delay before the first retry.
   * @default '1s'
   */
  readonly base?: Duration | undefined
  /**
   * No delay is longer; applied before the jitter. At least `base`; where `base` is longer than the default, that.
   * @default '1h'
   */
  readonly max?: Duration | undefined
  /** When the next start would come later than this after the first one, it fails now. Default: no bound. */
  readonly maxElapsed?: Duration | undefined
  /**
   * Each delay is so many times the one before. From 1 to 1000.
   * @default 2
   */
  readonly factor?: number | undefined
  /**
   * What is made of a delay: `'equal'` takes half of it and up to as much again, `'full'` up to all of it, `'none'`
   * all of it. Computed from the task and the attempt, so it is the same everywhere.
   * @default 'equal'
   */
  readonly jitter?: 'none' | 'full' | 'equal' | undefined
  /**
   * Called in JavaScript for each failure that has a run left; false ends the task. Default: what `TaskError#retryable` says.
   */
  readonly retryIf?: ((error: TaskError) => boolean) | undefined
}

/** How often a task is run, and how long it waits in between. `attempts` counts every run. Never changes. */
export class RetryPolicy {
  private constructor()
  private readonly wire
  /** Runs in all, the first included. */
  readonly attempts: number
  /** Delays `base`, `base * factor`, `base * factor^2`, ... with jitter 'equal'. */
  static exponentialBackoff(
    attempts: number,
    base: Duration,
    options?: Omit<RetryOptions, 'attempts' | 'base'>,
  ): RetryPolicy
  /** The same delay each time, without jitter. */
  static fixed(attempts: number, delay: Duration): RetryPolicy
  /** Delays `base`, `2 * base`, `3 * base`, ... up to an hour (or `base`, where that is longer), with jitter 'equal'. */
  static linear(attempts: number, base: Duration): RetryPolicy
  /** These delays one after the other, without jitter; a run more than there are delays, which are 1000 at most. */
  static list(delays: readonly Duration[]): RetryPolicy
  /** One run. */
  static none(): RetryPolicy
  /**
   * `next` is called in JavaScript for each failure that has a run left: the delay, or `false` to give up.
   */
  static custom(attempts: number, next: (error: TaskError, attempt: number) => Duration | false): RetryPolicy
}
