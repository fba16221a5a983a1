// `npm test [-- <names of stages>]`: the Rust tests, the tests of the addon, the tests of the types. SOAK=1 in the
// environment makes them long.
// Invariants: a stage that fails or runs no test fails the whole; the last line is the sum of all counts.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { pathWithoutNode } from './path-without-node.mjs'
import { giveUp, root, watchCommand } from './process.mjs'
import { ensureRedis } from './redis.mjs'
import { ensurePackages, ensureTestAddon, requireNode, requireRust } from './setup.mjs'

const NONE = { passed: 0, failed: 0, skipped: 0 }

function countCargo(output) {
  const counts = { ...NONE }
  for (const [, passed, failed, ignored] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    counts.passed += +passed
    counts.failed += +failed
    counts.skipped += +ignored
  }
  return counts
}

/** Reads the closing lines of the reporter `spec`, which are the same on all versions of Node. */
function countNode(output) {
  const text = stripVTControlCharacters(output)
  const read = name => Number(new RegExp(`^\\S+ ${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  return {
    passed: read('pass'),
    failed: read('fail') + read('cancelled'),
    skipped: read('skipped') + read('todo'),
  }
}

async function testRust() {
  const { path, remove } = pathWithoutNode()
  try {
    const { ok, output } = await watchCommand(
      'cargo',
      ['test', '--no-fail-fast', '--features', 'full,testing'],
      {
        ...process.env,
        PATH: path,
        TASK_REDIS_SERVER: ensureRedis(),
      },
    )
    return { ok, ...countCargo(output) }
  } finally {
    remove()
  }
}

async function testNode() {
  const folder = join(root, '__test__')
  const files = readdirSync(folder).filter(name => name.endsWith('.test.mjs'))
  const paths = files.sort().map(name => join('__test__', name))
  const { ok, output } = await watchCommand(process.execPath, ['--test', '--test-reporter=spec', ...paths])
  return { ok, ...countNode(output) }
}

/** A compiler run has no test count of its own: it is one test. */
async function testTypes() {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { ok } = await watchCommand(process.execPath, [compiler, '--noEmit', '-p', join('__test__', 'types')])
  return { ...NONE, ok, passed: ok ? 1 : 0 }
}

const STAGES = { rust: testRust, node: testNode, types: testTypes }

async function runStage(name) {
  console.log(`\n--- ${name}`)
  const startedAt = performance.now()
  const result = await STAGES[name]()
  if (result.passed + result.failed === 0) console.error(`${name}: no test ran`)
  const ok = result.ok && result.failed === 0 && result.passed > 0
  // A stage that broke before it could count a failure still has to show in the sum.
  const failed = ok ? 0 : Math.max(1, result.failed)
  return { ...result, name, ok, failed, seconds: (performance.now() - startedAt) / 1000 }
}

function printSummary(results) {
  const sum = key => results.reduce((total, result) => total + result[key], 0)
  console.log('\nstage    passed  failed  seconds')
  for (const { name, passed, failed, seconds } of results) {
    const cells = [String(passed).padStart(6), String(failed).padStart(6), seconds.toFixed(1).padStart(7)]
    console.log(`${name.padEnd(7)}  ${cells.join('  ')}`)
  }
  const skipped = sum('skipped') ? `, ${sum('skipped')} skipped` : ''
  console.log(`\n${sum('passed')} passed, ${sum('failed')} failed${skipped}`)
}

const asked = process.argv.slice(2)
const unknown = asked.find(name => !Object.hasOwn(STAGES, name))
if (unknown !== undefined) giveUp(`no stage "${unknown}"; the stages are: ${Object.keys(STAGES).join(', ')}`)
const stages = asked.length > 0 ? asked : Object.keys(STAGES)
requireNode()
if (stages.includes('rust')) requireRust()
ensurePackages()
ensureTestAddon()
const results = []
for (const name of stages) results.push(await runStage(name))
printSummary(results)
process.exitCode = results.every(result => result.ok) ? 0 : 1
