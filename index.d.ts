/// <reference types="node" />

// The public API: what the package exports, and nothing that it does not have.
// Every duration is in milliseconds or text with a unit, every option may be left out or undefined, and null is
// never accepted. A wrong option throws (or rejects with) a TaskError `ERR_OPTION` that names the option, what was
// given and what is allowed. `@default` values are compared with the code by a test.

// biome-ignore-all lint/suspicious/noExplicitAny: a definition of any input has to be a definition of each

import { EventEmitter } from 'node:events'
import type { AnyTaskEvent, TaskEvents } from './lib/events.js'
import type { FlowInfo, FlowOptions, FlowTask, LogLevel, TaskFlow } from './lib/flow.js'
import type { NodeInfo, TaskHandle, TaskInfo } from './lib/handle.js'
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
  TaskPolicy,
} from './lib/options.js'

import type { RateLimiter, RateLimiterOptions } from './lib/rate-limiter.js'

import type { RetryOptions, RetryPolicy } from './lib/retry.js'
import type { ScheduleOptions, ScheduleSlot } from './lib/scheduler.js'
import type { StandardSchema } from './lib/schema.js'

export { CircuitBreaker, type CircuitBreakerOptions } from './lib/circuit-breaker.js'
export { TaskError, type TaskErrorCode, type TaskErrorOptions } from './lib/errors.js'
export type * from './lib/events.js'
export type * from './lib/flow.js'
export type * from './lib/handle.js'
export type * from './lib/metrics.js'
export type * from './lib/options.js'

export {
  type AcquireOptions,
  RateLimiter,
  type RateLimiterOptions,
} from './lib/rate-limiter.js'

export { type RetryOptions, RetryPolicy } from './lib/retry.js'
export {
  type ScheduleInfo,
  type ScheduleOptions,
  type ScheduleSlot,
  TaskScheduler,
} from './lib/scheduler.js'
export type * from './lib/schema.js'

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
  /**
   * Where the handler runs: `'inline'` in the event loop of this executor, `'thread'` in one of its worker threads (see
   * `threads` of the executor), which is for work that would block the loop. A handler in a thread that does not end
   * when its attempt is over is ended with its thread. Its input and output cross by the structured clone;
   * `ctx.step()` and `ctx.spawn()` are not there.
   * @default 'inline'
   */
  readonly isolation?: 'inline' | 'thread' | undefined
  /** The module whose default export is the handler in a thread: a file: URL or an absolute path. */
  readonly module?: URL | string | undefined
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
  /** An executor that starts no more than this. */
  static withRateLimiter(limiter: RateLimiter | RateLimiterOptions): TaskExecutor

  /**
   * Runs a closure here and now, bounded by `concurrency`, and never stores it: what `PQueue#add` does. Rejects with
   * the very error that the closure threw, or with a TaskError: `ERR_TASK_TIMEOUT`, `ERR_EXECUTOR_CLOSED`, or,
   * with the time to come back as `retryAfter`, `ERR_CIRCUIT_OPEN` or `ERR_RATE_LIMITED`.
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
