/** `--json`, with every command there is. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { execa } from 'execa'
import { beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { testApi } from '../api/testing.js'
import { freePort } from '../embedded/ports.js'
import { onFileEnd } from '../test/support/fileEnd.js'
import { createProgram } from './program.js'
import { run } from './testing.js'

const { db, engine, propose, worker, policy } = await testApi()
const program = fileURLToPath(new URL('ops-loop.mjs', import.meta.url))
const folder = await mkdtemp(join(inject('testDir'), 'json-'))
const ids: Record<string, string> = {}

beforeAll(async () => {
  vi.stubEnv('DATABASE_URL', db.url)
  vi.stubEnv('OPS_ACTOR', 'ada')
  vi.stubEnv('OPS_TOKEN_SECRET', 'a secret of more than thirty-two characters')
  vi.stubEnv('LOG_LEVEL', 'silent')
  await policy('auto_approve', { enabled: true, max_risk_level: 'low' })
  await policy('proposal_caps', { daily_limit: 100 })
  await policy('proposal_caps', { daily_limit: 101 })
  const [event] = await engine.emitEvents([{ type: 'app:began', data: {} }])
  const dead = await propose({ title: 'Dies', risk_level: 'low' })
  await worker.fail()
  const [step] = await engine.listSteps({ mission_id: dead.mission_id ?? '' })
  const open = await propose({ title: 'Goes on', risk_level: 'low' })
  const [other] = await engine.listSteps({ mission_id: open.mission_id ?? '' })
  const waiting = await Promise.all([1, 2].map(() => propose({ title: 'Waits', risk_level: 'high' })))
  Object.assign(ids, {
    EVENT: event?.event_id,
    DEAD: step?.id,
    OPEN: other?.id,
    MISSION: open.mission_id,
    FIRST: waiting[0]?.proposal_id,
    SECOND: waiting[1]?.proposal_id,
  })
  await writeFile(join(folder, 'proposal_caps.json'), '{"daily_limit": 102}')
  await writeFile(join(folder, 'event.json'), '{"type": "app:began", "data": {}}')
})

/** A command line for each command that ends by itself, in an order in which they can be run. */
const LINES = [
  'heartbeat',
  'migrate',
  'doctor',
  'verify',
  'status',
  'events emit app:more',
  'events list',
  'events show EVENT',
  'proposals list',
  'proposals show FIRST',
  'proposals approve FIRST',
  'proposals reject SECOND',
  'policy validate CAPS',
  'policy diff CAPS',
  'policy test EVENT_FILE',
  'policy apply CAPS',
  'policy history',
  'policy rollback proposal_caps 1',
  'policy export',
  'policy delete services',
  'missions list',
  'missions show MISSION',
  'steps show OPEN',
  'steps retry DEAD',
  'steps cancel OPEN',
  'missions cancel MISSION',
  'dead list',
  'dead retry',
  'trace EVENT',
  'why EVENT',
  'alerts list',
  'alerts ack 01900000-0000-7000-8000-000000000000',
  'alerts silence queued_steps --minutes 5 --reason quiet',
  'invariants list',
  'invariants run',
  'backup --out BACKUP',
  'restore BACKUP --into postgres://127.0.0.1:1/none',
  'token mint --scope *:read --ttl 1h',
  'completion bash',
]
/** Looked at below, in test/start, and in policy.test.ts: they go on until they are stopped, or take long. */
const ELSEWHERE = ['start', 'api', 'worker', 'policy simulate']

function commandsOf(command: Command, path: string[] = []): string[] {
  if (command.commands.length === 0) return [path.join(' ')]
  return command.commands.flatMap((one) => commandsOf(one, [...path, one.name()]))
}

const words = (line: string) =>
  line
    .replace('EVENT_FILE', join(folder, 'event.json'))
    .replace('CAPS', join(folder, 'proposal_caps.json'))
    .replace('BACKUP', join(folder, 'backup'))
    .split(' ')
    .map((word) => ids[word] ?? word)

test('no command is left out here', () => {
  const known = commandsOf(createProgram({ json: false })).filter((name) => name !== 'complete')
  const covered = (name: string) =>
    ELSEWHERE.includes(name) || LINES.some((line) => line === name || line.startsWith(`${name} `))
  expect(known.filter((name) => !covered(name))).toEqual([])
})

describe('with --json', () => {
  test.each(LINES)('%s answers in JSON, or fails in JSON', async (line) => {
    const { exitCode, stdout, stderr } = await run(...words(line), '--json')
    expect([0, 1]).toContain(exitCode)
    if (stderr === '') return expect(() => JSON.parse(stdout), stdout).not.toThrow()
    expect(JSON.parse(stderr)).toMatchObject({
      error: expect.any(String),
      code: expect.stringMatching(/^OPS_\d{3}$/),
      details: expect.anything(),
    })
    // What fails here does so because this database has no such thing: an alert, a place to restore into.
    expect({ line, exitCode, stdout }).toEqual({
      line: expect.stringMatching(/^(alerts ack|restore)/),
      exitCode: 1,
      stdout: '',
    })
  })

  test('a worker says what came of its steps, and why it could not work', async () => {
    const work = (...args: string[]) =>
      execa({ reject: false })(process.execPath, [program, 'worker', ...args, '--json'])
    const [one, lost] = await Promise.all([work(), work('--executors', join(folder, 'none'))])
    expect(one.exitCode).toBe(0)
    expect(JSON.parse(one.stdout)).toMatchObject({ succeeded: expect.any(Number), undelivered: 0 })
    expect(lost).toMatchObject({ exitCode: 1, stdout: '' })
    expect(JSON.parse(lost.stderr)).toMatchObject({ error: expect.stringContaining(join(folder, 'none')) })
  })

  test('a control plane says where it answers', async () => {
    const api = spawn(process.execPath, [program, 'api', '--port', String(await freePort()), '--json'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    onFileEnd(async () => void api.kill('SIGKILL'))
    const [line] = await once(createInterface(api.stdout), 'line')
    const { url } = JSON.parse(String(line))
    expect((await fetch(`${url}/livez`)).status).toBe(200)
    api.kill('SIGTERM')
    expect(await once(api, 'exit')).toEqual([0, null])
  })
})
