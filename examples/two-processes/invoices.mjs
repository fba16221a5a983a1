// What producer and worker share: the kind of task, and where the tasks are kept.

import { defineTask } from '@wterminal/task'

/** `sqlite:<path of a file>`, or `redis://<host>:<port>`; the same for every process. */
export const persistence = process.argv[2] ?? 'sqlite:invoices.db'

export const invoice = defineTask({
  name: 'invoice.total',
  timeout: '10s',
  retry: { attempts: 3, base: '100ms' },
  async handler({ number, prices }) {
    // Other nodes may run it again after a crash: what it does has to bear that.
    return { number, total: prices.reduce((sum, price) => sum + price, 0), by: process.pid }
  },
})
