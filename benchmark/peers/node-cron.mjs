// node-cron: a scheduler in memory, which tells the next runs from now on.
import { createTask } from 'node-cron'

export const next = (cron, timezone, runs) => createTask(cron, () => {}, { timezone }).getNextRuns(runs)
