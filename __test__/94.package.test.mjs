// What npm publishes, installed as a stranger does: into an empty project, with no network, no compiler and no scripts.
// The first example of the README runs there in every form that Node and TypeScript know.

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
import { delimiter, dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { packPackages } from '../scripts/pack.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const readme = readFileSync(join(root, 'README.md'), 'utf8').replaceAll('\r\n', '\n')
const [, example] = /^## First example\n\n```js\n([\s\S]*?)^```$/m.exec(readme)
const PRINTS = [...example.matchAll(/\/\/ prints: (.*)$/gm)].map(match => `${match[1]}\n`).join('')

const folder = mkdtempSync(join(tmpdir(), 'task-package-'))
const project = join(folder, 'project')
let packed
after(() => rmSync(folder, { recursive: true, force: true }))

// Node and npm are all that a stranger has; the addon of this checkout must not be found by accident.
const PATH = [dirname(process.execPath), ...(process.platform === 'win32' ? [] : ['/bin', '/usr/bin'])]
const env = {
  ...process.env,
  PATH: PATH.join(delimiter),
  NAPI_RS_NATIVE_LIBRARY_PATH: undefined,
  NODE_TEST_CONTEXT: undefined,
  npm_config_cache: join(folder, 'cache'),
  CARGO: join(folder, 'no-cargo'),
  CC: join(folder, 'no-compiler'),
}

function node(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: project,
    env,
    encoding: 'utf8',
  })
  assert.equal(status, 0, `${stdout}${stderr}`)
  return { stdout, stderr }
}

function runs(name, text) {
  writeFileSync(join(project, name), text)
  assert.deepEqual(node(name), { stdout: PRINTS, stderr: '' })
}

function install() {
  const { main, platform } = packed
  const args = ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const cli = process.env.npm_execpath
  const [command, ...first] = cli?.endsWith('npm-cli.js') ? [process.execPath, cli] : ['npm']
  const { status, stdout, stderr } = spawnSync(command, [...first, ...args, main.path, platform.path], {
    cwd: project,
    env,
    encoding: 'utf8',
    shell: process.platform === 'win32',
  })
  assert.equal(status, 0, `${stdout}${stderr}`)
}

before(() => {
  packed = packPackages(folder)
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  install()
})

test('the package brings the addon of this system along, and nothing else', () => {
  assert.deepEqual(
    readdirSync(join(project, 'node_modules', '@wterminal')).map(name => `@wterminal/${name}`),
    [packed.main.name, packed.platform.name],
  )
  const about = JSON.parse(
    readFileSync(join(project, 'node_modules', packed.main.name, 'package.json'), 'utf8'),
  )
  assert.deepEqual(about.optionalDependencies, { [packed.platform.name]: about.version })
  assert.equal(about.dependencies, undefined)
  for (const script of ['preinstall', 'install', 'postinstall'])
    assert.equal(about.scripts[script], undefined)
})

test('an ES module', () => runs('example.mjs', example))

test('a CommonJS module', () => {
  const body = example.replace(/^import (\{.*\}) from (.*)$/gm, 'const $1 = require($2)')
  assert.match(body, /require\('@wterminal\/task'\)/)
  runs('example.cjs', `async function main() {\n${body}}\nmain()\n`)
})

test('the subpaths', () => {
  const text = `import { TaskExecutor } from '@wterminal/task'
import { TestClock } from '@wterminal/task/testing'
const clock = new TestClock()
const tasks = new TaskExecutor({ clock })
tasks.register({ name: 'late', handler: () => 'it came' })
const handle = await tasks.enqueue('late', null, { delay: '3d' })
await clock.advance('3d')
console.log(await handle.result())
`
  writeFileSync(join(project, 'subpath.mjs'), text)
  assert.deepEqual(node('subpath.mjs'), { stdout: 'it came\n', stderr: '' })
  writeFileSync(
    join(project, 'subpath.cjs'),
    "console.log(typeof require('@wterminal/task/testing').TestClock)\n",
  )
  assert.equal(node('subpath.cjs').stdout, 'function\n')
})

const TYPESCRIPT = [
  ['node16', 'example.mts', ['--module', 'node16']],
  ['nodenext', 'example.mts', ['--module', 'nodenext']],
  ['a bundler', 'example.mts', ['--module', 'esnext', '--moduleResolution', 'bundler']],
]

for (const [title, name, flags] of TYPESCRIPT) {
  test(`TypeScript for ${title}`, () => {
    // What a user of TypeScript has beside the package: the compiler and the types of Node.
    const types = join(project, 'node_modules', '@types')
    mkdirSync(types, { recursive: true })
    rmSync(join(types, 'node'), { force: true })
    symlinkSync(join(root, 'node_modules', '@types', 'node'), join(types, 'node'), 'junction')
    writeFileSync(join(project, name), example)
    const strict = ['--strict', '--target', 'es2022', '--types', 'node', '--outDir', 'out']
    node(join(root, 'node_modules', 'typescript', 'bin', 'tsc'), ...strict, ...flags, name)
    assert.deepEqual(node(join('out', 'example.mjs')), { stdout: PRINTS, stderr: '' })
  })
}

test('a TypeScript file that is CommonJS', () => {
  const program = example.replace(/\n\n([\s\S]*)$/, '\n\nasync function main() {\n$1}\nmain()\n')
  writeFileSync(join(project, 'example.cts'), program)
  const flags = ['--strict', '--target', 'es2022', '--types', 'node', '--outDir', 'out', '--module', 'node16']
  node(join(root, 'node_modules', 'typescript', 'bin', 'tsc'), ...flags, 'example.cts')
  assert.deepEqual(node(join('out', 'example.cjs')), { stdout: PRINTS, stderr: '' })
})
