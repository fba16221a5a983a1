// opossum: a breaker around one function, here one that calls what it is given.
import CircuitBreaker from 'opossum'

export function breaker() {
  const circuit = new CircuitBreaker(run => run(), {
    timeout: false,
    errorThresholdPercentage: 50,
    volumeThreshold: 10,
    resetTimeout: 30_000,
  })
  return { call: run => circuit.fire(run), close: () => circuit.shutdown() }
}
