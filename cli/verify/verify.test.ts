/** The daily look: each line is shown to speak up on planted trouble, and to be content without. */
import { SignJWT } from 'jose'
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { beat } from '../../api/heartbeat.js'
import { createLog } from '../../api/log.js'
import { testConfig } from '../../api/testing.js'
import { connectEngine } from '../../engine/index.js'
import packageJson from '../../package.json' with { type: 'json' }
import { freshDatabase, type TestDatabase, urlFor } from '../../test/support/database.js'
import type { Finding } from '../doctor/finding.js'
import { run } from '../testing.js'
import { checkKeys } from './keys.js'
import { verifyTable } from './table.js'

let database: TestDatabase

/** A loop that is well: it beats, its checks have run, a worker is there, a backup was reported. */
beforeEach(async () => {
  database = await freshDatabase()
  const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  const worker = connectEngine({ databaseUrl: urlFor(database, 'ops_worker') })
  await worker.registerWorker({
    name: 'vps-1',
    version: packageJson.version,
    executors: ['noop'],
    concurrency: 4,
    schema_version: 99,
  })
  await worker.close()
  await database.sql`delete from ops.watch`
  await beat({ engine, config: testConfig, log: createLog('silent') })
  await engine.report('backup', 1, { since: null })
  await engine.close()
  vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
  return () => database.drop()
})
afterAll(() => vi.unstubAllEnvs())

async function verify(): Promise<{ exitCode: number; findings: Finding[] }> {
  const { exitCode, stdout, stderr } = await run('verify', '--json')
  expect(stderr).toBe('')
  return { exitCode, findings: JSON.parse(stdout).findings }
}

const LINES = ['services', 'invariants', 'canary', 'alerts', 'schedules', 'backup', 'keys']
const policy = (key: string, value: object) =>
  database.sql`insert into ops_policy (key, value) values (${key}, ${JSON.stringify(value)}::text::jsonb)
    on conflict (key) do update set value = excluded.value`

test('a loop that is well has nothing to complain about', async () => {
  const { exitCode, findings } = await verify()
  expect(findings.filter(({ status }) => status !== 'ok')).toEqual([])
  expect(exitCode).toBe(0)
  const lines = findings.map(({ check }) => check)
  expect(LINES.filter((line) => !lines.includes(line))).toEqual([])
  const { stdout } = await run('verify')
  expect(stdout).toMatch(/^line +verdict +found +next action\n/)
  expect(stdout).toMatch(/^canary +ok +the last one was sent .* nothing$/m)
  expect(stdout).toMatch(/\n\nAll is well\.\n$/)
})

describe('it sees', () => {
  test.each<[string, string, Finding['status'], () => Promise<unknown>, RegExp]>([
    [
      'a service that is down',
      'services',
      'broken',
      async () => {
        await policy('services', { services: { billing: { url: 'http://x', breaker: { failures: 1 } } } })
        await database.sql`select ops_record_service_check('billing', false, 500, 3, 'answered 500')`
      },
      /billing: answered 500; 0 steps wait/,
    ],
    [
      'a service that stumbles',
      'services',
      'warning',
      async () => {
        await policy('services', { services: { billing: { url: 'http://x' } } })
        await database.sql`select ops_record_service_check('billing', false, 500, 3, 'answered 500')`
      },
      /billing: answered 500$/,
    ],
    [
      'a service that nobody has asked',
      'services',
      'warning',
      () => policy('services', { services: { billing: { url: 'http://x' } } }),
      /nobody has asked billing/,
    ],
    [
      'a violation',
      'invariants',
      'broken',
      () =>
        database.sql`insert into ops.invariant_violations (check_name, severity, message) values ('cap_kept', 'critical', 'eleven of ten')`,
      /cap_kept: eleven of ten/,
    ],
    [
      'a canary that did not come back',
      'canary',
      'broken',
      () =>
        database.sql`insert into ops.canaries (status, sent_at) values ('missing', now() + interval '1 second')`,
      /did not come back/,
    ],
    [
      'canaries that are not sent any more',
      'canary',
      'broken',
      () =>
        database.sql`update ops.canaries set sent_at = now() - interval '12 minutes', status = 'returned'`,
      /sent 12 min ago/,
    ],
    [
      'an alert',
      'alerts',
      'broken',
      () =>
        database.sql`insert into ops.alerts (rule, severity, summary) values ('queued_events', 'critical', 'too many events')`,
      /P\d too many events/,
    ],
    [
      'a schedule that is late',
      'schedules',
      'broken',
      async () => {
        await policy('schedules', {
          schedules: [{ id: 'daily', cron: '0 9 * * *', event: { type: 'app:daily' } }],
        })
        await database.sql`update ops.schedules set next_at = now() - interval '1 hour'`
      },
      /daily has been due since/,
    ],
    [
      'an old backup',
      'backup',
      'warning',
      () =>
        database.sql`update ops.reports set reported_at = now() - interval '2 days' where name = 'backup'`,
      /2 d ago/,
    ],
    [
      'that there never was a backup',
      'backup',
      'warning',
      () => database.sql`delete from ops.reports where name = 'backup'`,
      /none was ever reported/,
    ],
  ])('%s', async (_, line, status, plant, message) => {
    await plant()
    const { exitCode, findings } = await verify()
    const found = findings.filter(({ check }) => check === line)
    expect(found).toMatchObject([
      { status, message: expect.stringMatching(message), hint: expect.any(String) },
    ])
    if (status === 'broken') expect(exitCode).toBe(1)
  })
})

