// `node worker.mjs <address>`: runs invoices until it is told to stop (Ctrl-C or SIGTERM). Any number may run at a
// time; what one leaves behind that is killed, another runs.

import { once } from 'node:events'
import { TaskExecutor } from '@wterminal/task'
import { invoice, persistence } from './invoices.mjs'

const executor = new TaskExecutor({ persistence, concurrency: 4, tasks: [invoice] })
let ran = 0
executor.on('completed', () => ran++)
await executor.start()
console.log('ready')
await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
// What runs may end, what has not begun is given back.
await executor.close()
console.log(`ran ${ran}`)
