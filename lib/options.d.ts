// Types of the options of the public API; index.d.ts passes them on. What each function of the executor takes, with
// its unit, its range and its default.

// biome-ignore-all lint/suspicious/noExplicitAny: a handle of any output has to be a handle of each

import type { AnyTask, Duration, TaskHandle, TaskState } from '../index.js'
import type { CircuitBreaker, CircuitBreakerOptions } from './circuit-breaker.js'
import type { LogRecord } from './metrics.js'
import type { RateLimiter, RateLimiterOptions } from './rate-limiter.js'
import type { RetryOptions, RetryPolicy } from './retry.js'
import type { TestClock } from './testing.js'

/**
 * Where enqueued tasks are kept.
 * - `'memory'`: in this process, for as long as it lives.
 * - `'sqlite:<path>'`: in this file, which any number of processes of one machine may share; it is created where there
 *   is none. `'sqlite'`: in `tasks.db` in the working directory.
 * - `'redis://...'`, `'rediss://...'`: on a Redis server from 6.2 on, or a Valkey, shared by all who name it; the second
 *   form is encrypted. The address is `redis://user:password@host:port/database`.
 * - `'redis+sentinel://...'`, `'rediss+sentinel://...'`: on the primary that Sentinels name, also after a failover. The
 *   address is `redis+sentinel://user:password@host:port,host:port/name/database` with any number of Sentinels (port
 *   26379 where none is given) and the name by which they know the primary. User, password and database are those of
 *   the server; a Sentinel that asks for a password is given the same.
 */
export type Persistence =
  | 'memory'
  | 'sqlite'
  | `sqlite:${string}`
  | `redis://${string}`
  | `rediss://${string}`
  | `redis+sentinel://${string}`
  | `rediss+sentinel://${string}`

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
  /**
   * How many may start over time. Limits of the executor, of a queue and of a kind add up: all of them hold. A limiter
   * that is given to several is one limit for all of them together. Default: no limit.
   */
  readonly rateLimit?: RateLimiter | RateLimiterOptions | undefined
  /**
   * Stops starting what only fails. While it is open `execute` rejects with `ERR_CIRCUIT_OPEN` and enqueued tasks
   * wait, without losing attempts or their order. Those of the executor and of a kind both hold. Default: none.
   */
  readonly circuitBreaker?: CircuitBreaker | CircuitBreakerOptions | undefined
}

/** How many tasks of one kind may run at once. Each from 1 to 1000000; default: no limit of its own. */
export interface ConcurrencyLimits {
  /** In this executor. */
  readonly perNode?: number | undefined
  /** Over all executors on one store. */
  readonly total?: number | undefined
  /** For each value of `group`. */
  readonly perGroup?: number | undefined
}

/** Limits of one queue. */
export interface QueueOptions {
  /** How many tasks of this queue may run at once here. 1 to 1000000; default: no limit of its own. */
  readonly concurrency?: number | undefined
  /** How many enqueued tasks of this queue may start over time. Default: no limit of its own. */
  readonly rateLimit?: RateLimiter | RateLimiterOptions | undefined
}

/** What to keep of tasks that have ended; whichever bound is reached first. A bound that is left out does not hold. */
export interface RetentionLimits {
  /** Time since the end. */
  readonly age?: Duration | undefined
  /** Number of tasks. */
  readonly count?: number | undefined
  /** Bytes of JSON of inputs and outputs. */
  readonly bytes?: number | undefined
}

