// Limits as types: where they can be given, and what they cannot be.

import { CircuitBreaker, defineTask, RateLimiter, TaskExecutor } from '../../index.js'
import { expectType, type Same } from './expect.mjs'

const limiter = new RateLimiter({ limit: 10, per: '1s', burst: 20, by: 'group', shared: true, name: 'api' })
const breaker = new CircuitBreaker({ window: 10, slowCall: '2s', isFailure: error => error.retryable })

defineTask({ name: 'a', rateLimit: limiter, circuitBreaker: breaker })
defineTask({ name: 'b', rateLimit: { limit: 5, per: 1000 }, circuitBreaker: { openFor: '10s' } })
new TaskExecutor({ rateLimit: RateLimiter.withDefaults(), queues: { mail: { rateLimit: limiter } } })
TaskExecutor.withRateLimiter(RateLimiter.perSecond(100, { burst: 10 }))

expectType<Same<typeof breaker.state, 'closed' | 'open' | 'half-open'>>()
const output: Promise<number> = breaker.execute(async () => 7)
const acquired: Promise<void> = limiter.acquire({ key: 'tenant', signal: new AbortController().signal })
const taken: boolean = limiter.tryAcquire('tenant')
limiter.update({ limit: 20 })
limiter.pause('30s')
new TaskExecutor().on('gate', ({ name, state }) => {
  expectType<Same<[typeof name, typeof state], [string, typeof breaker.state]>>()
})

// @ts-expect-error the time is needed
new RateLimiter({ limit: 10 })
// @ts-expect-error a number is no limiter
new TaskExecutor({ rateLimit: 10 })
// @ts-expect-error a limiter is no breaker
defineTask({ name: 'c', circuitBreaker: limiter })
// @ts-expect-error it cannot be set
breaker.state = 'open'

export const used = [output, acquired, taken]
