// Where a durable contender of one trial keeps its tasks: a new folder, or a Redis server of its own. Both are gone
// when `remove` has resolved.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const STARTS_WITHIN_MS = 10_000

function makeFolder() {
  const base = process.env.TASK_BENCHMARK_DIR || tmpdir()
  mkdirSync(base, { recursive: true })
  return mkdtempSync(join(base, 'task-benchmark-'))
}

/** A file that is not there yet. */
export function newFile() {
  const folder = makeFolder()
  return {
    place: join(folder, 'tasks.db'),
    /** Bytes on disk, the log and all that lies beside the file included. */
    bytes: () =>
      readdirSync(folder).reduce((sum, name) => {
        const found = statSync(join(folder, name))
        return found.isFile() ? sum + found.size : sum
      }, 0),
    remove: async () => rmSync(folder, { recursive: true, force: true }),
  }
}

const AOF = { off: ['no'], everysec: ['yes', '--appendfsync', 'everysec'] }

/** A server on a port of its own; `aof` is `off` or `everysec`. */
export async function newServer({ aof }) {
  const folder = makeFolder()
  const port = await freePort()
  const program = process.env.TASK_REDIS_SERVER || 'redis-server'
  const args = [
    '--port',
    port,
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    ...AOF[aof],
  ]
  const child = spawn(program, args.map(String), { stdio: 'ignore' })
  const gone = new Promise(resolve => child.once('close', resolve))
  let problem
  child.once('error', error => {
    problem = error
  })
  // A worker that throws must not leave a server behind.
  process.once('exit', () => child.kill('SIGKILL'))
  const until = performance.now() + STARTS_WITHIN_MS
  while (!(await answers(port))) {
    if (problem || child.exitCode !== null || performance.now() > until) {
      throw new Error(
        `${program} does not start (${problem?.message ?? `exit code ${child.exitCode}`}): ` +
          'install it (Debian: apt-get install redis-server), or name it in TASK_REDIS_SERVER',
      )
    }
    await sleep(20)
  }
  return {
    place: `redis://127.0.0.1:${port}`,
    async remove() {
      child.kill('SIGKILL')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

function answers(port) {
  return new Promise(resolve => {
    const socket = createConnection(port, '127.0.0.1')
    const end = value => {
      socket.destroy()
      resolve(value)
    }
    socket.once('error', () => end(false))
    socket.once('data', text => end(text.toString().startsWith('+PONG')))
    socket.once('connect', () => socket.write('PING\r\n'))
  })
}