/** Options of `new TaskExecutor()`. Those of `TaskPolicy` hold for every task that says nothing else. */
export interface ExecutorOptions<Tasks extends readonly AnyTask[] = readonly AnyTask[]> extends TaskPolicy {
  /** The kinds of task it runs; their names and types become known to `enqueue`. At most 10000. */
  readonly tasks?: Tasks | undefined
  /**
   * Where enqueued tasks are kept. A store is opened by the first call that needs it, which rejects with `ERR_STORE...`
   * where that fails; calls made meanwhile wait for it.
   * @default 'memory'
   */
  readonly persistence?: Persistence | undefined
  /**
   * Separates the users of one Redis server: executors meet only in the same namespace. 1 to 128 bytes of UTF-8 without
   * control characters. In a cluster a namespace is on one node, so work is spread by using several. Memory ignores it;
   * with SQLite anything but the default is an `ERR_OPTION`, since a file of its own is what separates its users.
   * @default 'default'
   */
  readonly namespace?: string | undefined
  /**
   * What a power cut may take of a file: `'strict'` nothing that was acknowledged, `'relaxed'` the last half second.
   * The death of a process takes nothing in either case.
   * @default 'strict'
   */
  readonly durability?: 'strict' | 'relaxed' | undefined
  /**
   * How long a process that has frozen keeps its tasks; one that has died on this machine loses them at once. An
   * executor that cannot reach its store begins nothing more after half of it, and aborts the signals of what runs
   * after all of it. At least 1 s.
   * @default '30s'
   */
  readonly lease?: Duration | undefined
  /**
   * How many tasks may run at once. 1 to 1000000.
   * @default availableParallelism()
   */
  readonly concurrency?: number | undefined
  /** How many tasks may wait; beyond it `enqueue` rejects with `ERR_QUEUE_FULL`. Default: no bound. */
  readonly maxQueue?: number | undefined
  /**
   * Bytes of JSON of one input or output, at most 64 MiB; beyond it `ERR_PAYLOAD_SIZE`.
   * @default 1024 * 1024
   */
  readonly maxPayload?: number | undefined
  /**
   * Only these queues are worked; `[]` makes a pure producer, which claims nothing and does not count as a worker.
   * Default: all.
   */
  readonly queues?: readonly string[] | Readonly<Record<string, QueueOptions>> | undefined
  /**
   * When the event loop has not answered for so long, its running tasks are lost to it, and run again. At least 10 ms.
   * @default '60s'
   */
  readonly stallLimit?: Duration | undefined
  /**
   * How often a task may be lost by the process that ran it; once more and it fails as `ERR_TASK_LOST`.
   * @default 3
   */
  readonly maxLosses?: number | undefined
  /**
   * Handlers that go on although their attempt has ended; beyond it nothing new starts.
   * @default Math.max(16, 2 * concurrency)
   */
  readonly maxAbandoned?: number | undefined
  /**
   * How long `close()` waits for running tasks; their signals abort at half of it.
   * @default '8s'
   */
  readonly gracePeriod?: Duration | undefined
  /**
   * How long a cancelled task may take to end before it is abandoned.
   * @default '5s'
   */
  readonly cancelGrace?: Duration | undefined
  /**
   * What to keep of tasks that have ended. A state that is given replaces the default for that state only. With a
   * store that outlives the process the default is 1 day and 100,000 tasks of what completed, 14 days of the rest.
   * @default { completed: { count: 1000 }, failed: { count: 1000 }, cancelled: { count: 1000 } }
   */
  readonly retention?:
    | { readonly [State in 'completed' | 'failed' | 'cancelled']?: RetentionLimits | undefined }
    | undefined
  /**
   * The worker threads for definitions with `isolation: 'thread'`; a number is `count`. They are started when they are
   * needed, and ended by `close()`.
   * @default { count: availableParallelism() }
   */
  readonly threads?: number | ThreadOptions | undefined
  /**
   * Whether times are measured: see `enableMetrics`. Counters are always kept.
   * @default false
   */
  readonly metrics?: boolean | undefined
  /**
   * Is told what the engine has to say, of this executor and of none in particular, when the event loop turns. The
   * environment variable `TASK_LOG` (`error`, `warn`, `info`, `debug` or `trace`) has the same written to stderr,
   * also while the loop is blocked.
   */
  readonly logger?: ((record: LogRecord) => void) | undefined
  /**
   * Lives in the time of this clock, which a test moves: see `@wterminal/task/testing`. Only in memory; with another
   * `persistence` it is refused, since a store has a time of its own. Default: the time of the machine.
   */
  readonly clock?: TestClock | undefined
  /** Closes the executor when it aborts, as `close()` does. */
  readonly signal?: AbortSignal | undefined
}

/** The worker threads of an executor. */
export interface ThreadOptions {
  /**
   * How many there are at most, each with one task at a time. 1 to 1024.
   * @default availableParallelism()
   */
  readonly count?: number | undefined
  /** What one thread may use, as `resourceLimits` of Node's `Worker`; beyond it the attempt fails, and the thread ends. */
  readonly resourceLimits?:
    | {
        readonly maxOldGenerationSizeMb?: number | undefined
        readonly maxYoungGenerationSizeMb?: number | undefined
        readonly codeRangeSizeMb?: number | undefined
        readonly stackSizeMb?: number | undefined
      }
    | undefined
}

/** Options of `execute` and `executeAll`. */
export interface RunOptions {
  /** Larger runs first. Default: that of the definition or the executor. */
  readonly priority?: number | undefined
  /** For one attempt. Default: that of the definition or the executor. */
  readonly timeout?: Duration | undefined
  /** What follows a failure. Default: that of the definition or the executor. */
  readonly retry?: RetryPolicy | RetryOptions | undefined
  /** Rejects with `signal.reason`, and removes the task when it has not started. */
  readonly signal?: AbortSignal | undefined
}

