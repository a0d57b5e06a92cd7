/** Writes the tables of docs/executors.md. `npm run executors:build`, or `--check` to compare only. */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { withTables } from './reference.js'

const PAGE = fileURLToPath(new URL('../docs/executors.md', import.meta.url))

const page = await readFile(PAGE, 'utf8')
const expected = withTables(page)
if (page !== expected && process.argv.includes('--check')) {
  console.error('docs/executors.md is not what the executors make: run npm run executors:build')
  process.exitCode = 1
} else if (page !== expected) {
  await writeFile(PAGE, expected)
  console.log('docs/executors.md written')
}
