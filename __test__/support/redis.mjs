// A Redis server of a test, where the machine has one.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

const SERVER = process.env.TASK_REDIS_SERVER || 'redis-server'

/** Whether there is a server to start; the Rust tests always have one. */
export const hasRedis = spawnSync(SERVER, ['--version']).status === 0

/** The address of an empty server, which ends with the test. */
export async function startRedis(test) {
  const port = await freePort()
  const args = ['--port', port, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const server = spawn(SERVER, args.map(String), { stdio: ['ignore', 'pipe', 'ignore'] })
  test.after(() => server.kill('SIGKILL'))
  for await (const text of server.stdout) if (text.toString().includes('Ready to accept')) break
  return `redis://127.0.0.1:${port}`
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  return port
}
