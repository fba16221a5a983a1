// Parsing an expression and telling its next 1000 runs, as dates. `task` does it in one native call.
//
// node-cron only knows the runs from now on, so all contenders begin now. Runs that a contender tells otherwise than
// we do are counted: the rules differ where a clock is moved.
import { TaskScheduler } from '../../index.js'
import { repeat, startClock } from '../round.mjs'

const RUNS = 1_000
// croner tells no run beyond the year 3000.
const LEAP_RUNS = 100
const EXPRESSIONS = [
  { group: 'every 5 minutes, UTC', cron: '*/5 * * * *', timeZone: 'UTC', runs: RUNS },
  { group: 'working days at 9, UTC', cron: '0 9 * * 1-5', timeZone: 'UTC', runs: RUNS },
  { group: 'working days at 9, Rome', cron: '0 9 * * 1-5', timeZone: 'Europe/Rome', runs: RUNS },
  { group: 'daily at 2:30, New York', cron: '30 2 * * *', timeZone: 'America/New_York', runs: RUNS },
  { group: 'leap days, UTC', cron: '0 0 29 2 *', timeZone: 'UTC', runs: LEAP_RUNS },
  { group: 'leap days, Berlin', cron: '0 0 29 2 *', timeZone: 'Europe/Berlin', runs: LEAP_RUNS },
]
const PEERS = ['croner', 'cron-parser', 'node-cron']

/** Runs that only one of the two tells, up to the last that both can have told. */
function differences(dates, cron, timeZone, from) {
  const theirs = dates.map(Number)
  const ours = TaskScheduler.preview({ cron, timeZone }, dates.length, from).map(Number)
  const end = Math.min(theirs.at(-1), ours.at(-1))
  const missing = (some, all) => some.filter(at => at <= end && !all.has(at)).length
  return missing(theirs, new Set(ours)) + missing(ours, new Set(theirs))
}

/** Of runs that should be the same; a clock is moved twice a year. */
const MAY_DIFFER = 0.01

export default {
  title: () => `parse, and the next ${RUNS} runs (${LEAP_RUNS} of leap days)`,
  trials: 5,
  columns: [
    { key: 'wallUs', label: 'wall us/run', digits: 3, compare: true },
    { key: 'differs', label: 'runs told otherwise', digits: 0 },
  ],

  plan: () =>
    EXPRESSIONS.flatMap(({ group, ...params }) =>
      ['task', ...PEERS].map(peer => ({ label: peer, peer, group, params })),
    ),

  async measure({ next }, { cron, timeZone, runs }) {
    let dates
    const metrics = await repeat({ warmUp: 5, rounds: 9 }, () => {
      const from = new Date()
      const stop = startClock()
      dates = next(cron, timeZone, runs, from)
      const { wall } = stop()
      return { wallUs: wall / runs, differs: differences(dates, cron, timeZone, from) }
    })
    if (dates.length !== runs) throw new Error(`${dates.length} runs instead of ${runs}`)
    if (metrics.differs > runs * MAY_DIFFER) throw new Error(`${metrics.differs} of ${runs} runs differ`)
    return metrics
  },

  goals(figures) {
    return EXPRESSIONS.flatMap(({ group }) =>
      PEERS.map(peer => ({
        text: `speed in multiples of ${peer}'s, ${group}`,
        figure: figures.ratio([group, peer], [group, 'task'], 'wallUs'),
        atLeast: 20,
      })),
    )
  },
}
