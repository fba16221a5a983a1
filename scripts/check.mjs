// `npm run check [-- <names of checks>]`: everything that CI asks of the sources besides the tests.
// `-- --accept` rewrites the committed list of the package's contents.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { npmPack } from './pack.mjs'
import { giveUp, root, runCommand } from './process.mjs'
import { PUBLISHED } from './published.mjs'
import { isChecked, RULES } from './rules.mjs'
import { ensurePackages, requireNode, requireRust, runNapiBuild } from './setup.mjs'
import { filesBelow } from './sources.mjs'

const CONTENTS = join(root, 'scripts', 'package-contents.txt')
const SKIPPED = ['.git', 'node_modules', 'target', 'npm']

const cargo = (...args) => runCommand('cargo', args).ok
const tool = (path, ...args) => runCommand(process.execPath, [join(root, 'node_modules', path), ...args]).ok

function complain(lines) {
  for (const line of lines) console.error(`  ${line}`)
  return lines.length === 0
}

function checkRules() {
  const paths = filesBelow(root, SKIPPED).filter(isChecked)
  const files = paths.map(path => ({ path, text: readFileSync(join(root, path), 'utf8') }))
  return complain(Object.values(RULES).flatMap(rule => rule(files)))
}

function packedFiles() {
  return npmPack(root)
    .files.map(file => file.path)
    .sort()
}

function checkPackage() {
  const wanted = readFileSync(CONTENTS, 'utf8').trim().split('\n')
  const packed = packedFiles()
  return complain([
    ...packed
      .filter(path => !wanted.includes(path))
      .map(path => `${path} would be published but is not listed`),
    ...wanted
      .filter(path => !packed.includes(path))
      .map(path => `${path} is listed but would not be published`),
  ])
}

function acceptPackage() {
  writeFileSync(CONTENTS, `${packedFiles().join('\n')}\n`)
}

/** Generates the loader and its types anew, beside the committed ones, and compares. */
function checkBinding() {
  const folder = join('target', 'generated-binding')
  rmSync(join(root, folder), { recursive: true, force: true })
  if (!runNapiBuild('dev', ['--output-dir', folder]).ok) return false
  const differs = name =>
    readFileSync(join(root, name), 'utf8') !== readFileSync(join(root, folder, name), 'utf8')
  const stale = ['binding.js', 'binding.d.ts'].filter(differs)
  return complain(stale.map(name => `${name} is not what the build generates; run: npm run build`))
}

/** The crate alone needs nothing of Node. */
function checkCrates() {
  const args = ['tree', '--locked', '--edges', 'normal,build', '--prefix', 'none']
  return ['full', 'napi'].every(feature => {
    const { ok, stdout } = runCommand('cargo', [...args, '--features', feature], { capture: true })
    const found = stdout.split('\n').filter(line => line.startsWith('napi'))
    // The second look shows that the first one could have found something.
    if (feature === 'napi') return ok && found.length > 0
    return ok && complain(found.map(line => `${line} is needed without the feature "napi"`))
  })
}

const CHECKS = {
  rules: checkRules,
  'rust format': () => cargo('fmt', '--check'),
  'js format and lint': () => tool('@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'),
  package: checkPackage,
  types: () => tool('typescript/bin/tsc', '--noEmit', '-p', '__test__/types'),
  clippy: () =>
    cargo('clippy', '--locked', '--all-targets', '--features', 'full,testing', '--', '-D', 'warnings'),
  'clippy with napi': () =>
    cargo('clippy', '--locked', '--all-targets', '--features', 'napi', '--', '-D', 'warnings'),
  ...PUBLISHED,
  crates: checkCrates,
  layers: () => cargo('test', '--locked', '--test', 'layers'),
  binding: checkBinding,
}

function runCheck(name) {
  const startedAt = performance.now()
  const ok = CHECKS[name]()
  console.log(
    `${ok ? 'ok    ' : 'FAILED'}  ${name} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`,
  )
  return ok
}

requireNode()
requireRust()
ensurePackages()
const accept = process.argv.includes('--accept')
const asked = process.argv.slice(2).filter(name => name !== '--accept')
const unknown = asked.find(name => !Object.hasOwn(CHECKS, name))
if (unknown !== undefined) giveUp(`no check "${unknown}"; the checks are: ${Object.keys(CHECKS).join(', ')}`)
if (accept) {
  acceptPackage()
  asked.push('package')
}
const failed = (asked.length > 0 ? asked : Object.keys(CHECKS)).filter(name => !runCheck(name))
console.log(failed.length > 0 ? `\nfailed: ${failed.join(', ')}` : '\nall checks passed')
process.exitCode = failed.length > 0 ? 1 : 0
