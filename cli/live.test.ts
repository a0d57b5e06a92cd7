import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { connectEngine } from '../engine/index.js'
import { freshDatabase, urlFor } from '../test/support/database.js'
import { onFileEnd } from '../test/support/fileEnd.js'

const database = await freshDatabase()
const program = fileURLToPath(new URL('ops-loop.mjs', import.meta.url))

/** `status --watch` as a process, on a terminal of its own (script gives it one) or on a pipe. */
function watch({ terminal, options = [] }: { terminal: boolean; options?: string[] }) {
  const command = [process.execPath, program, 'status', '--watch', '--every', '1', ...options]
  const [file = '', ...args] = terminal
    ? // exec: some shells would stay in between, hear Ctrl-C themselves and answer for the program.
      ['script', '-qec', `exec ${command.map((word) => `'${word}'`).join(' ')}`, '/dev/null']
    : command
  // A shell would complain of a locale that the machine does not have, on the same terminal.
  const env = {
    ...process.env,
    DATABASE_URL: urlFor(database, 'ops_operator'),
    TERM: 'xterm',
    LC_ALL: 'C',
  }
  const child = spawn(file, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  onFileEnd(async () => void child.kill('SIGKILL'))
  let output = ''
  const heard = new Set<() => void>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    for (const listener of heard) listener()
  })
  const shows = (text: string | RegExp) =>
    new Promise<void>((resolve) => {
      const listener = () => new RegExp(text).test(output) && resolve()
      heard.add(listener)
      listener()
    })
  const ended = once(child, 'close').then(([code]) => code)
  return { child, shows, ended, output: () => output }
}

async function enqueue(): Promise<void> {
  const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  const template = { title: 'Queued', risk_level: 'low', steps: [{ kind: 'noop' }] } as const
  await engine.createProposal({ source: 'api', template })
  await engine.close()
}

describe('status --watch', () => {
  test.runIf(process.platform === 'linux')(
    'draws queues and workers over themselves on a terminal; Ctrl-C ends it and gives the cursor back',
    async () => {
      const { child, shows, ended, output } = watch({ terminal: true })
      await shows('No worker was seen')
      await enqueue()
      await shows(/noop +1 /)
      child.stdin.write('\x03')
      expect(await ended).toBe(0)
      // Lines that are too wide for the terminal must not become two: they would push the view off the screen.
      expect(output().startsWith('\x1b[?25l\x1b[?7l')).toBe(true)
      expect(output().trimEnd().endsWith('\x1b[?7h\x1b[?25h')).toBe(true)
      expect(output()).toContain('\x1b[H')
    },
  )

  test('writes lines where there is no terminal, and ends with 0 on SIGINT', async () => {
    const { child, shows, ended, output } = watch({ terminal: false })
    await shows(/healthy[^\n]*\n[^\n]*healthy/)
    child.kill('SIGINT')
    expect(await ended).toBe(0)
    expect(output()).not.toContain('\x1b')
    expect(output()).toMatch(/^\S+ healthy events=\d+ .* workers=0 heartbeat="never"\n/)
  })

  test('writes a line of JSON each time with --json', async () => {
    const { child, shows, ended, output } = watch({ terminal: false, options: ['--json'] })
    await shows(/\n/)
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    const [first = ''] = output().split('\n')
    expect(JSON.parse(first)).toMatchObject({ database: 'connected', workers: [] })
  })
})
