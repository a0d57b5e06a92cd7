/** Writes docs/cli.md, or with `--check` says whether it is as it should be. */
import { readFile, writeFile } from 'node:fs/promises'
import { cliReference } from './reference.js'

const file = new URL('../docs/cli.md', import.meta.url)
const wanted = cliReference()
if (!process.argv.includes('--check')) await writeFile(file, wanted)
else if ((await readFile(file, 'utf8').catch(() => '')) !== wanted) {
  console.error('docs/cli.md is not what the commands say of themselves: run npm run cli:build.')
  process.exitCode = 1
}
