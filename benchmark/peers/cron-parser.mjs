// cron-parser: dates of cron expressions.
import { CronExpressionParser } from 'cron-parser'

export const next = (cron, tz, runs, currentDate) =>
  CronExpressionParser.parse(cron, { tz, currentDate })
    .take(runs)
    .map(date => date.toDate())
