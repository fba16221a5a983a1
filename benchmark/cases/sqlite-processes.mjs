// Several worker processes on one file.
import { newFile } from '../durable/place.mjs'
import { processesCase } from '../durable/processes-case.mjs'

export default processesCase({
  where: 'on one file, NORMAL',
  contenders: [
    { label: 'task', peer: 'task', size: 50_000 },
    { label: 'plainjob', peer: 'plainjob', size: 10_000 },
    { label: 'better-sqlite3, batched', peer: 'better-sqlite3-batch', size: 50_000 },
  ],
  options: { level: 'relaxed', kept: true },
  makePlace: async () => newFile(),
  goals: (figures, one, four) => [
    {
      text: "rate of 4 processes in multiples of one's",
      figure: figures.ratio([one, 'task'], [four, 'task'], 'wallUs'),
      atLeast: 0.7,
    },
    {
      text: 'longest time that one of 4 processes ran nothing, ms',
      figure: figures.metric([four, 'task'], 'pauseMs'),
      judge: 'max',
      atMost: 5000,
    },
  ],
})