describe('keys', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  const ending = (days: number) =>
    new SignJWT({ role: 'service_role' })
      .setProtectedHeader({ alg: 'HS256' })
      .setExpirationTime(now / 1000 + days * 86_400)
      .sign(new TextEncoder().encode('a secret of more than thirty-two characters'))

  test.each([
    [40, 'ok', 'none ends soon'],
    [29, 'warning', 'SUPABASE_SECRET_KEY expires in 29 days'],
    [-1, 'broken', 'SUPABASE_SECRET_KEY has expired'],
  ])('that ends in %s days', async (days, status, message) => {
    expect(checkKeys({ SUPABASE_SECRET_KEY: await ending(days) }, now)).toMatchObject([{ status, message }])
  })

  test('that are no tokens never end', () => {
    expect(checkKeys({ SUPABASE_SECRET_KEY: 'sb_secret_abc', OPS_API_KEY: 'a.b.c' }, now)).toMatchObject([
      { status: 'ok' },
    ])
  })

  test('whose change nobody has finished, by name alone', () => {
    const found = checkKeys({ OPS_API_KEY: 'new', OPS_API_KEY_PREVIOUS: 'hush' }, now)
    expect(found).toMatchObject([
      { status: 'warning', message: expect.stringContaining('OPS_API_KEY_PREVIOUS') },
    ])
    expect(JSON.stringify(found)).not.toContain('hush')
  })
})

describe('the table', () => {
  const findings: Finding[] = [
    { check: 'database', status: 'ok', message: 'it answers' },
    {
      check: 'backup',
      status: 'warning',
      message: 'the last one was 2 d ago',
      hint: 'Make one: ops-loop backup --verify',
    },
    { check: 'workers', status: 'broken', message: 'none is live', hint: 'Start one.' },
  ]

  test('has a verdict and the next action for each line', () => {
    expect(verifyTable(findings, 100).split('\n')).toEqual([
      'line      verdict  found                                     next action',
      'database  ok       it answers                                nothing',
      'backup    warning  the last one was 2 d ago                  Make one: ops-loop backup --verify',
      'workers   BROKEN   none is live                              Start one.',
      '',
      '1 thing broken, 1 warning',
    ])
  })

  test('keeps within the width that there is, and loses no word', () => {
    const long = 'word '.repeat(40).trim()
    const text = verifyTable(
      [{ check: 'a', status: 'broken', message: long, hint: `${long} ${'x'.repeat(90)}` }],
      90,
    )
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(90)
    expect(text.match(/word/g)).toHaveLength(80)
    expect(text.replace(/[^x]/g, '')).toContain('x'.repeat(90))
  })
})
