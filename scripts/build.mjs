// `npm run build [-- <flags of napi build>]`: builds the addon for this system, or with `--target` for another.

import { buildAddon, requireNode } from './setup.mjs'

requireNode()
buildAddon('release', process.argv.slice(2))
