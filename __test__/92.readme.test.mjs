// The README: every block marked `js` is a program that runs as it stands, and prints what its comments say.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8').replaceAll('\r\n', '\n')

/** The blocks with the heading they stand under, `{ title, code }`. */
function blocksOf(markdown) {
  const blocks = []
  let title = ''
  for (const match of markdown.matchAll(/^#+ (?<heading>.*)$|^```(?<kind>\w*)\n(?<code>[\s\S]*?)^```$/gm)) {
    if (match.groups.heading !== undefined) title = match.groups.heading
    else if (match.groups.kind === 'js') blocks.push({ title, code: match.groups.code })
  }
  return blocks
}

/** A user's project that has the package installed. */
function makeProject() {
  const folder = mkdtempSync(join(tmpdir(), 'task-readme-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'node_modules', '@wterminal'), { recursive: true })
  symlinkSync(root, join(folder, 'node_modules', '@wterminal', 'task'), 'junction')
  return folder
}

const blocks = blocksOf(readme)
const project = makeProject()

test('the README has programs to run', () => {
  const opened = readme.match(/^```js\b/gm).length
  assert.equal(blocks.length, opened)
  assert.ok(blocks.length >= 8, `only ${blocks.length} blocks were found`)
})

/** The first column of the table under a heading. */
function tableUnder(heading) {
  const section = readme.split(`\n### ${heading}\n`)[1]?.split('\n#')[0] ?? ''
  return [...section.matchAll(/^\| `(\w+)` *\|/gm)].map(match => match[1])
}

const types = [
  'index.d.ts',
  ...readdirSync(join(root, 'lib'))
    .filter(name => name.endsWith('.d.ts'))
    .map(name => `lib/${name}`),
]
  .map(name => readFileSync(join(root, name), 'utf8'))
  .join('\n')

for (const name of ['ExecutorOptions', 'TaskPolicy', 'RunOptions', 'EnqueueOptions']) {
  test(`README, the table of ${name} has the fields of the types, in their order`, () => {
    const body = new RegExp(`^export interface ${name}\\b[^{]*\\{\n([\\s\\S]*?)^\\}`, 'm').exec(types)[1]
    const fields = [...body.matchAll(/^ {2}readonly (\w+)\?:/gm)].map(match => match[1])
    assert.ok(fields.length > 3, `${name} was not found`)
    assert.deepEqual(tableUnder(name), fields)
  })
}

test('README, the table of errors names codes that exist', () => {
  const listed = [...readme.matchAll(/^\| `(ERR_\w+)` *\|/gm)].map(match => match[1])
  assert.ok(listed.length > 10)
  for (const code of listed) assert.ok(types.includes(`| '${code}'`), code)
})

for (const [index, { title, code }] of blocks.entries()) {
  test(`README, block ${index + 1}: ${title}`, () => {
    const path = join(project, `block-${index + 1}.mjs`)
    writeFileSync(path, code)
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [path], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(stderr, '')
    const promised = [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(match => match[1])
    assert.deepEqual(stdout.split('\n').slice(0, -1), promised)
    assert.deepEqual([status, signal], [0, null])
  })
}
