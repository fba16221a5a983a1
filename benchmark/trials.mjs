// Runs the trials of one case: a fresh process for each contender and trial, the contenders in turn.
//
// One trial runs every contender once before the next trial begins, and each trial has another order, so that
// neither a slow minute of the machine nor what ran just before favours one of them. The first wrong result
// ends the run.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { startOthersClock } from './machine.mjs'
import { here } from './setup.mjs'
import { nameOf } from './suites.mjs'

/** A worker that takes longer than this has hung. */
const LONGEST_WORKER_MS = 10 * 60_000

/**
 * Gives `{ samples, others }`: for each entry's name its metrics, one set per trial, and how many cores other
 * programs used meanwhile, one figure per trial.
 */
export async function runTrials({ caseName, definition, entries, trials, node, report }) {
  const samples = new Map(entries.map(entry => [nameOf(entry), []]))
  const others = []
  for (let trial = 0; trial < trials; trial++) {
    const metricsOf = new Map()
    const stop = startOthersClock()
    let ownCpuMs = 0
    for (const entry of inTurn(entries, trial)) {
      report(`${caseName}: trial ${trial + 1} of ${trials}, ${nameOf(entry)}`)
      const { metrics, cpuMs } = await runWorker({ caseName, definition, entry, node })
      metricsOf.set(nameOf(entry), metrics)
      ownCpuMs += cpuMs ?? metrics.processMs
    }
    others.push(stop(ownCpuMs))
    definition.relate?.(metricsOf)
    for (const [name, metrics] of metricsOf) samples.get(name).push(metrics)
  }
  return { samples, others }
}

/** Begins with another entry in each trial, and runs backwards in every second one. */
function inTurn(entries, trial) {
  const turned = entries.map((_, i) => entries[(i + trial) % entries.length])
  return trial % 2 === 0 ? turned : turned.reverse()
}

function runWorker({ caseName, definition, entry, node }) {
  const { peer, params, argument = JSON.stringify({ caseName, peer, params }) } = entry
  const file = join(here, definition.child ?? 'worker.mjs')
  const where = `case ${caseName}, ${nameOf(entry)}`
  return new Promise((resolve, reject) => {
    const from = performance.now()
    // 4 GiB for every contender: the default depends on the machine, and p-queue needs 1.2 GiB for a million
    // tasks.
    const flags = definition.child ? [] : ['--expose-gc', '--max-old-space-size=4096']
    const child = spawn(node, [...flags, file, argument], { stdio: ['ignore', 'pipe', 'pipe'], cwd: here })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', chunk => {
      output.stdout += chunk
    })
    child.stderr.on('data', chunk => {
      output.stderr += chunk
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), LONGEST_WORKER_MS)
    child.on('error', error => {
      clearTimeout(timer)
      reject(new Error(`${where}: ${node} cannot be started: ${error.message}`))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const processMs = performance.now() - from
      if (code !== 0) {
        reject(new Error(`${where} ${explainExit({ code, signal, processMs })}\n${output.stderr.trim()}`))
        return
      }
      const line = readLine(output.stdout)
      if (!line) {
        reject(
          new Error(
            `${where} did not end its output with one line of metrics:\n${output.stdout}${output.stderr}`,
          ),
        )
        return
      }
      resolve({
        cpuMs: line.cpuMs,
        metrics: definition.child ? { processMs, ...line.metrics } : line.metrics,
      })
    })
  })
}

function explainExit({ code, signal, processMs }) {
  if (signal && processMs >= LONGEST_WORKER_MS) return `hung for ${LONGEST_WORKER_MS} ms`
  if (signal) return `died by ${signal}`
  // Node's code for a module whose await never settles.
  if (code === 13) return 'had nothing left to do while some results were still missing'
  return `failed with exit code ${code}`
}

function readLine(stdout) {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1))
  } catch {
    return undefined
  }
}
