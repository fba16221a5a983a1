// Types of what an executor says of itself: metrics, records of its log, findings of its doctor. Times are seconds here
// unless a comment says otherwise, as Prometheus has them.

import type { TaskState } from '../index.js'

/** Values and how they are spread, within about 3 %. Seconds. All 0 where there is none. */
export interface Histogram {
  /** How many. */
  readonly count: number
  /** Of all. */
  readonly sum: number
  /** The smallest. */
  readonly min: number
  /** The largest. */
  readonly max: number
  /** The average. */
  readonly mean: number
  /** Half of them are not larger. */
  readonly p50: number
  /** 90 % are not larger. */
  readonly p90: number
  /** 99 % are not larger. */
  readonly p99: number
  /** 99.9 % are not larger. */
  readonly p999: number
}

/** What was counted since the executor was made; no count ever goes down. */
export interface TaskTotals {
  /** Tasks that were taken in here: pushed to the store, or given to `execute`. */
  readonly enqueued: number
  /** Tasks that completed here. */
  readonly completed: number
  /** Tasks that failed for good here. */
  readonly failed: number
  /** Attempts that failed and are followed by another. */
  readonly retried: number
  /** Tasks that were cancelled here, or that what was done here has ended without a run: by a cascade, by expiry. */
  readonly cancelled: number
  /** Claims that were lost, of this executor or of one that is gone. */
  readonly lost: number
  /** Handlers that outlived their attempt. */
  readonly abandoned: number
  /** Outcomes that came too late and changed nothing. */
  readonly stale: number
}

/** What is known of one kind of task. */
export interface TaskMetrics extends TaskTotals {
  /** Of its attempts, from the call of the handler to its end. */
  readonly duration: Histogram
  /** From when a task could start to when it did: see `Metrics#waitTime`. */
  readonly waitTime: Histogram
}

/** A limit at one moment. */
export interface GateMetrics {
  /** What limits: `'concurrency'`, `'pause'`, `'rate'` or `'breaker'`. */
  readonly kind: string
  /** `'open'` or `'closed'`: whether it lets tasks start. */
  readonly state: string
  /** Of a circuit breaker: whether its circuit is `'closed'`, `'open'` or `'half-open'`. */
  readonly circuit?: string
  /** Tasks that stand before it in this executor. */
  readonly waiting: number
}

/** What this process costs, and how fast its parts answer. */
export interface PerformanceMetrics {
  /** From a call of the event loop by the engine, ten times a second, to its answer. */
  readonly loopDelay: Histogram
  /** How late timeouts, backoffs and the like fire. */
  readonly timerLateness: Histogram
  /** Processor time of this process, outside and in the system. */
  readonly cpuSeconds: number
  /** Memory of this process, in bytes. */
  readonly rssBytes: number
  /** Calls that changed the store. Some stores put several of them into one transaction. */
  readonly commits: number
  /** Tasks that such a call pushes, settles and claims, on average. */
  readonly tasksPerCommit: number
  /** From such a call to its answer. */
  readonly commitTime: Histogram
  /** Claims that this executor holds: tasks that it runs or has claimed ahead. */
  readonly leases: number
  /** Threads that all executors of this process share. */
  readonly engineThreads: number
  /** Events that were lost because they were not taken in time. */
  readonly droppedEvents: number
}

/** An executor at one moment: what `getMetrics` gives. */
export interface Metrics {
  /** Times are measured; without, every histogram is empty. */
  readonly enabled: boolean
  /** Since the executor was made. */
  readonly uptime: number
  /** What this process costs, and how fast its parts answer. */
  readonly performance: PerformanceMetrics
  /**
   * Limits by name: `executor` (its concurrency), `pause`, `queue <name>` and `task <name>` where these have one, and
   * `pause <queue>` for each queue that is paused.
   */
  readonly gates: Readonly<Record<string, GateMetrics>>
  /** Counted here since the executor was made. */
  readonly totals: TaskTotals
  /** Tasks of the store in each state now, over all executors. */
  readonly current: Readonly<Record<TaskState, number>>
  /** The same for each queue that this executor knows. */
  readonly queues: Readonly<Record<string, Readonly<Record<TaskState, number>>>>
  /** Closures and other tasks that are never stored, which wait or run here now. */
  readonly live: number
  /** Handlers that have outlived their attempt and still run. */
  readonly abandonedNow: number
  /** Of attempts, from the call of the handler to its end. */
  readonly duration: Histogram
  /**
   * From when a task could start to when it did. Of enqueued tasks only first starts count, and only of those whose id
   * the engine has made and that waited for no others.
   */
  readonly waitTime: Histogram
  /** Tasks that ended here, a second, over the last 1, 5 and 15 minutes. */
  readonly throughput: { readonly last1m: number; readonly last5m: number; readonly last15m: number }
  /**
   * By kind; closures are `(closure)`. What has no row of its own is `other`: kinds beyond 198 pairs of kind and queue,
   * names that are not registered here, and tasks that ended without a run.
   */
  readonly perTask: Readonly<Record<string, TaskMetrics>>
}

/** A record of the engine's log. It never holds an input, an output or an id of a task. */
export interface LogRecord {
  /** How grave it is; a `logger` is told everything but `'trace'`. */
  readonly level: 'error' | 'warn' | 'info' | 'debug'
  /** The part of the engine: `task::engine`, `task::store`. */
  readonly target: string
  /** What happened. */
  readonly message: string
  /** What belongs to it. */
  readonly fields: Readonly<Record<string, string>>
}

/** What `doctor` finds. */
export interface Examination {
  /** Of this package. */
  readonly version: string
  /** What the native addon was built for. */
  readonly target: string
  /** Version of Node.js. */
  readonly node: string
  /** Version of Node-API. */
  readonly nodeApi: number
  /** Of this process, such as `linux-x64`. */
  readonly platform: string
  /** Release of the operating system. */
  readonly system: string
  /** Id of this executor among those of its store: see `nodes`. */
  readonly executor: string
  /** Where tasks are kept, without address. */
  readonly store: 'memory' | 'sqlite' | 'redis' | 'rediss'
  /** What a power cut may take: everything, the last moments, or nothing that was acknowledged. */
  readonly durability: 'none' | 'relaxed' | 'strict'
  /** The store has answered. */
  readonly storeAnswers: boolean
  /** How long that took, in milliseconds. */
  readonly storeAnsweredIn: number
  /** How far the store's clock is ahead of this machine's, in milliseconds. */
  readonly clockSkew: number
  /** How many executors work on the store. */
  readonly nodes: number
  /** What will hurt, in words; empty where all is well. */
  readonly warnings: readonly string[]
}
