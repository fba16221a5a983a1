// Options, retry policies and errors: what the types let through and what they stop.

import {
  type CloseOptions,
  type Duration,
  type EnqueueOptions,
  type ExecutorOptions,
  RetryPolicy,
  type RunOptions,
  TaskError,
  type TaskErrorCode,
  type TaskFilter,
} from '../../index.js'
import { expectType, type Same } from './expect.mjs'

// Undefined counts as absent, with exactOptionalPropertyTypes too.
const nothing: [ExecutorOptions, EnqueueOptions, RunOptions, TaskFilter, CloseOptions] = [
  { concurrency: undefined, retention: undefined, timeout: undefined },
  { key: undefined, debounce: { wait: 1, maxWait: undefined }, retry: undefined },
  { priority: undefined, signal: undefined },
  { state: undefined },
  { gracePeriod: undefined },
]

const durations: Duration[] = [0, 1.5, '250ms', '30s', '1.5h', '0.5d', '10m']
// @ts-expect-error a unit is missing
const unitless: Duration = '30'
// @ts-expect-error no such unit
const weeks: Duration = '2w'

const executor: ExecutorOptions = {
  queues: { mail: { concurrency: 2 }, reports: {} },
  retention: { failed: { age: '7d', count: 10 } },
  retry: { attempts: 3, retryIf: error => error.code !== 'ERR_TASK_INPUT' },
}
const producer: ExecutorOptions = { queues: [] }
const watched: ExecutorOptions = { persistence: 'redis+sentinel://:word@a:26379,b:26379/main/2' }
const sqlite: ExecutorOptions = { persistence: 'sqlite', durability: 'relaxed', lease: '10s' }
// @ts-expect-error a level that does not exist
const lax: ExecutorOptions = { durability: 'none' }

const keyed: EnqueueOptions = {
  key: 'a',
  onConflict: 'replace',
  throttle: '10s',
  expiresAt: new Date(),
  metadata: { a: 'b' },
}
// @ts-expect-error no such word
const conflict: EnqueueOptions = { key: 'a', onConflict: 'overwrite' }
// @ts-expect-error functions cannot be stored with a task
const stored: EnqueueOptions = { retry: { attempts: 3, retryIf: () => true } }
// @ts-expect-error a Date, not a number
const at: EnqueueOptions = { runAt: 5 }
// @ts-expect-error text only
const metadata: EnqueueOptions = { metadata: { size: 5 } }

// Policies
const policies: RetryPolicy[] = [
  RetryPolicy.exponentialBackoff(3, '1s'),
  RetryPolicy.fixed(3, 100),
  RetryPolicy.linear(3, '1s'),
  RetryPolicy.list(['1s', '5s', 30_000]),
  RetryPolicy.none(),
  RetryPolicy.custom(5, (error, attempt) => (error.retryable ? attempt * 100 : false)),
]
// @ts-expect-error made by its functions
new RetryPolicy()
// @ts-expect-error plain options are not a policy
const fake: RetryPolicy = { attempts: 3 }
// @ts-expect-error given twice
RetryPolicy.exponentialBackoff(3, '1s', { attempts: 5 })

// Errors
const error = new TaskError('no', { code: 'ERR_TASK_INPUT', retryAfter: '1s', cause: new Error('why') })
expectType<Same<typeof error.code, TaskErrorCode>>()
expectType<Same<typeof error.retryable, boolean>>()
const standard: Error = TaskError.retryAfter('30s')
TaskError.fatal('no', { cause: error })
// @ts-expect-error no such code
new TaskError('no', { code: 'ERR_NO_SUCH' })
// @ts-expect-error a fatal error is not tried again
TaskError.fatal('no', { retryAfter: 5 })

export {
  at,
  conflict,
  durations,
  executor,
  fake,
  keyed,
  lax,
  metadata,
  nothing,
  policies,
  producer,
  sqlite,
  standard,
  stored,
  unitless,
  watched,
  weeks,
}
