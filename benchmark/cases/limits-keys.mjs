// What a rate limiter that counts each key by itself keeps for a key that has been used once and is not over its time.
import { footprint } from '../round.mjs'

export default {
  title: scale => `${scale.text(100_000)} keys of one rate limiter, each used once`,
  trials: 3,
  columns: [{ key: 'bytes', label: 'bytes/key', digits: 0 }],

  plan(scale) {
    return [{ label: 'task', peer: 'task', group: 'keys', params: { count: scale.count(100_000) } }]
  },

  async measure({ keyed }, { count }) {
    const limiter = keyed({ rate: 10 })
    const before = await footprint()
    for (let i = 0; i < count; i++) if (!limiter.take(`tenant-${i}`)) throw new Error(`key ${i} was refused`)
    const after = await footprint()
    return { bytes: (after.heap + after.outside - before.heap - before.outside) / count }
  },

  goals() {
    return []
  },
}
