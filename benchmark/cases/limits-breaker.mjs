// A call through a closed circuit breaker, one after the other.
import { answer, createTally, repeat, timed } from '../round.mjs'

const group = 'closed'

export default {
  title: scale =>
    `${scale.text(200_000)} calls through a closed circuit breaker, each awaited before the next`,
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/call', digits: 3, compare: true },
    { key: 'cpuUs', label: 'CPU us/call', digits: 3, compare: true },
  ],

  plan(scale) {
    const params = { count: scale.count(200_000), warmUp: 2, rounds: 5 }
    return ['task', 'cockatiel', 'opossum'].map(peer => ({ label: peer, peer, group, params }))
  },

  async measure({ breaker }, { count, warmUp, rounds }) {
    const tally = createTally()
    const circuit = breaker()
    const metrics = await repeat({ warmUp, rounds }, () =>
      timed(
        async () => {
          const results = new Array(count)
          for (let i = 0; i < count; i++) results[i] = await circuit.call(async () => tally.work(i))
          return results
        },
        { count, tally, isRight: (result, i) => result === answer(i) },
      ),
    )
    circuit.close()
    return metrics
  },

  goals(figures) {
    return ['cockatiel', 'opossum'].map(peer => ({
      text: `speed of a call in multiples of ${peer}'s`,
      figure: figures.ratio([group, peer], [group, 'task'], 'wallUs'),
      atLeast: 1,
    }))
  },
}
