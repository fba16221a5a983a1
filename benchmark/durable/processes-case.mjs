// The case of several worker processes on one store, for a file and for a server.
import { workTogether } from './processes.mjs'

const PROCESSES = [1, 4]
const CONCURRENCY = 16
const group = processes => (processes === 1 ? '1 process' : `${processes} processes`)

/** `contenders` have `label`, `peer` and `size`; `options` go to `open`, `makePlace` gives `{ place, remove }`. */
export function processesCase({ where, contenders, options, makePlace, goals }) {
  const many = Math.max(...contenders.map(({ size }) => size))
  return {
    title: scale =>
      `${scale.text(many)} waiting tasks, run by several processes ${where}, each at concurrency ${CONCURRENCY}`,
    trials: 3,
    columns: [
      { key: 'wallUs', label: 'wall us/task', digits: 2, compare: true },
      { key: 'cpuUs', label: 'CPU us/task', digits: 2, compare: true },
      { key: 'pauseMs', label: 'longest pause ms', digits: 0 },
      { key: 'leastShare', label: 'least share', digits: 2 },
    ],
    notes: [
      'CPU: of the worker processes. Longest pause: of any process, between two tasks.',
      'Least share: tasks of the process that had the fewest, in multiples of an even share.',
    ],
    plan: scale =>
      PROCESSES.flatMap(processes =>
        contenders.map(({ label, peer, size }) => ({
          label,
          peer,
          group: group(processes),
          params: { ...options, peer, processes, concurrency: CONCURRENCY, count: scale.count(size) },
        })),
      ),
    async measure({ open }, { peer, ...params }) {
      const { place, remove } = await makePlace()
      try {
        return await workTogether(open, peer, { ...params, place })
      } finally {
        await remove()
      }
    },
    goals: figures => goals(figures, ...PROCESSES.map(group)),
  }
}
