/// <reference types="node" />

// The public API: what the package exports, and nothing that it does not have.
// Every duration is in milliseconds or text with a unit, every option may be left out or undefined, and null is
// never accepted. A wrong option throws (or rejects with) a TaskError `ERR_OPTION` that names the option, what was
// given and what is allowed. `@default` values are compared with the code by a test.

// biome-ignore-all lint/suspicious/noExplicitAny: a definition of any input has to be a definition of each

import { EventEmitter } from 'node:events'
import type { TaskError, TaskErrorCode } from './lib/errors.js'
import type { FlowInfo, FlowOptions, FlowTask, LogLevel, LogLine, TaskFlow } from './lib/flow.js'
import type { Examination, Metrics } from './lib/metrics.js'
import type {
  CloseOptions,
  ConcurrencyLimits,
  EnqueueOptions,
  ExecutorOptions,
  Persistence,
  ResultOptions,
  RunOptions,
  TaskFilter,
} from './lib/options.js'
import type { NodeInfo, TaskAttempt } from './lib/records.js'
import type { RetryOptions, RetryPolicy } from './lib/retry.js'
import type { ScheduleOptions, ScheduleSlot } from './lib/scheduler.js'

export { TaskError, type TaskErrorCode, type TaskErrorOptions } from './lib/errors.js'
export type * from './lib/flow.js'
export type * from './lib/metrics.js'
export type * from './lib/options.js'
export type * from './lib/records.js'
export { type RetryOptions, RetryPolicy } from './lib/retry.js'
export {
  type ScheduleInfo,
  type ScheduleOptions,
  type ScheduleSlot,
  TaskScheduler,
} from './lib/scheduler.js'

/** The version of this package. */
export const version: string

// ---- Vocabulary ---------------------------------------------------------------------------------

/**
 * A length of time: milliseconds, or a number with a unit, such as `250`, `'30s'` or `'1.5h'`. Fractions of a
 * millisecond are rounded up. At most 100 years.
 */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

/** Anything JSON can carry. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/**
 * Where a task stands. `scheduled` (its time has not come) and `blocked` (tasks it waits for have not ended) are ways
 * of waiting; `completed`, `failed` and `cancelled` are final until somebody calls `retry`.
 */
export type TaskState = 'scheduled' | 'waiting' | 'blocked' | 'running' | 'completed' | 'failed' | 'cancelled'

/** The part of https://standardschema.dev that is called here: schemas of Zod, Valibot, ArkType and others fit. */
export interface StandardSchema<In = unknown, Out = In> {
  readonly '~standard': {
    /** The version of the standard. */
    readonly version: 1
    /** Who made the schema. */
    readonly vendor: string
    /** Only there for types. */
    readonly types?: { readonly input: In; readonly output: Out } | undefined
    /** Gives the value to go on with, or what is wrong with it. */
    validate(value: unknown): SchemaResult<Out> | Promise<SchemaResult<Out>>
  }
}

/** What a schema says about a value. */
export type SchemaResult<Out> =
  | { readonly value: Out; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<{ readonly message: string }> }

// ---- Tasks --------------------------------------------------------------------------------------

/** What every run is told, also that of a closure given to `execute`. */
export interface RunContext {
  /** Of the task; the same in each attempt. */
  readonly id: string
  /** Which run this is: 1 for the first. */
  readonly attempt: number
  /** How many runs the retry policy allows, the first included. */
  readonly maxAttempts: number
  /**
   * Aborts on timeout, cancel and shutdown, with a TaskError as its reason. Hand it to `fetch` and the like. It is
   * created when it is first read.
   */
  readonly signal: AbortSignal
  /** The same as a flag that a synchronous loop can read: it turns true while the event loop is blocked. */
  readonly cancelled: boolean
}

