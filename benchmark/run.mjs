// `node benchmark/run.mjs SUITE`: installs and builds what is missing, runs the cases, prints their tables
// and goals.
//
// The exit code is 1 when a contender gave a wrong result or did not end, and, with --strict, when a goal is
// missed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createFigures, judge, toRows } from './figures.mjs'
import { describeMachine } from './machine.mjs'
import { oneOf, readOptions, UsageError, usage } from './options.mjs'
import { withSection } from './results.mjs'
import { ensureAddon, ensureContenders, findNode, here } from './setup.mjs'
import { spread } from './statistics.mjs'
import { createScale } from './suites.mjs'
import { align, caseLines } from './table.mjs'
import { runTrials } from './trials.mjs'

const print = lines => process.stdout.write(`${lines.join('\n')}\n`)

/** Progress on one line of a terminal; nothing where stderr is a file, since the tables tell all. */
function report(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

async function planCases(options) {
  const scale = createScale(options.quick ?? false)
  const cases = []
  for (const name of options.cases) {
    const { default: definition } = await import(`./cases/${name}.mjs`)
    cases.push({ name, definition, scale, entries: definition.plan(scale) })
  }
  const peers = [...new Set(cases.flatMap(({ entries }) => entries.map(({ peer }) => peer)))]
  for (const peer of options.peer ?? []) oneOf(peer, peers, `contender "${peer}" in these cases`)
  return cases
    .map(each => ({ ...each, entries: each.entries.filter(entry => isWanted(entry, options)) }))
    .filter(({ entries }) => entries.length > 0)
}

const isWanted = ({ peer, floor }, options) => floor || !options.peer || options.peer.includes(peer)

async function runCase({ name, definition, scale, entries }, options, node) {
  const usual = options.trials ?? definition.trials
  const trials = scale.quick ? 1 : Math.max(usual, definition.leastTrials ?? 1)
  const { samples, others } = await runTrials({ caseName: name, definition, entries, trials, node, report })
  report('')
  return {
    name,
    title: definition.title(scale),
    notes: definition.notes ?? [],
    columns: definition.columns,
    rows: toRows({ definition, entries, samples }),
    goals: judge(definition.goals(createFigures(samples), scale), scale),
    trials,
    others: spread(others),
    samples: Object.fromEntries(samples),
  }
}

function writeReport(run) {
  const file = join(here, 'RESULTS.md')
  writeFileSync(file, withSection(existsSync(file) ? readFileSync(file, 'utf8') : '', run))
}

async function main() {
  const options = readOptions(process.argv.slice(2))
  if (options.help) return print([usage])
  ensureContenders()
  const planned = await planCases(options)
  if (planned.some(({ entries }) => entries.some(({ peer }) => peer === 'task'))) ensureAddon()
  const node = findNode(options.node)
  const machine = describeMachine(node)
  print([...align(Object.entries(machine), 2), ''])

  const cases = []
  for (const each of planned) {
    const result = await runCase(each, options, node)
    print(caseLines(result))
    cases.push(result)
  }
  const run = {
    suite: options.suite,
    quick: options.quick ?? false,
    at: new Date().toISOString(),
    machine,
    cases,
  }
  if (options.json) writeFileSync(options.json, `${JSON.stringify(run, null, 2)}\n`)
  if (options.write) writeReport(run)

  const goals = cases.flatMap(each => each.goals)
  const count = verdict => goals.filter(goal => goal.verdict === verdict).length
  const verdicts = options.quick ? 'not judged' : `${count('met')} met, ${count('missed')} missed`
  print([`goals: ${verdicts}; every result of every run was right`])
  if (options.strict && count('missed') > 0) process.exitCode = 1
}

main().catch(error => {
  report('')
  process.stderr.write(
    error instanceof UsageError ? `error: ${error.message}\n\n${usage}\n` : `error: ${error.message}\n`,
  )
  process.exitCode = 1
})
