// The four kinds of work. What one makes lies in the folder of the build under the name of what it holds, so that a run
// that comes a second time, after a kill, writes the same again.

import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { defineTask, TaskError } from '../../index.js'
import * as bundle from './bundle.mjs'

/** Whole or not at all, whenever it is interrupted. */
async function write(file, content) {
  await writeFile(`${file}.part`, content)
  await rename(`${file}.part`, file)
  return file
}

/** `pause` makes each compilation longer, for whoever wants to see it interrupted. */
export function kindsFor({ out, say, pause }) {
  const compile = defineTask({
    name: 'compile',
    async handler({ path, file, hash }, ctx) {
      const source = await readFile(file, 'utf8')
      await mkdir(out, { recursive: true })
      if (pause > 0) await sleep(pause)
      try {
        const { code, needs } = bundle.compile(path, file, source)
        say(`compile ${path}`)
        ctx.log('compiled', { path, bytes: code.length })
        return { path, needs, part: await write(join(out, `${hash}.entry`), code) }
      } catch (cause) {
        // The same source is not better the next time.
        throw TaskError.fatal(`${path} does not compile: ${cause.message}`, { cause })
      }
    },
  })

  const link = defineTask({
    name: 'link',
    async handler({ hash }, ctx) {
      const parts = await ctx.results()
      const there = new Set(parts.map(part => part.path))
      for (const { path, needs } of parts) {
        const missing = needs.find(name => !there.has(name))
        if (missing !== undefined) throw TaskError.fatal(`${path} needs ${missing}, which is no source`)
      }
      const entries = []
      for (const [at, { part }] of parts.entries()) {
        entries.push(await readFile(part, 'utf8'))
        ctx.progress((at + 1) / parts.length)
      }
      say(`link ${parts.length} sources`)
      return write(join(out, `${hash}.cjs`), bundle.link(entries))
    },
  })

  const test = defineTask({
    name: 'test',
    async handler({ sources }, ctx) {
      const [program] = await ctx.results()
      const load = createRequire(import.meta.url)(program)
      // Each source is loaded once for all runs: a run that is interrupted goes on where it was.
      const counts = []
      for (const path of sources) counts.push(await ctx.step(path, () => Object.keys(load(path)).length))
      say(`test ${sources.length} sources`)
      return { program, exports: counts.reduce((sum, count) => sum + count, 0) }
    },
  })

  const pack = defineTask({
    name: 'package',
    async handler({ hash }, ctx) {
      const [{ program, exports }] = await ctx.results()
      const content = gzipSync(await readFile(program))
      const file = await ctx.step('archive', () => write(join(out, `${hash}.gz`), content))
      const sum = await ctx.step('sum', () => createHash('sha256').update(content).digest('hex'))
      say(`package ${sum.slice(0, 12)}`)
      return { file, program, sum, exports }
    },
  })
  return { compile, link, test, pack }
}
