// Types of what is known of enqueued tasks: handles, records, nodes.

import type { Json, TaskState } from '../index.js'
import type { TaskErrorCode } from './errors.js'
import type { LogLine } from './flow.js'
import type { ResultOptions } from './options.js'

/** A task in the queue. Nothing here throws for a task that has ended; the answer says whether anything was changed. */
export interface TaskHandle<Out = unknown> {
  /** Of the task. */
  readonly id: string
  /** False where `id`, `key`, `debounce` or `throttle` found a task that was there before. */
  readonly created: boolean
  /**
   * The output once it has completed. Rejects with a TaskError: `ERR_TASK_FAILED` with name, message, stack and `code` of
   * what the handler threw last as its `cause`, a code that the handler gave to a TaskError of its own, `ERR_TASK_TIMEOUT`, `ERR_TASK_CANCELLED`, `ERR_TASK_EXPIRED`, `ERR_TASK_LOST`, `ERR_TASK_NOT_FOUND` (no longer
   * kept) or `ERR_EXECUTOR_CLOSED`.
   */
  result(options?: ResultOptions): Promise<Out>
  /** How it stands now. Rejects with `ERR_TASK_NOT_FOUND` when it is no longer kept. */
  status(): Promise<TaskInfo<Out>>
  /**
   * Ends it as `cancelled`, and what waits for it too: at once where it has not started, else when its handler has
   * ended or `cancelGrace` is over. False where it had ended. The reason is a name; it is told to the handler.
   */
  cancel(reason?: string): Promise<boolean>
  /**
   * Runs an ended task again, with all its attempts, and after it the tasks of its flow that were cancelled because of
   * it alone. False where it has not ended, or another one has its key.
   */
  retry(): Promise<boolean>
  /**
   * Starts a delayed task now, also one that waits for quiet or for its next attempt. False where it does not wait for
   * its time; what it waits for besides (tasks, a pause, a limit) it still waits for.
   */
  promote(): Promise<boolean>
  /**
   * Moves its start. False where it does not wait, or an executor has claimed it ahead of its start. A task that waits
   * for others starts no earlier than that either. Throws `ERR_OPTION` for anything but a valid Date.
   */
  reschedule(runAt: Date): Promise<boolean>
  /**
   * Moves it forward or back among those that wait. False where it does not wait, or an executor has claimed it ahead
   * of its start: at most what 100 ms of its pace need, until nothing has moved there for a second.
   */
  setPriority(priority: number): Promise<boolean>
  /**
   * What `ctx.progress` was called with: the newest value first of all, then others as they come, until the task has
   * ended. Values that follow each other fast may be left out, the last one never. Rejects with `ERR_TASK_NOT_FOUND`.
   */
  progress(): AsyncIterableIterator<Json>
  /** What `ctx.log` was called with in all its runs, oldest first. */
  logs(): Promise<readonly LogLine[]>
}

/** An attempt that failed. */
export interface TaskAttempt {
  /** Which run: 1 for the first. */
  readonly attempt: number
  /** When it ended. */
  readonly at: Date
  /** What kind of failure. */
  readonly code: TaskErrorCode
  /** The `code` of the error that the handler threw, where that is not one of this package: `ECONNREFUSED`. */
  readonly causeCode?: string
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

/** How a task stood when it was asked for: a copy, which does not change. */
export interface TaskInfo<Out = unknown> {
  /** Of the task. */
  readonly id: string
  /** Of its kind. */
  readonly name: string
  /** The queue it is in. */
  readonly queue: string
  /** Where it stands. */
  readonly state: TaskState
  /** Larger runs first. */
  readonly priority: number
  /** The run that goes on, comes next or was the last: 1 for the first. */
  readonly attempt: number
  /** How many runs its retry policy allows. */
  readonly maxAttempts: number
  /** What it was enqueued with, as JSON carries it. */
  readonly input: Json
  /** What its handler gave, once it has completed. */
  readonly output?: Out
  /** The attempts that failed, oldest first; the last 20. */
  readonly errors: readonly TaskAttempt[]
  /** When it was enqueued. */
  readonly createdAt: Date
  /** The earliest start. */
  readonly runAt: Date
  /** Start of the last run. */
  readonly startedAt?: Date
  /** When it ended. */
  readonly finishedAt?: Date
  /** What `ctx.progress` was last called with. */
  readonly progress?: Json
  /** The flow it is part of. */
  readonly flow?: string
  /** Ids of the tasks that it waits for or has waited for. */
  readonly after?: readonly string[]
  /** The group it is in. */
  readonly group?: string
  /** What it was enqueued with. */
  readonly metadata: Readonly<Record<string, string>>
  /** How often it was lost by the process that ran it. */
  readonly losses: number
  /** Of a cancelled task: why. `superseded` where another one has taken its key. */
  readonly reason?: string
  /** Of a waiting task: what holds it, and until when if that is known. */
  readonly waitingFor?: {
    /**
     * `time`: its start has not come; `blocker`: tasks of `after`; `pause`: its queue; `no-handler`: its kind is not
     * registered here; `rate`, `breaker`: that limit is closed; `concurrency`: its turn has not come, or is elsewhere.
     */
    readonly reason: 'time' | 'blocker' | 'pause' | 'rate' | 'breaker' | 'concurrency' | 'no-handler'
    /** Of the queue, the kind, the limiter or the breaker, where it has one. */
    readonly name?: string
    readonly until?: Date
    /** Of a blocked task: those of `after` that have not ended, by id; at most 100. */
    readonly tasks?: readonly string[]
  }
}
