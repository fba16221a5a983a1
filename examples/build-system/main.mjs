// A small build system: `node main.mjs [<folder of CommonJS sources>] [<folder of the build>]`.
//
// Many compilations, then link, test and package, as one flow on a SQLite file. A task is named by what it is made of,
// so a build that runs again does what has changed and nothing else, and one that was killed goes on where it was.

import { mkdir, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TaskExecutor } from '../../index.js'
import { digest } from './bundle.mjs'
import { kindsFor } from './kinds.mjs'

const lib = fileURLToPath(new URL('../../lib', import.meta.url))
const [folder = lib, out = join(tmpdir(), 'task-example-build')] = process.argv.slice(2)

/** The sources: where they are, and what they hold. */
async function sourcesIn(folder) {
  const names = await readdir(folder, { recursive: true })
  const sources = names
    .filter(name => name.endsWith('.js'))
    .map(async name => {
      const file = resolve(folder, name)
      const path = relative(folder, file).replaceAll('\\', '/')
      return { path, file, hash: digest(path, await readFile(file, 'utf8')) }
    })
  return (await Promise.all(sources)).sort((one, other) => (one.path < other.path ? -1 : 1))
}

/** The flow of a build. The names of its tasks are what they are made of. */
function flowOf(sources, { compile, link, test, pack }, folder) {
  const hash = digest(...sources.map(source => source.hash))
  const named = (kind, hash) => ({ id: `${kind}-${hash}` })
  return [
    ...sources.map(source => ({
      ref: source.path,
      task: compile,
      input: source,
      options: named('compile', source.hash),
    })),
    {
      ref: 'link',
      task: link,
      input: { hash },
      after: sources.map(({ path }) => path),
      options: named('link', hash),
    },
    {
      ref: 'test',
      task: test,
      input: { sources: sources.map(({ path }) => path) },
      after: ['link'],
      options: named('test', hash),
    },
    {
      ref: 'package',
      task: pack,
      input: { hash },
      after: ['test'],
      // Of two builds of one folder at a time the newer one is packaged.
      options: { ...named('package', hash), key: digest(folder), onConflict: 'replace' },
    },
  ]
}

await mkdir(out, { recursive: true })
const say = line => process.stdout.write(`${line}\n`)
const kinds = kindsFor({ out: resolve(out), say, pause: Number(process.env.BUILD_PAUSE ?? 0) })
const executor = new TaskExecutor({
  persistence: `sqlite:${join(out, 'build.db')}`,
  tasks: Object.values(kinds),
})
await executor.start()
const sources = await sourcesIn(folder)
const flow = await executor.enqueueFlow(flowOf(sources, kinds, resolve(folder)))
const fresh = Object.values(flow.handles).filter(handle => handle.created).length
say(`${sources.length} sources, ${fresh} of ${sources.length + 3} tasks are new`)
try {
  const { package: made } = await flow.results()
  say(`built ${JSON.stringify(made)}`)
} catch (error) {
  say(`failed: ${error.message}`)
  process.exitCode = 1
} finally {
  await executor.close()
}
