// The hand-written queue on SQLite, on either driver: what a good programmer builds in an afternoon, without
// priorities, retries, leases or delays. `batched` puts the adds of a turn, the completions since the last one
// and the next claims in one transaction; without it each is a transaction of its own.
import { setImmediate as nextLoop, setTimeout as sleep } from 'node:timers/promises'

const CLAIM = 256
const IDLE_MS = 2
/** After so many jobs in one go the loop gets its turn. */
const YIELD = 64

const SCHEMA = `
CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, status INTEGER NOT NULL DEFAULT 0, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS open ON jobs (status, id) WHERE status < 2;`
const CLAIM_SQL = `UPDATE jobs SET status = 1 WHERE id IN
  (SELECT id FROM jobs WHERE status = 0 ORDER BY id LIMIT ?) RETURNING data, id`

/** `db` has `exec`, `prepare` and `close`, as both drivers do. */
export function openQueue(db, { level, concurrency, work, batched }) {
  db.exec('PRAGMA busy_timeout = 10000')
  db.exec('PRAGMA journal_mode = WAL')
  db.exec(`PRAGMA synchronous = ${level === 'strict' ? 'FULL' : 'NORMAL'}`)
  db.exec(SCHEMA)
  const sql = {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    add: db.prepare('INSERT INTO jobs (data) VALUES (?)'),
    claim: db.prepare(CLAIM_SQL),
    done: db.prepare('UPDATE jobs SET status = 2 WHERE id = ?'),
    open: db.prepare('SELECT 1 FROM jobs WHERE status < 2 LIMIT 1'),
  }
  const within = write => {
    sql.begin.run()
    write()
    sql.commit.run()
  }
  const common = {
    async addMany(inputs) {
      within(() => {
        for (const input of inputs) sql.add.run(JSON.stringify(input))
      })
    },
    isDone: async () => sql.open.get() === undefined,
  }
  const mode = { db, sql, within, concurrency, work }
  return { ...common, ...(batched ? inBatches(mode) : oneByOne(mode)) }
}

function oneByOne({ db, sql, concurrency, work }) {
  let closed = false
  const loops = []
  async function loop() {
    for (let n = 1; !closed; n++) {
      const [job] = sql.claim.all(1)
      if (job === undefined) {
        await sleep(IDLE_MS)
        continue
      }
      await work(JSON.parse(job.data))
      sql.done.run(job.id)
      if (n % YIELD === 0) await nextLoop()
    }
  }
  return {
    add: async input => void sql.add.run(JSON.stringify(input)),
    async start() {
      for (let i = 0; i < concurrency; i++) loops.push(loop())
    },
    async close() {
      closed = true
      await Promise.all(loops)
      db.close()
    },
  }
}

function inBatches({ db, sql, within, concurrency, work }) {
  let added = []
  let done = []
  let ready = []
  let running = 0
  let started = false
  let soon
  let later

  function turn() {
    soon = undefined
    const acked = added
    within(() => {
      for (const { text } of added) sql.add.run(text)
      for (const id of done) sql.done.run(id)
      if (started && ready.length === 0) ready = sql.claim.all(CLAIM)
    })
    added = []
    done = []
    for (const { resolve } of acked) resolve()
    if (ready.length > 0) pump()
    else if (started && running === 0) later = setTimeout(turn, IDLE_MS)
  }
  function wake() {
    clearTimeout(later)
    soon ??= setImmediate(turn)
  }
  function pump() {
    while (running < concurrency && ready.length > 0) {
      running++
      run(ready.pop())
    }
    if (ready.length === 0 && (running < concurrency || done.length > 0)) wake()
  }
  async function run({ id, data }) {
    await work(JSON.parse(data))
    running--
    done.push(id)
    pump()
  }
  return {
    add: input =>
      new Promise(resolve => {
        added.push({ text: JSON.stringify(input), resolve })
        wake()
      }),
    async start() {
      started = true
      wake()
    },
    async close() {
      started = false
      while (running > 0 || done.length > 0) await nextLoop()
      clearTimeout(later)
      clearImmediate(soon)
      db.close()
    },
  }
}
