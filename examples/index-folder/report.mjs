// What is printed at the end: the summary for people, or the whole report as JSON.

import { layOut } from './table.mjs'
import { decodeName, fit, formatBytes, formatCount, formatDuration, formatNoun, printable } from './text.mjs'

const MOST_FAILURES = 50
const NUMBER = { right: true }
const FILE = { title: 'file', flexible: true }

/** The summary in lines; only names are cut to make them fit in `width` columns. */
export function summarise(collected, run, width) {
  const totals = collected.totals()
  return [
    ...headlines(collected, totals, run, width),
    '',
    ...kindTable(collected, totals, width),
    ...skippedLines(collected.skipped),
    ...failureTable(collected.failures, width),
    ...slowestTable(collected.slowest, width),
  ]
}

/** What an earlier run has left, in one line. */
export function resumedLine({ tasks, done }) {
  return `resumed ${formatNoun(tasks, 'task')} of an earlier run, ${formatCount(done)} of them done`
}

function headlines(collected, totals, { root, elapsedMs, concurrency, interrupted }, width) {
  const { found, walking, resumed } = collected
  const rate = formatCount(Math.round(ratePerSecond(doneNow(collected), elapsedMs)))
  const files = formatNoun(totals.files, 'file')
  return [
    ...(interrupted ? [`interrupted: ${formatCount(found)}${walking ? '+' : ''} files were found`] : []),
    `indexed ${files} in ${formatDuration(elapsedMs)}, ${rate} a second, ${concurrency} at once`,
    ...(resumed.tasks > 0 ? [resumedLine(resumed)] : []),
    `folder: ${fit(printable(Buffer.from(root)), width - 8)}`,
    ...engineLines(collected.metrics),
  ]
}

/** What the executor says of its own work; nothing after an interruption. */
function engineLines(metrics) {
  if (metrics === undefined) return []
  const { totals, duration, performance: cost } = metrics
  const time = seconds => formatDuration(seconds * 1000)
  const tasks = `${formatCount(totals.completed)} completed, ${formatCount(totals.failed)} failed, ${formatCount(totals.retried)} retried`
  const batch = Math.round(cost.tasksPerCommit)
  return [
    `tasks: ${tasks}; half of the runs within ${time(duration.p50)}, 99 % within ${time(duration.p99)}`,
    `engine: ${formatNoun(cost.commits, 'commit')} of ${formatNoun(batch, 'task')}, event loop back within ${time(cost.loopDelay.p99)}, ${time(cost.cpuSeconds)} of CPU, ${formatBytes(cost.rssBytes)}`,
  ]
}

/** Files of this run alone. */
const doneNow = ({ files, resumed }) => Math.max(0, files.length - resumed.done)

function ratePerSecond(files, elapsedMs) {
  return elapsedMs > 0 ? (files * 1000) / elapsedMs : 0
}

function kindTable(collected, totals, width) {
  const layout = [
    { title: 'kind' },
    ...['files', 'bytes', 'gzip', 'lines'].map(title => ({ title, ...NUMBER })),
  ]
  const cells = row => [
    formatCount(row.files),
    formatBytes(row.bytes),
    formatBytes(row.gzipBytes),
    formatCount(row.lines),
  ]
  const rows = collected.kinds().map(row => [row.kind, ...cells(row)])
  return layOut(layout, [...rows, ['total', ...cells(totals)]], width)
}

function skippedLines({ folders, links, special }) {
  const lines = []
  if (folders > 0) lines.push(`${formatNoun(folders, 'folder')} (.git, node_modules, target; see --all)`)
  if (links > 0) lines.push(`${formatNoun(links, 'symbolic link')} (never followed)`)
  if (special > 0) lines.push(`${formatNoun(special, 'special file')} (pipes, sockets, devices)`)
  return lines.length > 0 ? ['', ...lines.map(line => `skipped: ${line}`)] : []
}

function failureTable(failures, width) {
  if (failures.length === 0) return []
  const layout = [{ title: 'attempts', ...NUMBER }, { title: 'reason' }, FILE]
  const shown = failures.slice(0, MOST_FAILURES)
  const rows = shown.map(({ attempts, reason, name }) => [
    String(attempts),
    fit(printable(Buffer.from(reason)), 48),
    printable(name),
  ])
  const more = failures.length - shown.length
  return [
    '',
    `failed: ${formatCount(failures.length)}`,
    ...layOut(layout, rows, width),
    ...(more > 0 ? [`and ${formatCount(more)} more; --json lists all`] : []),
  ]
}

function slowestTable(slowest, width) {
  if (slowest.length === 0) return []
  const layout = [
    { title: 'time', ...NUMBER },
    { title: 'bytes', ...NUMBER },
    { title: 'attempts', ...NUMBER },
    FILE,
  ]
  const rows = slowest.map(({ ms, bytes, attempts, name }) => [
    formatDuration(ms),
    bytes === null ? 'failed' : formatBytes(bytes),
    String(attempts),
    printable(name),
  ])
  return ['', 'slowest files', ...layOut(layout, rows, width)]
}

/** The whole report as pieces of JSON text, since one string may not hold a million files. */
export function* reportJson(collected, { root, elapsedMs, concurrency, interrupted }) {
  const head = {
    root,
    interrupted,
    concurrency,
    elapsedMs: Math.round(elapsedMs),
    filesPerSecond: Math.round(ratePerSecond(doneNow(collected), elapsedMs)),
    resumed: collected.resumed,
    totals: collected.totals(),
    skipped: collected.skipped,
    kinds: collected.kinds(),
    failures: collected.failures.map(named),
    slowest: collected.slowest.map(named),
    metrics: collected.metrics,
  }
  yield `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "files": [`
  let separator = '\n    '
  for (const file of collected.files) {
    yield separator + JSON.stringify(named(file))
    separator = ',\n    '
  }
  yield collected.files.length > 0 ? '\n  ]\n}\n' : ']\n}\n'
}

/** `path` is the name as it is; one that is not UTF-8 is written as in the table, with its bytes beside it. */
function named({ name, ms, ...rest }) {
  const path = decodeName(name)
  const names = path === undefined ? { path: printable(name), pathBase64: name.toString('base64') } : { path }
  return { ...names, ...rest, ...(ms === undefined ? {} : { ms: Math.round(ms * 10) / 10 }) }
}