/** What the handler of a definition is told. */
export interface TaskContext extends RunContext {
  /** Of the kind of task. */
  readonly name: string
  /** What `enqueue` was given; empty where it was given nothing. */
  readonly metadata: Readonly<Record<string, string>>
  /** Of a run that a schedule has started: which slot, and how late it is. */
  readonly schedule?: ScheduleSlot | undefined
  /**
   * The outputs of the tasks of `after`, in that order; null for one that did not complete (`onBlockerFailure`:
   * `'run'`). Rejects with `ERR_TASK_NOT_FOUND` where one is no longer kept: see `retention`.
   */
  results(): Promise<unknown[]>
  /**
   * Runs `run` once for all runs of this task: its result is kept in the store under `key`, and the next run gets that.
   * Both are what JSON makes of it. The steps of a task that has completed are forgotten when it is run again.
   * At most 1000 steps a task and 256 KiB of JSON a step (`ERR_PAYLOAD_SIZE`). Rejects with what `run` throws, with
   * `ERR_OPTION` where a key comes twice in one run, or with `ERR_TASK_LOST` where this run has lost its task.
   */
  step<Result>(key: string, run: () => Result): Promise<Awaited<Result>>
  /**
   * Enqueues a task in the same atomic step in which this run succeeds; it is dropped where the run fails. Gives its
   * id. It is part of the same flow. An `id` that exists finds its task, a key that is held its holder; a task of
   * `after` that does not exist is not waited for. At most 10000 a run. Throws as `enqueue` rejects; where a schema
   * takes time, the run fails with `ERR_TASK_INPUT`.
   */
  spawn<T extends AnyTask>(task: T, ...args: Args<InputOf<T>, EnqueueOptions>): string
  /** The same by the name of a kind. */
  spawn(name: string, input?: unknown, options?: EnqueueOptions): string
  /**
   * Says how far this run has come, for `TaskHandle#progress` and `TaskInfo`: a number or anything JSON can carry, up
   * to 16 KiB. The store hears of it ten times a second at most, and of the last value in any case. Of a definition
   * that is executed without a store nobody can read it.
   */
  progress(value: Json): void
  /**
   * Writes a line for `TaskHandle#logs`. A message of more than 4096 characters is cut; fields are an object of up to
   * 16 KiB of JSON. The newest 1000 lines of a task are kept, and go when it goes.
   */
  log(message: string, fields?: Readonly<Record<string, Json>>, level?: LogLevel): void
  /**
   * Ends this run, gives its slot back and comes again after `delay`. Costs no attempt. It throws, so that nothing
   * after it is run; do not catch what it throws.
   */
  snooze(delay: Duration): never
}

/** The function that runs tasks of one kind. Its result is the task's output. */
export type TaskHandler<In, Out> = (input: In, ctx: TaskContext) => Out | Promise<Out>

/**
 * How tasks behave. What `enqueue` or `execute` says comes before what the definition says, and that before what the
 * executor says.
 */
export interface TaskPolicy {
  /**
   * The queue: the unit that is paused, and within which a `key` is unique.
   * @default 'default'
   */
  readonly queue?: string | undefined
  /**
   * Larger runs first, as in p-queue; ties run in the order of arrival. A whole number of 32 bits.
   * @default 0
   */
  readonly priority?: number | undefined
  /**
   * For one attempt, from its start. The attempt ends as `ERR_TASK_TIMEOUT` on time even if the handler never
   * settles; what the handler does later is ignored. At least 1 ms. Default: no limit.
   */
  readonly timeout?: Duration | undefined
  /** What follows a failure. Default: no retry. */
  readonly retry?: RetryPolicy | RetryOptions | undefined
}

/** A kind of task. */
export interface TaskDefinition<Name extends string = string, In = any, Out = any> extends TaskPolicy {
  /** Identity of the kind: 1 to 128 bytes of UTF-8 without control characters. */
  readonly name: Name
  /** For people. At most 1 KiB. */
  readonly description?: string | undefined
  /** Checked at `enqueue` and again before the handler; a mismatch is `ERR_TASK_INPUT` and never retried. */
  readonly input?: StandardSchema<any, In> | undefined
  /** How many of this kind may run at once; a number is `perNode`. */
  readonly concurrency?: number | ConcurrencyLimits | undefined
  /**
   * When it runs by itself: a cron expression, or options. `start()` makes or changes the schedule; the input of its
   * runs is `undefined`, unless `TaskScheduler#schedule` gives another.
   */
  readonly schedule?: string | ScheduleOptions | undefined
  /** Who runs it. Without one, tasks of this kind can be enqueued here, and wait for an executor that has it. */
  readonly handler?: TaskHandler<In, Out> | undefined
}

/**
 * Checks a definition and returns a frozen copy of it; infers the types of its input and output.
 * Throws `ERR_OPTION` for whatever a definition cannot have.
 */
export function defineTask<const Name extends string, In = void, Out = void>(
  definition: TaskDefinition<Name, In, Out>,
): TaskDefinition<Name, In, Out>

/** A definition of any kind. A function is none, although it has a name: that is all `bind` says. */
export type AnyTask = TaskDefinition<string, any, any> & { readonly bind?: never }
/** What the handler of a definition gets. */
export type InputOf<T> = T extends TaskDefinition<any, infer In, any> ? In : never
/** What the handler of a definition gives. */
export type OutputOf<T> = T extends TaskDefinition<any, any, infer Out> ? Awaited<Out> : never

// ---- Executor -----------------------------------------------------------------------------------

