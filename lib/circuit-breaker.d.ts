// Types of the circuit breaker; index.d.ts passes them on.

import type { Duration } from '../index.js'
import type { TaskError } from './errors.js'

/** When a breaker opens, and for how long. */
export interface CircuitBreakerOptions {
  /**
   * How many of the newest outcomes count. From 1 to 1000.
   * @default 20
   */
  readonly window?: number | undefined
  /**
   * Fewer outcomes never open it. From 1 to `window`.
   * @default 10
   */
  readonly minCalls?: number | undefined
  /**
   * The share of failures that opens it: more than 0, at most 1.
   * @default 0.5
   */
  readonly failureRate?: number | undefined
  /** What succeeds but takes longer counts as a failure. At least 1 ms. Default: nothing is too slow. */
  readonly slowCall?: Duration | undefined
  /**
   * How long it is open at first.
   * @default '30s'
   */
  readonly openFor?: Duration | undefined
  /**
   * That doubles each time a probe fails, up to this. At least `openFor`.
   * @default '5m'
   */
  readonly maxOpenFor?: Duration | undefined
  /**
   * How many are let through when that is over; all of them have to succeed. From 1 to 1000.
   * @default 1
   */
  readonly probes?: number | undefined
  /**
   * What becomes of enqueued tasks while it is open: they wait, or fail with `ERR_CIRCUIT_OPEN`, which costs an
   * attempt. `execute` always rejects at once.
   * @default 'wait'
   */
  readonly whenOpen?: 'wait' | 'fail' | undefined
  /**
   * Its state is that of all executors on the store whose breakers have its `name`: who finds out tells the others
   * within half a second, and one of them all lets the probes pass. Each counts outcomes for itself. While the store
   * cannot be reached the state is that of this process. Needs `name`. Default: true where the store is Redis and it
   * has a name.
   */
  readonly shared?: boolean | undefined
  /** What it is called in `waitingFor`, events and errors, and who shares it in a store. Default: nothing. */
  readonly name?: string | undefined
  /**
   * Whether a failure speaks against what was called; others count for nothing. Called in JavaScript with a TaskError
   * whose `cause` is what was thrown. Default: all but errors that are not `retryable`, aborts, and refusals by limits.
   */
  readonly isFailure?: ((error: TaskError) => boolean) | undefined
}

/**
 * Counts failures and stops calling what only fails. One circuit, wherever it is used in this process: several kinds
 * that call one upstream share one object.
 */
export class CircuitBreaker {
  /** Throws `ERR_OPTION` for a wrong option. */
  constructor(options?: CircuitBreakerOptions)
  /** `half-open`: the next call is a probe, or one is under way. */
  readonly state: 'closed' | 'open' | 'half-open'
  /** Opens it by hand, for a time or until `close`. */
  open(duration?: Duration): void
  /** Closes it by hand and forgets what it has counted. */
  close(): void
  /**
   * Runs any code through it. Rejects with what `run` throws, or with `ERR_CIRCUIT_OPEN` and the time to come back as
   * `retryAfter`, without calling it.
   */
  execute<T>(run: () => Promise<T> | T): Promise<T>
}
