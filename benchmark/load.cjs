'use strict'
// The child of the case `require`: loads one module, or nothing, and prints how long that took, in milliseconds.
// As small as it can be, since the time of its whole process is a measure too.
const specifier = process.argv[2]
const from = performance.now()
if (specifier) require(specifier)
const loadMs = performance.now() - from
process.stdout.write(`${JSON.stringify({ metrics: { loadMs } })}\n`)
