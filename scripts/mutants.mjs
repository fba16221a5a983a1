// `node scripts/mutants.mjs [<part of a name>]`: breaks one guard at a time and requires the tests to notice.
// Works on a copy of the sources below the build folder; the mutants are in tests/mutants.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import engine from '../tests/mutants/engine.mjs'
import store from '../tests/mutants/store.mjs'
import { giveUp, root } from './process.mjs'
import { filesBelow } from './sources.mjs'

const target = process.env.CARGO_TARGET_DIR || join(root, 'target')
const copy = join(target, 'mutants')
const TESTS = ['suite', 'model', 'simulator']
const env = {
  ...process.env,
  CARGO_TARGET_DIR: target,
  CARGO_INCREMENTAL: '1',
  // Enough to notice: the tests themselves play more, and shrinking only makes a failure nicer to read.
  SEEDS: '60',
  PROPTEST_CASES: '500',
  PROPTEST_MAX_SHRINK_ITERS: '0',
}
// What is compiled again for every mutant is compiled fast; its dependencies are those of `cargo test`.
const PROFILE = `
[profile.test]
opt-level = 0
debug = "line-tables-only"

[profile.test.package."*"]
opt-level = 1
`

function makeCopy() {
  rmSync(copy, { recursive: true, force: true })
  mkdirSync(copy, { recursive: true })
  for (const part of ['src', 'tests', 'build.rs', 'Cargo.lock']) {
    cpSync(join(root, part), join(copy, part), { recursive: true })
  }
  // The addon is not tested here, and linking it would take most of the time.
  const manifest = readFileSync(join(root, 'Cargo.toml'), 'utf8')
  const lean = manifest.replace(/crate-type = .*/, 'crate-type = ["rlib"]')
  writeFileSync(join(copy, 'Cargo.toml'), lean + PROFILE)
}

function run(command, args) {
  return spawnSync(command, args, { cwd: copy, env, encoding: 'utf8', maxBuffer: 1 << 28 })
}

/** The path of a freshly built test; ends the process where it cannot be built. */
function build(test, mutant) {
  const { status, stdout, stderr } = run('cargo', [
    'test',
    '--quiet',
    '--no-run',
    '--message-format=json-render-diagnostics',
    '--test',
    test,
  ])
  if (status !== 0) giveUp(`${mutant} does not compile, which proves nothing:\n${stderr}`)
  const built = stdout.split('\n').filter(line => line.includes('"executable":"'))
  return JSON.parse(built.at(-1)).executable
}

/** The name of a test case that fails, or nothing. */
function failure(test, mutant) {
  const { status, signal, stdout } = run(build(test, mutant), ['--test-threads=2'])
  if (status === 0) return
  const [, name = signal ?? 'it ends'] = /^test (\S+) \.\.\. FAILED$/m.exec(stdout) ?? []
  return `${test}: ${name}`
}

/** What notices the mutant: first the test that it is made for, then the others. */
function fate({ name, test }) {
  for (const next of [test, ...TESTS.filter(other => other !== test)]) {
    const noticed = failure(next, `"${name}"`)
    if (noticed) return noticed
  }
}

/** Breaks the one place that a mutant is about, and returns what mends it. */
function mutate({ name, file, from, to }) {
  const paths = filesBelow(copy, ['tests']).filter(path => `${path}/`.startsWith(`${file}/`))
  const texts = paths.map(path => [join(copy, path), readFileSync(join(copy, path), 'utf8')])
  const [[path, text] = [], ...others] = texts.filter(([, text]) => text.includes(from))
  if (others.length > 0 || text?.split(from).length !== 2) {
    giveUp(`"${name}" does not apply: this has to be in ${file} once:\n${from}`)
  }
  writeFileSync(
    path,
    text.replace(from, () => to),
  )
  return () => writeFileSync(path, text)
}

const wanted = process.argv[2] ?? ''
const mutants = [...store, ...engine].filter(({ name }) => name.includes(wanted))
if (mutants.length === 0) giveUp(`no mutant has "${wanted}" in its name`)
makeCopy()
// All have to apply, before time is spent on any.
for (const mutant of mutants) mutate(mutant)()
for (const test of TESTS) {
  const noticed = failure(test, 'the unchanged source')
  if (noticed) giveUp(`the unchanged source fails: ${noticed}`)
}

let survivors = 0
const width = Math.max(...mutants.map(({ name }) => name.length))
for (const mutant of mutants) {
  const restore = mutate(mutant)
  const began = Date.now()
  const noticed = fate(mutant)
  restore()
  if (!noticed) survivors++
  const seconds = ((Date.now() - began) / 1000).toFixed(1).padStart(5)
  console.log(`${mutant.name.padEnd(width)}  ${seconds} s  ${noticed ?? 'SURVIVED'}`)
}
console.log(`${mutants.length - survivors} of ${mutants.length} mutants were noticed`)
process.exitCode = survivors === 0 ? 0 : 1
