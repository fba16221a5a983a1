// `cargo build --features napi`, then `npm install ./dist` in a project: the library is found below target/.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { addonPath } from '../scripts/pack.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const LIBRARY = { win32: 'task.dll', darwin: 'libtask.dylib' }[process.platform] ?? 'libtask.so'

/** A checkout with the parts that matter here, and a project that has installed its `dist`. */
function makeProject(name) {
  const folder = mkdtempSync(join(tmpdir(), `task-dist-${name}-`))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const checkout = join(folder, 'checkout')
  for (const part of ['dist', 'index.js', 'index.d.ts', 'binding.js', 'package.json', 'lib']) {
    cpSync(join(root, part), join(checkout, part), { recursive: true })
  }
  const project = join(folder, 'project')
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  const args = ['install', '--offline', '--no-audit', '--no-fund', '--loglevel=error', join(checkout, 'dist')]
  const cli = process.env.npm_execpath
  const [command, ...first] = cli?.endsWith('npm-cli.js') ? [process.execPath, cli] : ['npm']
  const { status, stderr } = spawnSync(command, [...first, ...args], {
    cwd: project,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  assert.equal(status, 0, stderr)
  return { checkout, project }
}

function node(project, name, text) {
  writeFileSync(join(project, name), text)
  return spawnSync(process.execPath, [name], {
    cwd: project,
    encoding: 'utf8',
    env: {
      ...process.env,
      NAPI_RS_NATIVE_LIBRARY_PATH: undefined,
      CARGO_TARGET_DIR: undefined,
      NODE_TEST_CONTEXT: undefined,
    },
  })
}

const RUN = `new TaskExecutor().execute(() => 'ran').then(value => {
  console.log(value, process.env.NAPI_RS_NATIVE_LIBRARY_PATH)
})`

test('what cargo has built is found, by ES modules and by CommonJS', () => {
  const { checkout, project } = makeProject('built')
  mkdirSync(join(checkout, 'target', 'debug'), { recursive: true })
  cpSync(addonPath(), join(checkout, 'target', 'debug', LIBRARY))
  const esm = node(project, 'run.mjs', `import { TaskExecutor } from '@wterminal/task'\n${RUN}`)
  assert.deepEqual([esm.stdout, esm.stderr], ['ran undefined\n', ''])
  const cjs = node(project, 'run.cjs', `const { TaskExecutor } = require('@wterminal/task')\n${RUN}`)
  assert.deepEqual([cjs.stdout, cjs.stderr], ['ran undefined\n', ''])
})

test('where nothing has been built, the error says what to run', () => {
  const { project } = makeProject('bare')
  const { status, stderr } = node(project, 'run.cjs', `require('@wterminal/task')`)
  assert.equal(status, 1)
  assert.match(stderr, /@wterminal\/task has no library in .*; build it: cargo build --features napi/)
})

test('dist and the package have one version', () => {
  const versionOf = path => JSON.parse(readFileSync(join(root, path), 'utf8')).version
  assert.equal(versionOf('dist/package.json'), versionOf('package.json'))
})
