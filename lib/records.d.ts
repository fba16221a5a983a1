// Types of what stores tell beside tasks: attempts that failed, and executors that work on them.

import type { TaskErrorCode } from './errors.js'

/** An attempt that failed. */
export interface TaskAttempt {
  /** Which run: 1 for the first. */
  readonly attempt: number
  /** When it ended. */
  readonly at: Date
  /** What kind of failure. */
  readonly code: TaskErrorCode
  /** Name of the error, such as `TypeError`. */
  readonly name: string
  /** Its message; at most 16 KiB. */
  readonly message: string
  /** Its stack, where it had one; at most 16 KiB. */
  readonly stack?: string
}

/** An executor that works on a store. */
export interface NodeInfo {
  /** New at every start of an executor. */
  readonly id: string
  /** The machine it is on. */
  readonly host: string
  /** Its process there. */
  readonly pid: number
  /** Tasks that it runs or has claimed ahead. */
  readonly running: number
  /** When it was last known to live, on the clock of the store. */
  readonly lastBeat: Date
}
