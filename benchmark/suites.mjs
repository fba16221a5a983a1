// Which cases make up a suite, in the order they run (a case is one file of `cases/`), and at what size.
export const suites = {
  memory: ['trivial', 'timeout', 'backlog', 'priority', 'enqueue', 'loop', 'require'],
  limits: ['limits-combined', 'limits-breaker', 'limits-keys'],
  metrics: ['metrics'],
  cpu: ['cpu-tasks'],
  flows: ['flows', 'flows-redis'],
  sqlite: ['sqlite-throughput', 'sqlite-ack', 'sqlite-backlog', 'sqlite-processes'],
  cron: ['cron', 'cron-schedules'],
  redis: ['redis-throughput', 'redis-enqueue', 'redis-latency', 'redis-processes'],
}

/** The sizes of a run: as the cases state them, or a fiftieth of that for a smoke test. */
export function createScale(quick) {
  const count = size => (quick ? Math.ceil(size / 50) : size)
  return { quick, count, text: size => count(size).toLocaleString('en-US') }
}

/** The name of an entry of a case's plan, unique in the case. */
export const nameOf = ({ group, label }) => `${group}/${label}`
