// Tasks of random priority queued behind a closed gate, against as many without one: what ordering costs.
//
// The drain runs one task at a time, and the order of the starts is checked exactly: larger priority first,
// and in the order of the adds where priorities are equal. p-queue inserts in O(n): it is left out at a
// million.
import { answer, collect, createTally, fillAndDrain } from '../round.mjs'
import { seededIntegers } from '../statistics.mjs'

const SEED = 20
const KINDS = {
  none: { text: 'no priority', of: undefined },
  levels: { text: '10 levels', of: random => (random >>> 0) % 10 },
  random: { text: 'random 32-bit priorities', of: random => random },
}
const SIZES = [
  { size: 10_000, peers: ['task', 'p-queue'] },
  { size: 100_000, peers: ['task', 'p-queue'] },
  { size: 1_000_000, peers: ['task'] },
]
const group = (scale, size, kind) => `${scale.text(size)}, ${KINDS[kind].text}`

export default {
  title: () =>
    'closures of random priority queued behind a closed gate, then drained one at a time, order checked',
  trials: 3,
  columns: [
    { key: 'fillMs', label: 'fill ms', digits: 1, compare: true },
    { key: 'drainMs', label: 'drain ms', digits: 1, compare: true },
    { key: 'wallUs', label: 'wall us/task', digits: 2 },
    { key: 'cpuUs', label: 'CPU us/task', digits: 2 },
  ],

  plan(scale) {
    return SIZES.flatMap(({ size, peers }) =>
      Object.keys(KINDS).flatMap(kind =>
        peers.map(peer => ({
          label: peer,
          peer,
          group: group(scale, size, kind),
          params: { count: scale.count(size), warmUpCount: scale.count(10_000), kind },
        })),
      ),
    )
  },

  async measure({ create }, { count, warmUpCount, kind }) {
    const queue = await create({ concurrency: 1 })
    for (let i = 0; i < 3; i++) await round(queue, warmUpCount, kind)
    collect()
    const { fill, drain } = await round(queue, count, kind)
    await queue.close()
    return {
      fillMs: fill.wall / 1000,
      drainMs: drain.wall / 1000,
      wallUs: (fill.wall + drain.wall) / count,
      cpuUs: (fill.cpu + drain.cpu) / count,
    }
  },

  goals(figures, scale) {
    const cost = kind => ({
      text: `time to queue ${group(scale, 1_000_000, kind)}, in multiples of that with none`,
      figure: figures.ratio(
        [group(scale, 1_000_000, kind), 'task'],
        [group(scale, 1_000_000, 'none'), 'task'],
        'fillMs',
      ),
      atMost: 3,
    })
    return [cost('levels'), cost('random')]
  },
}

async function round(queue, count, kind) {
  const tally = createTally()
  tally.reset(count)
  const order = new Int32Array(count)
  let started = 0
  const run = i => async () => {
    order[started++] = i
    return tally.work(i)
  }
  const promises = new Array(count).fill(null)
  const { of } = KINDS[kind]
  const priorities = of ? seededIntegers(count, SEED).map(of) : new Int32Array(count)
  const add = of ? i => queue.add(run(i), { priority: priorities[i] }) : i => queue.add(run(i))
  const { fill, drain, results } = await fillAndDrain({ queue, promises, add })
  tally.check(results, (result, i) => result === answer(i))
  checkOrder(order, priorities)
  return { fill, drain }
}

function checkOrder(order, priorities) {
  for (let place = 1; place < order.length; place++) {
    const [before, after] = [order[place - 1], order[place]]
    const right =
      priorities[before] === priorities[after] ? before < after : priorities[before] > priorities[after]
    if (!right) {
      const named = [before, after].map(i => `task ${i} of priority ${priorities[i]}`)
      throw new Error(`${named[0]} started before ${named[1]}`)
    }
  }
}
