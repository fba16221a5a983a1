// Types of `@wterminal/task/testing`: a clock for tests of code that uses this package.

import type { Duration } from '../index.js'

/** Settings of a `TestClock`. */
export interface TestClockOptions {
  /**
   * The date that it shows at first: a `Date`, epoch milliseconds or the text of a date, from 1970 on. Default: the
   * date of the machine.
   */
  readonly now?: Date | number | string | undefined
  /**
   * How long handlers may wait for something that is no task, such as a file or a timer of Node, before the time goes
   * on. By the clock of the machine.
   * @default 10
   */
  readonly patience?: Duration | undefined
}

/** Settings of `TestClock.runUntilIdle`. */
export interface RunUntilIdleOptions {
  /**
   * How far it may go, by its own time.
   * @default '366d'
   */
  readonly within?: Duration | undefined
}

/**
 * A time that stands still until a test moves it. Executors in memory live in it by their option `clock`, with all that
 * goes by a time: delays, retries, timeouts, schedules, rate limits, circuit breakers, retention. It is the same engine;
 * only the time is another. Limiters and breakers take up the clock of the first executor that they are given to. What
 * `close()` waits for comes by itself.
 *
 * The time leaps from one moment at which something happens to the next, and goes on when everything that can be done
 * at a moment has been done. `Date` and the timers of Node go by the machine: a handler that is to wait by this clock
 * uses `sleep`.
 */
export class TestClock {
  /** `ERR_OPTION` for settings that cannot be. */
  constructor(options?: TestClockOptions)

  /** The date that it shows, in epoch milliseconds. */
  now(): number

  /**
   * Moves it forward, and does on the way what is to be done, each thing at its time. When it resolves nothing is left
   * that could be done by now, but for handlers that wait for something that is no task.
   */
  advance(duration: Duration): Promise<void>

  /**
   * Moves it forward until no task waits or runs in any executor that lives in it: what is delayed, tried again or
   * limited included. Schedules fire on the way, and are no task that waits. Rejects with `ERR_STUCK` where nothing
   * will happen by itself and tasks are left, as in a queue that is paused, and where `within` has not been enough; the
   * message names one of them and what holds it.
   */
  runUntilIdle(options?: RunUntilIdleOptions): Promise<void>

  /** Does what is to be done now, without moving it. */
  settle(): Promise<void>

  /** Resolves when it has been moved forward by so much: for handlers, in place of a timer. */
  sleep(duration: Duration): Promise<void>
}
