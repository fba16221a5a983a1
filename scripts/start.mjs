// `npm start [-- <folder> <options>]`: sets up what is missing, then indexes the folder (examples/index-folder).

import { ensureRunnable } from './setup.mjs'

ensureRunnable()
// npm runs scripts in the checkout; a relative folder means: from where the user stands.
if (process.env.npm_lifecycle_event === 'start' && process.env.INIT_CWD) process.chdir(process.env.INIT_CWD)
// The same process, so that Ctrl-C reaches one program only.
await import('../examples/index-folder/main.mjs')
