// A named task on the memory store (input and output cross as JSON, a handle is made, its result awaited)
// against a closure that does the same work on the same objects: what the store and its promises to the
// caller cost.
import { addAll, createTally, repeat, timed } from '../round.mjs'

const CONCURRENCY = 100
const BATCH = 1000
const GROUP = `concurrency ${CONCURRENCY}`
const WAYS = {
  execute: 'task, execute',
  batches: 'task, enqueue in batches of 1,000',
  together: 'task, enqueue all at once',
}

/** About 100 bytes of JSON. */
const inputOf = i => ({
  id: i,
  to: `user-${i}@example.com`,
  subject: 'Your order is on its way',
  tries: [1, 2, 3],
})
const isRight = (output, i) =>
  output?.id === i && output.sent === true && output.to === `user-${i}@example.com`

export default {
  title: scale => `${scale.text(100_000)} named tasks on the memory store, JSON in and out, handle, result`,
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
  ],

  plan(scale) {
    return Object.entries(WAYS).map(([way, label]) => ({
      label,
      peer: 'task',
      group: GROUP,
      params: { way, count: scale.count(100_000), warmUp: 2, rounds: 3 },
    }))
  },

  async measure({ create }, { way, count, warmUp, rounds }) {
    const tally = createTally()
    const queue = await create({ concurrency: CONCURRENCY })
    const handler = async input => {
      tally.work(input.id)
      return { id: input.id, to: input.to, sent: true }
    }
    const enqueue = queue.define('benchmark.send', handler)
    const add = i => {
      const input = inputOf(i)
      return queue.add(async () => handler(input))
    }
    const submit = {
      execute: () => addAll(add, count),
      batches: () => enqueueInBatches(enqueue, count),
      together: () => addAll(async i => (await enqueue(inputOf(i))).result(), count),
    }[way]
    const metrics = await repeat({ warmUp, rounds }, () => timed(submit, { count, tally, isRight }))
    await queue.close()
    return metrics
  },

  goals(figures) {
    const speed = (way, atLeast) => ({
      text: `speed of ${WAYS[way].replace('task, ', '')} in multiples of execute's, ${GROUP}`,
      figure: figures.ratio([GROUP, WAYS.execute], [GROUP, WAYS[way]], 'wallUs'),
      atLeast,
    })
    return [speed('batches', 0.4), speed('together', 0.4)]
  },
}

/** Waits for the handles of one batch before it makes the next; the results are awaited at the end. */
export async function enqueueInBatches(enqueue, count, input = inputOf) {
  const results = new Array(count)
  for (let from = 0; from < count; from += BATCH) {
    const size = Math.min(BATCH, count - from)
    const handles = await Promise.all(Array.from({ length: size }, (_, i) => enqueue(input(from + i))))
    handles.forEach((handle, i) => {
      results[from + i] = handle.result()
    })
  }
  return Promise.all(results)
}
