// The child of one trial: runs one case with one contender and prints one line of JSON, the metrics.
//
// A fresh process per trial, so that no contender inherits the heap or the optimised code of another.
// Anything wrong is thrown: a non-zero exit fails the whole run.
const { caseName, peer, params } = JSON.parse(process.argv[2])

const { default: definition } = await import(`./cases/${caseName}.mjs`)
const contender = await import(`./peers/${peer}.mjs`)

const metrics = await definition.measure(contender, params)
const { user, system } = process.cpuUsage()
process.stdout.write(`${JSON.stringify({ metrics, cpuMs: (user + system) / 1000 })}\n`)
