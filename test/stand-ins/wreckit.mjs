#!/usr/bin/env node
// Stands in for the `wreckit` command line: its commands, its flags, its JSON, its exit codes. Items behave as they are called.
import { appendFileSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean' },
    force: { type: 'boolean' },
    fix: { type: 'boolean' },
    'no-tui': { type: 'boolean' },
    quiet: { type: 'boolean' },
    verbose: { type: 'boolean' },
    'dry-run': { type: 'boolean' },
    parallel: { type: 'string' },
    cwd: { type: 'string' },
    agent: { type: 'string' },
  },
})
const [command, id] = positionals
const say = (text, code = 0) => {
  process.stdout.write(`${text}\n`)
  process.exitCode = code
}
const wail = (text, code = 1) => {
  process.stderr.write(`${text}\n`)
  process.exitCode = code
}

appendFileSync(
  `${values.cwd}/calls`,
  `${JSON.stringify({ argv: process.argv.slice(2), env: Object.keys(process.env).sort(), pid: process.pid })}\n`,
)

const items = [{ id: '1', fullId: 'features/001-csv', state: 'planned', title: 'CSV export' }]
if (command === 'status' || command === 'list') {
  const version = process.env.HOME === '/future' ? 2 : 1
  say(JSON.stringify({ schema_version: version, items, generated_at: '2026-01-01T00:00:00Z' }))
} else if (command === 'show') {
  if (id === 'gone') wail('Item not found: gone')
  else if (id === 'garbled') say('not json')
  else if (id === 'odd') say('{"id":"odd","title":"a\\u0000b"}')
  else say(JSON.stringify({ ...items[0], id }))
} else if (command === 'ideas') say(`ingested: ${readFileSync(0, 'utf8')}`)
else if (id === 'broken') wail('Error: tests fail')
else if (id === 'interrupted') wail('Interrupted', 130)
else if (id === 'hang') setInterval(() => undefined, 1000)
else say(`${values['dry-run'] ? 'would ' : ''}${command} ${id ?? ''}`.trim())
