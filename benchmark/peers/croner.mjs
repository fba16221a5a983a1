// croner: dates of cron expressions, and a scheduler in memory.
import { Cron } from 'croner'

export const next = (cron, timezone, runs, from) => new Cron(cron, { timezone }).nextRuns(runs, from)
