// Types of the scheduler; index.d.ts passes them on.

// biome-ignore-all lint/suspicious/noExplicitAny: an executor of any tasks has to be an executor of each

import type { AnyTask, Duration, InputOf, TaskExecutor, TaskHandle } from '../index.js'

/** When a task runs again and again. Either `cron` or `every`. */
export interface ScheduleOptions {
  /**
   * Identity: scheduling again under the same key changes the schedule. A name of at most 100 bytes. Default: the name
   * of the task.
   */
  readonly key?: string | undefined
  /**
   * A cron expression: 5 fields, 6 with the second first, 7 with the year last, or a word such as `@daily`.
   * `ERR_SCHEDULE` names the field and the column of what is wrong.
   */
  readonly cron?: string | undefined
  /**
   * The time between two slots, counted from `startAt`, or from when the schedule was made; it does not drift. At least
   * 10 ms in memory, 1 s in a store.
   */
  readonly every?: Duration | undefined
  /**
   * The zone of `cron`: an IANA name such as `'Europe/Berlin'`.
   * @default 'UTC'
   */
  readonly timeZone?: string | undefined
  /**
   * What becomes of slots that were missed, because nobody was there or the machine slept: none of them runs, the
   * latest stands for all, or all run, the newest hundred. `'all'` needs `overlap: 'queue'` or `'allow'`.
   * @default 'latest'
   */
  readonly catchUp?: 'none' | 'latest' | 'all' | undefined
  /**
   * What a slot does while the run of an earlier one has not ended: it is skipped, waits for that end (at most one
   * does, but for missed ones), runs beside it, or stops it and waits for its end.
   * @default 'skip'
   */
  readonly overlap?: 'skip' | 'queue' | 'allow' | 'cancel' | undefined
  /**
   * All slots are late by the same time below this, which depends on the key, so that schedules do not fire all at
   * once. At most 366 days.
   * @default 0
   */
  readonly jitter?: Duration | undefined
  /** No slot before; the first slot of `every`. */
  readonly startAt?: Date | undefined
  /** No slot after. */
  readonly endAt?: Date | undefined
  /** Runs in all. */
  readonly limit?: number | undefined
}

/** A schedule as it stood when it was asked for. */
export interface ScheduleInfo {
  /** Its identity. */
  readonly key: string
  /** The kind of task that it runs. */
  readonly name: string
  /** Its expression, if it has one. */
  readonly cron?: string
  /** The zone of the expression. */
  readonly timeZone?: string
  /** Milliseconds between two slots, if it has no expression. */
  readonly every?: number
  /** What becomes of missed slots. */
  readonly catchUp: 'none' | 'latest' | 'all'
  /** What a slot does while an earlier run has not ended. */
  readonly overlap: 'skip' | 'queue' | 'allow' | 'cancel'
  /** The bound of its lateness, in milliseconds. */
  readonly jitter: number
  /** No slot before. */
  readonly startAt?: Date
  /** No slot after. */
  readonly endAt?: Date
  /** Runs in all. */
  readonly limit?: number
  /** It does not fire. */
  readonly paused: boolean
  /** Why it was paused, where nobody asked for it: a handler in Rust that can run only once has run. */
  readonly reason?: 'NotRepeatable'
  /** When it fires next; null while it is paused, and when it is over. */
  readonly nextRun: Date | null
  /** When it fired last, by a slot or by `trigger`. */
  readonly lastRun: Date | null
}

/** What a run is told that a schedule has started. */
export interface ScheduleSlot {
  /** The schedule. */
  readonly key: string
  /** The instant that this run stands for; of a run by `trigger`, when that was called. */
  readonly slot: Date
  /** By how many milliseconds the run began later than its slot. */
  readonly late: number
  /** Slots that were skipped since the run before: missed ones, and those that met a run that had not ended. */
  readonly skipped: number
}

/**
 * Runs tasks at dates: schedules live in the store of an executor, each slot is one task of its queue, once over all
 * processes. Every started executor on the store fires them, unless it works on no queue; a scheduler is only needed
 * where schedules are made and changed.
 */
export class TaskScheduler implements AsyncDisposable {
  /**
   * A scheduler for the store of this executor. Without one it makes one in memory, whose schedules live as long as it.
   * Throws `ERR_OPTION` for anything but a TaskExecutor.
   */
  constructor(executor?: TaskExecutor<any>)
  /**
   * Makes a schedule for tasks of this kind, or changes the one with its key. With the same slots as before it goes on
   * where it was, and catches up; other slots begin now. `when`: options, or a cron expression; it may be left out
   * where the definition has a `schedule`. `input`: what each run gets. Rejects with `ERR_SCHEDULE` (the expression, the zone),
   * `ERR_OPTION`, or as `enqueue` does. An executor in memory starts by it; one with a store has to be started.
   */
  schedule<T extends AnyTask>(
    task: T | string,
    when?: string | ScheduleOptions,
    input?: InputOf<T>,
  ): Promise<ScheduleInfo>
  /** Removes a schedule; tasks that it has started go on. False where there is none. */
  unschedule(key: string): Promise<boolean>
  /** Stops it from firing until `resume`, also over restarts. Rejects with `ERR_SCHEDULE` where there is none. */
  pause(key: string): Promise<void>
  /** Lets it go on; slots that have passed meanwhile are not made up for. Rejects with `ERR_SCHEDULE` where there is none. */
  resume(key: string): Promise<void>
  /**
   * Runs it now, beside its slots, also while it is paused. `overlap` holds: where an earlier run stands for it, the
   * handle is that of the earlier run, with `created: false`. Rejects with `ERR_SCHEDULE` where there is none.
   */
  trigger(key: string): Promise<TaskHandle>
  /** All schedules of the store, by key. */
  list(): Promise<ScheduleInfo[]>
  /**
   * Closes the executor if the scheduler has made it. Schedules in a store stay, and go on in the executors there.
   * Later calls reject with `ERR_EXECUTOR_CLOSED`.
   */
  close(): Promise<void>
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
  /**
   * The coming slots after `from`, without any store: at most `count`, 1 to 100000 (default 10), fewer where there are
   * no more. One call of this is far cheaper than many of `next`.
   */
  static preview(when: string | ScheduleOptions, count?: number, from?: Date): Date[]
  /** The first slot after `from`, which is now by default; null where there is none. */
  static next(when: string | ScheduleOptions, from?: Date): Date | null
  /** The last slot before `from`, which is now by default; null where there is none. */
  static previous(when: string | ScheduleOptions, from?: Date): Date | null
  /** The version of the IANA time zones inside this package, such as `'2026a'`; those of the machine do not matter. */
  static readonly timeZoneData: string
}