/** A task in the queue. Nothing here throws for a task that has ended; the answer says whether anything was changed. */
export interface TaskHandle<Out = unknown> {
  /** Of the task. */
  readonly id: string
  /** False where `id`, `key`, `debounce` or `throttle` found a task that was there before. */
  readonly created: boolean
  /**
   * The output once it has completed. Rejects with a TaskError: `ERR_TASK_FAILED` with name, message and stack of what
   * the handler threw last as its `cause`, a code that the handler gave to a TaskError of its own, `ERR_TASK_TIMEOUT`, `ERR_TASK_CANCELLED`, `ERR_TASK_EXPIRED`, `ERR_TASK_LOST`, `ERR_TASK_NOT_FOUND` (no longer
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
  /** Starts a delayed task now. False where it was not delayed. */
  promote(): Promise<boolean>
  /** Moves its start. False where it does not wait. Throws `ERR_OPTION` for anything but a valid Date. */
  reschedule(runAt: Date): Promise<boolean>
  /**
   * Moves it forward or back among those that wait. False where it does not wait, or an executor has claimed it ahead
   * of its start: at most what 100 ms of its pace need.
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
  /** Of a cancelled task: why. */
  readonly reason?: string
  /** Of a waiting task: what holds it, and until when if that is known. */
  readonly waitingFor?: {
    readonly reason: 'time' | 'blocker' | 'pause' | 'concurrency' | 'no-handler'
    readonly name?: string
    readonly until?: Date
  }
}

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
export type TaskEventName = Exclude<keyof TaskEvents, 'idle' | 'error' | 'loopStalled' | 'clockJump'>
/** What `events` gives: an event about a task, with its name as `type`. */
export type AnyTaskEvent = {
  [Name in TaskEventName]: TaskEvents[Name][0] & { readonly type: Name }
}[TaskEventName]

type NameOf<Tasks extends readonly AnyTask[]> = Tasks[number]['name']
// An executor that was given no `tasks` knows no names, so it takes any.
type Named<Tasks extends readonly AnyTask[], Name> =
  string extends NameOf<Tasks> ? AnyTask : Extract<Tasks[number], { readonly name: Name }>
// An input that may be undefined may be left out.
type Args<In, Options> = undefined extends In
  ? [input?: In, options?: Options]
  : [input: In, options?: Options]
type EnqueueArgs<T> = Args<InputOf<T>, EnqueueOptions>

/**
 * Runs tasks: closures here and now (`execute`), and tasks of a queue (`enqueue`).
 * In memory nothing outlives the process; with another `persistence` enqueued tasks do, and a started executor that
 * has handlers keeps its process alive for them. Calls on a closed executor reject with `ERR_EXECUTOR_CLOSED`.
 */