/** How a task that is enqueued again and again comes to rest. */
export interface DebounceOptions {
  /** The task starts when nobody has enqueued it for so long. At least 1 ms. */
  readonly wait: Duration
  /**
   * It starts at the latest so long after the first time. At least `wait`.
   * @default 10 * wait
   */
  readonly maxWait?: Duration | undefined
}

/** Options of `enqueue` and `enqueueMany`: data, since they are stored with the task. */
export interface EnqueueOptions {
  /** Default: that of the definition or the executor. */
  readonly queue?: string | undefined
  /** Larger runs first. Default: that of the definition or the executor. */
  readonly priority?: number | undefined
  /** For one attempt. Default: that of the definition or the executor. */
  readonly timeout?: Duration | undefined
  /**
   * What follows a failure; no functions: neither `retryIf` nor `RetryPolicy.custom`, which belong to the definition.
   * Default: that of the definition or the executor.
   */
  readonly retry?:
    | RetryPolicy
    | (Omit<RetryOptions, 'retryIf'> & { readonly retryIf?: undefined })
    | undefined
  /**
   * Identity. Enqueueing an id again gives the task that has it, with `created: false`, as long as that is kept;
   * with another input it is `ERR_TASK_DUPLICATE`. A name. Default: a new UUID of version 7.
   */
  readonly id?: string | undefined
  /** Starts no earlier than so long from now. Not together with `runAt`. */
  readonly delay?: Duration | undefined
  /** Starts no earlier than then. Not together with `delay`. */
  readonly runAt?: Date | undefined
  /** At most one unfinished task of a queue has this key. A name. */
  readonly key?: string | undefined
  /**
   * What happens when an unfinished task has the key: `'ignore'` gives that task, `'replace'` takes its place (and
   * waits for it to end if it runs), `'error'` rejects with `ERR_TASK_DUPLICATE`. Needs `key`; not
   * together with `debounce`.
   * @default 'ignore'
   */
  readonly onConflict?: 'ignore' | 'replace' | 'error' | undefined
  /**
   * The newest input wins, and the start waits for quiet. Needs `key`; not together with `throttle`, `delay`, `runAt`
   * or `onConflict`. A run that has begun keeps its input: another task follows it, as with `'replace'`.
   */
  readonly debounce?: Duration | DebounceOptions | undefined
  /**
   * The first wins, and what comes within this time gives that task, even when it has ended. At least 1 ms. Needs
   * `key`; not together with `debounce`.
   */
  readonly throttle?: Duration | undefined
  /** Groups of equal priority take turns; `perGroup` limits count by it. A name. */
  readonly group?: string | undefined
  /** Tasks that have to complete first: handles or ids, at most 10000; one that is named twice counts once. */
  readonly after?: ReadonlyArray<TaskHandle<any> | string> | undefined
  /**
   * What happens when one of `after` fails or is cancelled: this task is cancelled too, or runs all the same.
   * @default 'cancel'
   */
  readonly onBlockerFailure?: 'cancel' | 'run' | undefined
  /** Not started by then: it fails as `ERR_TASK_EXPIRED`. Later than `runAt`. */
  readonly expiresAt?: Date | undefined
  /** Kept with the task and shown to its handler. At most 64 entries, 1 KiB for each name and each value. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

/** Which tasks are meant; all of the conditions have to hold, `{}` means every task. */
export interface TaskFilter {
  /** One state, or any of several. */
  readonly state?: TaskState | readonly TaskState[] | undefined
  /** In this queue. */
  readonly queue?: string | undefined
  /** Of this kind. */
  readonly name?: string | undefined
  /** This text occurs in the name, the input or an error. At most 1 KiB. */
  readonly search?: string | undefined
  /** Enqueued before. */
  readonly createdBefore?: Date | undefined
  /** Enqueued after. */
  readonly createdAfter?: Date | undefined
  /** In this group. */
  readonly group?: string | undefined
  /** Part of this flow: the id of one. */
  readonly flow?: string | undefined
  /** So many at most; only for `list`. Default: all. */
  readonly limit?: number | undefined
  /** Goes on after the task with this id, which has to be kept still; only for `list`. */
  readonly cursor?: string | undefined
}

/** Options of `close`. */
export interface CloseOptions {
  /** Instead of that of the executor. */
  readonly gracePeriod?: Duration | undefined
}

/** Options of `TaskHandle#result` and of `events`. */
export interface ResultOptions {
  /** Ends the wait, not the task. `result` rejects with its reason. */
  readonly signal?: AbortSignal | undefined
}
