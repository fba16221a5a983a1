// Types of workflows: what `enqueueFlow` takes and gives, and what a run notes down.

import type { AnyTask, Json, TaskHandle, TaskInfo, TaskState } from '../index.js'
import type { EnqueueOptions, ResultOptions } from './options.js'

/** One task of a flow. */
export interface FlowTask {
  /** What other entries of the same flow call it. A name, which no other entry has. */
  readonly ref: string
  /** A definition, or the name of a kind. */
  readonly task: AnyTask | string
  /** What its handler gets. */
  readonly input?: unknown
  /** Refs of the tasks that have to complete first; one that is named twice counts once. */
  readonly after?: readonly string[] | undefined
  /** As for `enqueue`. Tasks that are there already can be named in `after` here; they come after those of the flow. */
  readonly options?: EnqueueOptions | undefined
}

/** Options of `enqueueFlow`. */
export interface FlowOptions {
  /**
   * Identity. Its tasks have the ids `<id>/<ref>` then, where they are given none of their own: enqueueing the same
   * flow again finds them, as long as they are kept. A name. Default: a new UUID, and new ids.
   */
  readonly id?: string | undefined
}

/** A workflow: tasks that were enqueued in one step, and what they spawn. */
export interface TaskFlow {
  /** Of the flow. */
  readonly id: string
  /** Its tasks, by ref. */
  readonly handles: Readonly<Record<string, TaskHandle>>
  /** The outputs of all its tasks, by ref. Rejects with the first failure, as `TaskHandle#result` does. */
  results(options?: ResultOptions): Promise<Record<string, unknown>>
  /** Resolves when all its tasks have ended, however they did, those included that they have spawned. */
  settled(options?: ResultOptions): Promise<FlowInfo>
  /** How it stands now: `getFlow` of its id. */
  status(): Promise<FlowInfo>
  /** Cancels those of its tasks that have not ended; gives their number. */
  cancel(reason?: string): Promise<number>
  /**
   * Runs what has failed or was cancelled again, and what waits for it after it; gives their number. A task whose key
   * another one has stays as it is, and so does what needs it.
   */
  retry(): Promise<number>
}

/** How a flow stood when it was asked for: a copy, which does not change. */
export interface FlowInfo {
  /** Of the flow; undefined for a task that is part of none. */
  readonly id: string | undefined
  /** Its tasks, in the order in which they were enqueued. */
  readonly tasks: readonly TaskInfo[]
  /** Who waits for whom, by ids: the second for the first. One that is in no flow may be named here too. */
  readonly edges: ReadonlyArray<readonly [blocker: string, task: string]>
  /** How many of its tasks are in each state. */
  readonly counts: Readonly<Record<TaskState, number>>
  /** How many there are. */
  readonly total: number
  /** How many of them have ended: `ended / total` is how far it has come. */
  readonly ended: number
}

/** How much somebody should care about a line of a log. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** A line of the log of a task. */
export interface LogLine {
  /** When it was written, on the clock of the machine that ran the task. */
  readonly at: Date
  /** By which run. */
  readonly attempt: number
  /** How much somebody should care. */
  readonly level: LogLevel
  /** What it says. */
  readonly message: string
  /** What belongs to it. */
  readonly fields?: Readonly<Record<string, Json>>
}