export class TaskExecutor<const Tasks extends readonly AnyTask[] = readonly AnyTask[]>
  extends EventEmitter<TaskEvents>
  implements AsyncDisposable
{
  /** Throws `ERR_OPTION` for a wrong option. */
  constructor(options?: ExecutorOptions<Tasks>)
  /** An executor with this store and default options. */
  static withPersistence(persistence: Persistence): TaskExecutor
  /** An executor whose tasks are retried by this policy where they say nothing else. */
  static withRetry(policy: RetryPolicy | RetryOptions): TaskExecutor

  /**
   * Runs a closure here and now, bounded by `concurrency`, and never stores it: what `PQueue#add` does. Rejects with
   * the very error that the closure threw, or with a TaskError: `ERR_TASK_TIMEOUT` or `ERR_EXECUTOR_CLOSED`.
   */
  execute<Out>(run: (ctx: RunContext) => Out, options?: RunOptions): Promise<Awaited<Out>>
  /**
   * Runs a task of this kind and gives its output. Rejects as `execute` of a closure, or with `ERR_TASK_INPUT`. On an
   * executor with a store the task is enqueued, and its result awaited: it rejects as `enqueue` and `result` do, its
   * `retry` must not have functions, and when `signal` aborts the task is cancelled.
   */
  execute<T extends AnyTask>(task: T, ...args: Args<InputOf<T>, RunOptions>): Promise<OutputOf<T>>
  /** Runs all of them, bounded by `concurrency`. Keeps the order; rejects with the first failure, as `Promise.all`. */
  executeAll<Out>(runs: Iterable<(ctx: RunContext) => Out>, options?: RunOptions): Promise<Awaited<Out>[]>

  /**
   * Puts a task in the queue; resolves when the store has it. Rejects with `ERR_TASK_INPUT` (the schema),
   * `ERR_TASK_SERIALIZE` (what JSON cannot carry), `ERR_PAYLOAD_SIZE`, `ERR_QUEUE_FULL` or `ERR_TASK_DUPLICATE`, and
   * leaves nothing behind then.
   */
  enqueue<T extends AnyTask>(task: T, ...args: EnqueueArgs<T>): Promise<TaskHandle<OutputOf<T>>>
  /** The same by the name of a kind. */
  enqueue<Name extends NameOf<Tasks>>(
    name: Name,
    ...args: EnqueueArgs<Named<Tasks, Name>>
  ): Promise<TaskHandle<OutputOf<Named<Tasks, Name>>>>
  /**
   * Puts a task in the queue for each input: all of them or none, in one step. `options` are those of every task, or a
   * function that gives those of each.
   */
  enqueueMany<T extends AnyTask>(
    task: T,
    inputs: Iterable<InputOf<T>>,
    options?: EnqueueOptions | ((input: InputOf<T>, index: number) => EnqueueOptions | undefined),
  ): Promise<TaskHandle<OutputOf<T>>[]>
  /**
   * Puts a workflow in the queue: all of its tasks or none, in one step. Rejects as `enqueue` does, and with
   * `ERR_OPTION` where a ref comes twice or is not there, or where tasks wait for each other in a circle, whose path
   * it names.
   */
  enqueueFlow(tasks: readonly FlowTask[], options?: FlowOptions): Promise<TaskFlow>

  /** Adds kinds of task after construction. Throws `ERR_OPTION` where a name is taken by another definition. */
  register(...tasks: readonly AnyTask[]): void
  /**
   * Begins to take tasks from the queues, and makes or changes the schedule of each definition that has one; rejects
   * with `ERR_STORE...` where the store cannot be used, `ERR_OPTION` where it cannot keep a schedule. An executor in memory begins by itself at its first `enqueue`, but makes no schedules
   * then; one with a store works on nothing before.
   */
  start(): Promise<void>
  /** Starts no more tasks of this queue, or of all; what runs goes on. */
  pause(queue?: string): Promise<void>
  /** Ends a pause. */
  resume(queue?: string): Promise<void>
  /** Resolves when nothing waits and nothing runs. */
  onIdle(): Promise<void>
  /**
   * Takes no new tasks; running ones get `gracePeriod`, and their signals abort at half of it. What has not ended by
   * then is given back without costing an attempt. May be called twice, and inside a handler.
   */
  close(options?: CloseOptions): Promise<void>
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>

  /** Lets pending work keep the process alive again, as a timer's `ref`. */
  ref(): this
  /** Lets the process end in spite of pending work and registered handlers, as a timer's `unref`. */
  unref(): this

  /** How a task stands; undefined where there is none with this id, or no longer. */
  get(id: string): Promise<TaskInfo | undefined>
  /**
   * How a workflow stands; `id` is that of the flow, or of any task of it. Of a task that is part of no flow: the tasks
   * that it waits or has waited for, at any remove, and itself. Rejects with `ERR_TASK_NOT_FOUND`.
   */
  getFlow(id: string): Promise<FlowInfo>
  /** Tasks, newest first, read page by page as the loop goes on. */
  list(filter?: TaskFilter): AsyncIterable<TaskInfo>
  /**
   * How many tasks are in each state, in this queue or in all. Tasks that this executor has claimed ahead of their
   * start count as waiting; those that others have, as running.
   */
  counts(queue?: string): Promise<Record<TaskState, number>>
  /** The executors that work on the same store, in this process and in others, by id. */
  nodes(): Promise<readonly NodeInfo[]>
  /** Runs failed and cancelled tasks again, completed ones only where `state` says so; gives their number. */
  retryAll(filter: Omit<TaskFilter, 'limit' | 'cursor'>): Promise<number>
  /** Cancels tasks that have not ended; gives their number. */
  cancelAll(filter: Omit<TaskFilter, 'limit' | 'cursor'>): Promise<number>
  /** Removes tasks that have ended; gives their number. */
  prune(filter: Omit<TaskFilter, 'limit' | 'cursor'>): Promise<number>
  /** The events about tasks from now on. A slow loop loses the oldest ones, never memory. */
  events(options?: ResultOptions): AsyncIterableIterator<AnyTaskEvent>

  /**
   * Measures times from now on, as the option `metrics` does from the start: waits, runs, commits, the delay of the
   * event loop, which is asked for a sign of life ten times a second for it. There is no way back.
   */
  enableMetrics(): Promise<void>
  /** The metrics now. Rejects with `ERR_STORE...` where the store does not tell how many tasks it has. */
  getMetrics(): Promise<Metrics>
  /**
   * The metrics as text for Prometheus, format 0.0.4, to be served as `text/plain; version=0.0.4`. Where the store does
   * not answer within 2 s, `task_store_up` is 0 and what only it knows is left out.
   */
  metricsText(): Promise<string>
  /** Looks at the executor, its settings and its store. A store that does not answer is a finding, not an error. */
  doctor(): Promise<Examination>
}
