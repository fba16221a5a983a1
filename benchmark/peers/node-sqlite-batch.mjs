// The hand-written queue on node:sqlite, in batches.
import { DatabaseSync } from 'node:sqlite'
import { openQueue } from '../durable/sqlite-queue.mjs'

export const open = async ({ place, ...options }) =>
  openQueue(new DatabaseSync(place), { ...options, batched: true })
