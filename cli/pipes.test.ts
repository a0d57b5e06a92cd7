/** What reads the answer may end before all is written: `ops-loop … | head`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const program = fileURLToPath(new URL('ops-loop.mjs', import.meta.url))

test.each([
  ['an answer', ['completion', 'bash']],
  ['help', ['--help']],
])('%s that nobody reads is no failure', async (_, args) => {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
  expect({ said, code }).toEqual({ said: '', code: 0 })
})

test.runIf(process.platform === 'linux')('an answer that cannot be written is one', async () => {
  const child = spawn(process.execPath, [program, 'completion', 'bash', '--json'], {
    stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
  })
  if (child.stderr === null) throw new Error('expected a pipe')
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'close')])
  expect({ error: JSON.parse(said), code }).toMatchObject({
    error: { error: expect.stringContaining('ENOSPC'), code: 'OPS_000' },
    code: 1,
  })
})
