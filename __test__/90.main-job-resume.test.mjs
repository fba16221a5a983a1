// The main job is killed and started again: it goes on where it was.

import assert from 'node:assert/strict'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { cacheFolder } from '../examples/index-folder/state.mjs'
import { makeFolder, runForReport, runMainJob } from './support/main-job.mjs'

const COUNT = 100
const names = Array.from({ length: COUNT }, (_, index) => `${index % 7}/${index}.txt`)
const SLOW = Object.fromEntries(names.map(name => [name.split('/')[1], { slow: 120 }]))

/** Starts the job and kills it as soon as it has shown that it is under way. */
async function killInTheMiddle(args) {
  let killed = false
  const onStdout = (text, child) => {
    if (!killed && /^indexed /m.test(text)) killed = child.kill('SIGKILL')
  }
  const { code, stdout } = await runMainJob(args, { faults: SLOW, onStdout })
  assert.deepEqual([code, killed], ['SIGKILL', true])
  const found = /^resumed (\d+) tasks? of an earlier run, (\d+) of them done$/m.exec(stdout)
  return found && { tasks: Number(found[1]), done: Number(found[2]) }
}

test('killed again and again it goes on, and every file is in the report once', async t => {
  const folder = makeFolder(t, Object.fromEntries(names.map(name => [name, 'before'])))
  const cache = makeFolder(t, {})
  const args = [folder, '--concurrency', '4', '--cache', cache]
  assert.equal(await killInTheMiddle(args), null)
  const known = [await killInTheMiddle(args), await killInTheMiddle(args)]
  assert.ok(known[0].done > 0 && known[1].done > known[0].done, JSON.stringify(known))

  // What was done before the kills shows the content of then: none of it is read again.
  for (const name of names) writeFileSync(join(folder, name), 'afterwards')
  const { code, report, stderr } = await runForReport(args)
  assert.equal(code, 0)
  assert.match(stderr, /^resumed 100 tasks of an earlier run, \d+ of them done$/m)
  assert.deepEqual(report.files.map(file => file.path).sort(), [...names].sort())
  assert.deepEqual(new Set(report.files.map(file => file.attempts)), new Set([1]))
  const { tasks, done } = report.resumed
  assert.deepEqual([tasks, report.failures], [COUNT, []])
  assert.ok(done > known[1].done && done < COUNT, `${done} were done`)
  assert.equal(report.files.filter(file => file.bytes === 'before'.length).length, done)

  assert.deepEqual(readdirSync(join(cache, 'index-folder')), [], 'a complete run leaves nothing')
  const anew = await runForReport(args)
  assert.deepEqual([anew.report.resumed, anew.stderr], [{ tasks: 0, done: 0 }, ''])
  assert.ok(anew.report.files.every(file => file.bytes === 'afterwards'.length))
})

test('a failure of before the kill is in the report, with its reason', async t => {
  const folder = makeFolder(t, { 'a/locked.txt': 'x', 'b/stuck.txt': 'y' })
  const args = [folder, '--cache', makeFolder(t, {}), '--concurrency', '2']
  const faults = { 'locked.txt': { code: 'EACCES' }, 'stuck.txt': { stuck: true } }
  const onStdout = (text, child) => {
    if (text.includes('1 failed')) child.kill('SIGKILL')
  }
  assert.equal((await runMainJob(args, { faults, onStdout })).code, 'SIGKILL')
  const { report } = await runForReport(args)
  assert.deepEqual(report.resumed, { tasks: 2, done: 1 })
  assert.deepEqual(report.failures, [
    { path: 'a/locked.txt', code: 'EACCES', reason: 'EACCES: made to fail', attempts: 3 },
  ])
  assert.deepEqual(
    report.files.map(file => file.path),
    ['b/stuck.txt'],
  )
})

test('folders, and --all, have a state of their own', async t => {
  const cache = makeFolder(t, {})
  const [one, other] = [makeFolder(t, { 'stuck.txt': '1', 'a.txt': '' }), makeFolder(t, { 'b.txt': '2' })]
  const onStdout = (text, child) => {
    if (text.includes('indexed 1 of 2')) child.kill('SIGKILL')
  }
  await runMainJob([one, '--cache', cache], { faults: { 'stuck.txt': { stuck: true } }, onStdout })
  for (const args of [[other], [one, '--all']]) {
    const { report } = await runForReport([...args, '--cache', cache])
    assert.deepEqual(report.resumed, { tasks: 0, done: 0 })
  }
  const { report } = await runForReport([one, '--cache', cache])
  assert.deepEqual(report.resumed, { tasks: 2, done: 1 })
})

test('a second process on the same folder works by itself', async t => {
  const folder = makeFolder(t, { 'stuck.txt': 'x', 'a.txt': 'y' })
  const args = [folder, '--cache', makeFolder(t, {})]
  let second
  const onStdout = (text, child) => {
    if (second || !text.includes('indexed 1 of 2')) return
    second = runForReport(args).finally(() => child.kill('SIGKILL'))
  }
  await runMainJob(args, { faults: { 'stuck.txt': { stuck: true } }, onStdout })
  const { code, report, stderr } = await second
  assert.deepEqual([code, report.totals.files], [0, 2])
  assert.match(stderr, /^note: this run cannot be resumed: process \d+ is at work on the same folder\n$/)
})

test('without a place for its state it runs all the same, and says so', async t => {
  const folder = makeFolder(t, { 'a.txt': 'y' })
  const cache = join(folder, 'a.txt')
  const { code, report, stderr } = await runForReport([folder, '--cache', cache])
  assert.deepEqual([code, report.totals.files], [0, 1])
  assert.match(stderr, /^note: this run cannot be resumed: the cache folder cannot be written \(\w+: .*\)\n$/)
})

test('a wrong option leaves nothing behind', async t => {
  const folder = makeFolder(t, {})
  const cache = join(folder, 'cache')
  const { code } = await runMainJob([folder, '--timeout', 'soon', '--cache', cache])
  assert.equal(code, 1)
  assert.equal(existsSync(cache), false)
})

test('the state is in the cache folder of the system, unless another is named', () => {
  const home = homedir()
  const inHome = (...parts) => join(home, ...parts, 'wterminal-task')
  assert.equal(cacheFolder('/given', { TASK_CACHE_DIR: '/named' }, 'linux'), resolve('/given'))
  assert.equal(cacheFolder(undefined, { TASK_CACHE_DIR: '/named' }, 'linux'), resolve('/named'))
  assert.equal(cacheFolder(undefined, { XDG_CACHE_HOME: '/xdg' }, 'linux'), join('/xdg', 'wterminal-task'))
  assert.equal(cacheFolder(undefined, { XDG_CACHE_HOME: 'relative' }, 'linux'), inHome('.cache'))
  assert.equal(cacheFolder(undefined, {}, 'linux'), inHome('.cache'))
  assert.equal(cacheFolder(undefined, {}, 'darwin'), inHome('Library', 'Caches'))
  assert.equal(cacheFolder(undefined, { LOCALAPPDATA: '/local' }, 'win32'), join('/local', 'wterminal-task'))
})
