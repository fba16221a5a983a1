// Shapes of workflows: who waits for whom, by number. A task waits only for smaller numbers.
//
// `parents(i)` of `count` tasks; a handler that finds a parent which has not run fails the run.

const LAYER = 100

export const SHAPES = {
  /** One, then all but two, which wait for it, then one that waits for those. */
  wide: count => ({
    count,
    parents: i => (i === 0 ? [] : i < count - 1 ? [0] : Array.from({ length: count - 2 }, (_, at) => at + 1)),
  }),
  /** A hundred chains. */
  deep: count => ({ count, parents: i => (i < LAYER ? [] : [i - LAYER]) }),
  /** Layers of a hundred; each task waits for two neighbours of the layer before. */
  lattice: count => ({
    count,
    parents(i) {
      if (i < LAYER) return []
      const above = i - (i % LAYER) - LAYER
      return [above + (i % LAYER), above + ((i + 1) % LAYER)]
    },
  }),
}

/** The handler of a shape: marks its task, looks at its parents; `check` throws unless each ran once, in order. */
export function createOrder({ count, parents }) {
  const ran = new Uint8Array(count)
  let left = count
  let problem
  let finish
  const all = new Promise(resolve => {
    finish = resolve
  })
  return {
    all,
    work({ id }) {
      if (parents(id).some(parent => ran[parent] === 0)) problem ??= `task ${id} has run before a parent`
      ran[id] += 1
      if (--left === 0) finish()
      return id
    },
    check() {
      const wrong = ran.findIndex(times => times !== 1)
      if (wrong >= 0) problem ??= `task ${wrong} ran ${ran[wrong]} times instead of once`
      if (problem !== undefined) throw new Error(problem)
    },
  }
}
