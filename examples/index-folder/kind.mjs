// What kind of file it is: its first bytes say text or binary, its name says which.

const HEAD_BYTES = 8192

const TEXT = {
  c: ['c', 'h'],
  'c++': ['cc', 'cpp', 'cxx', 'hpp'],
  config: ['cfg', 'conf', 'editorconfig', 'gitattributes', 'gitignore', 'ini', 'npmrc', 'properties'],
  css: ['css', 'less', 'scss'],
  csv: ['csv', 'tsv'],
  go: ['go'],
  html: ['htm', 'html'],
  java: ['java', 'kt'],
  javascript: ['cjs', 'js', 'jsx', 'mjs'],
  json: ['json', 'jsonc', 'jsonl', 'map'],
  log: ['log'],
  lua: ['lua'],
  markdown: ['markdown', 'md'],
  python: ['py', 'pyi'],
  ruby: ['rb'],
  rust: ['rs'],
  shell: ['bash', 'ps1', 'sh', 'zsh'],
  sql: ['sql'],
  svg: ['svg'],
  toml: ['toml'],
  typescript: ['cts', 'mts', 'ts', 'tsx'],
  xml: ['xml', 'xsd'],
  yaml: ['yaml', 'yml'],
}

const BINARY = {
  archive: ['7z', 'br', 'bz2', 'crate', 'gz', 'jar', 'tar', 'tgz', 'xz', 'zip', 'zst'],
  audio: ['flac', 'm4a', 'mp3', 'ogg', 'wav'],
  database: ['db', 'sqlite', 'sqlite3'],
  document: ['doc', 'docx', 'odt', 'pdf', 'pptx', 'xlsx'],
  font: ['otf', 'ttf', 'woff', 'woff2'],
  image: ['avif', 'bmp', 'gif', 'ico', 'jpeg', 'jpg', 'png', 'webp'],
  program: ['a', 'dll', 'dylib', 'exe', 'node', 'o', 'rlib', 'so', 'wasm'],
  video: ['avi', 'mkv', 'mov', 'mp4', 'webm'],
}

const byExtension = kinds =>
  new Map(Object.entries(kinds).flatMap(([kind, list]) => list.map(name => [name, kind])))
const TEXT_KINDS = byExtension(TEXT)
const BINARY_KINDS = byExtension(BINARY)

/** Text has no NUL byte near its start: the test that git and grep make. */
export function looksLikeText(head) {
  return !head.subarray(0, HEAD_BYTES).includes(0)
}

/** `name` is the last part of the path, `head` the first chunk of the content. */
export function kindOf(name, head) {
  const dot = name.lastIndexOf('.')
  const extension = dot < 0 ? '' : name.slice(dot + 1).toLowerCase()
  // A `.ts` film or a `.md` disk image is what its bytes say; compressed files often begin without a NUL.
  if (BINARY_KINDS.has(extension)) return BINARY_KINDS.get(extension)
  if (!looksLikeText(head)) return 'binary'
  return TEXT_KINDS.get(extension) ?? 'text'
}
