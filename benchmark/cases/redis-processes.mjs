// Several worker processes on one Redis server.
import { newServer } from '../durable/place.mjs'
import { processesCase } from '../durable/processes-case.mjs'
import { CONTENDERS } from '../durable/redis-contenders.mjs'

export default processesCase({
  where: 'on one Redis, AOF off',
  contenders: CONTENDERS,
  options: {},
  makePlace: () => newServer({ aof: 'off' }),
  goals: (figures, one, four) => [
    {
      text: "rate of 4 processes in multiples of bullmq's with 4",
      figure: figures.ratio([four, 'bullmq'], [four, 'task'], 'wallUs'),
      atLeast: 5,
    },
    {
      text: "rate of 4 processes in multiples of one's",
      figure: figures.ratio([one, 'task'], [four, 'task'], 'wallUs'),
    },
  ],
})
