'use strict'

// The subpath ./testing of this checkout; the addon is that of the package itself.

require('./index.js')
module.exports = require('../lib/testing.js')
