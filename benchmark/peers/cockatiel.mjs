// cockatiel: a breaker over the share of failures in the last 20 calls.
import { CountBreaker, circuitBreaker, handleAll } from 'cockatiel'

export function breaker() {
  const policy = circuitBreaker(handleAll, {
    halfOpenAfter: 30_000,
    breaker: new CountBreaker({ threshold: 0.5, size: 20, minimumNumberOfCalls: 10 }),
  })
  return { call: run => policy.execute(run), close() {} }
}
