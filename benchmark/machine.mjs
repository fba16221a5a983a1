// What a run ran on: machine, system, versions, and how much other programs took of it meanwhile.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { pinned, root } from './setup.mjs'

const GIB = 2 ** 30

function systemName() {
  try {
    const name = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))
    if (name) return `${name[1]}, ${type()} ${release()}`
  } catch {
    // Only Linux has the file.
  }
  return `${type()} ${release()}`
}

/** Names and values, ready to print. */
export function describeMachine(node) {
  const cores = cpus()
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const peers = Object.entries(pinned()).filter(([name]) => !name.startsWith('node-'))
  return {
    CPU: `${cores[0].model.trim()}, ${cores.length} logical cores`,
    memory: `${(totalmem() / GIB).toFixed(1)} GiB`,
    system: `${systemName()}, ${process.arch}`,
    Node: execFileSync(node, ['--version'], { encoding: 'utf8' }).trim(),
    task: own.version,
    ...Object.fromEntries(peers),
  }
}

function busyMs() {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)
}

/**
 * Starts counting the CPU time of the whole machine. The returned function is given the CPU time of our own
 * workers and says how many cores everything else used on average.
 */
export function startOthersClock() {
  const busy = busyMs()
  const own = process.cpuUsage()
  const from = performance.now()
  return workersMs => {
    const wall = performance.now() - from
    const { user, system } = process.cpuUsage(own)
    return Math.max(0, (busyMs() - busy - workersMs - (user + system) / 1000) / wall)
  }
}
