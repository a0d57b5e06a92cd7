import { chmod, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { connectEngine } from '../../engine/index.js'
import packageJson from '../../package.json' with { type: 'json' }
import {
  adminUrlFor,
  freshDatabase,
  startRest,
  type TestDatabase,
  urlFor,
} from '../../test/support/database.js'
import { run } from '../testing.js'
import { checkEnvironment } from './environment.js'
import type { Finding } from './finding.js'
import { checkRoom, checkSchema } from './installation.js'
import { checkWorkers } from './loop.js'

/** A stack where all is well: a heartbeat, a worker, the default policies. */
let database: TestDatabase

beforeEach(async () => {
  database = await freshDatabase()
  const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  await engine.recordHeartbeat(true, {})
  await engine.registerWorker({
    name: 'vps-1',
    version: packageJson.version,
    executors: ['noop'],
    concurrency: 4,
    schema_version: 99,
  })
  await engine.close()
  vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_operator'))
})
afterEach(() => database.drop())
afterAll(() => vi.unstubAllEnvs())

async function doctor(): Promise<{ exitCode: number; troubles: Finding[]; checks: string[] }> {
  const { exitCode, stdout } = await run('doctor', '--json')
  const { findings }: { findings: Finding[] } = JSON.parse(stdout)
  const troubles = findings.filter(({ status }) => status !== 'ok')
  return { exitCode, troubles, checks: [...new Set(findings.map(({ check }) => check))] }
}

const CHECKS = [
  'environment',
  'connection',
  'schema',
  'rights',
  'connections',
  'clock',
  'policies',
  'control',
  'heartbeat',
  'workers',
]

describe('where all is well, doctor has nothing to complain about', () => {
  test('over Postgres', async () => {
    expect(await doctor()).toEqual({ exitCode: 0, troubles: [], checks: CHECKS })
    const { stdout } = await run('doctor')
    expect(stdout).toMatch(/✓ connection +direct[\s\S]*✓ workers +1 worker live\n\nAll is well\.\n$/)
  })

  test('behind a transaction pooler that is announced', async () => {
    vi.stubEnv('DATABASE_URL', `${urlFor(database, 'ops_operator')}?pgbouncer=true`)
    expect(await doctor()).toEqual({ exitCode: 0, troubles: [], checks: CHECKS })
  })

  test('over PostgREST', async () => {
    const rest = await startRest(database)
    vi.stubEnv('DATABASE_URL', '')
    vi.stubEnv('SUPABASE_URL', rest.url)
    vi.stubEnv('SUPABASE_SECRET_KEY', rest.serviceKey)
    expect(await doctor()).toEqual({ exitCode: 0, troubles: [], checks: CHECKS })
  })
})

/** As the database's owner. */
const sql = (text: string) => () => database.sql.unsafe(text)

async function asSuperuser(text: string): Promise<void> {
  const { default: postgres } = await import('postgres')
  const admin = postgres(adminUrlFor({ name: 'postgres' }), { max: 1, onnotice: () => {} })
  await admin.unsafe(text)
  await admin.end()
}

const queue =
  (kind: string, columns = '') =>
  async () => {
    await database.sql.unsafe(
      `update ops_policy set value = value || '{"allowed_step_kinds": ["${kind}"]}' where key = 'auto_approve'`,
    )
    const template = { title: 'Queued', risk_level: 'low', steps: [{ kind }] }
    const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
    await engine.createProposal({ source: 'test', template })
    await engine.close()
    if (columns) await database.sql.unsafe(`update ops_mission_steps set ${columns}`)
  }

/** A step whose worker is gone. */
async function abandoned(): Promise<void> {
  await queue('noop')()
  const engine = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  const [worker] = await database.sql`select id from ops.workers`
  await engine.claimSteps({ worker_id: worker?.id, executors: ['noop'], limit: 1 })
  await engine.close()
  await database.sql`update ops_mission_steps set lease_expires_at = now() - interval '6 minutes'`
}

describe('doctor sees', () => {
  test.each<
    [
      trouble: string,
      check: string,
      status: Finding['status'],
      plant: () => Promise<unknown>,
      message: RegExp,
    ]
  >([
    [
      'a database that is not migrated as far',
      'schema',
      'broken',
      sql("delete from ops.migrations where version = '0002'"),
      /has schema 1, this program needs 2/,
    ],
    [
      'a database that is newer',
      'schema',
      'broken',
      sql("insert into ops.migrations (version, name) values ('0099', 'x')"),
      /has schema 99/,
    ],
    [
      'a right that is missing',
      'rights',
      'broken',
      sql('revoke execute on function ops_renew_steps from ops_worker'),
      /missing \(ops_worker: ops_renew_steps\)/,
    ],
    [
      'a function that anybody may call',
      'rights',
      'broken',
      sql('grant execute on function ops_health() to anon'),
      /public key may use anon: ops_health/,
    ],
    [
      'a table that anybody may read',
      'rights',
      'broken',
      sql('grant select on ops_policy to authenticated'),
      /authenticated: ops_policy/,
    ],
    [
      'a table without row level security',
      'rights',
      'broken',
      sql('alter table ops_missions disable row level security'),
      /is off for public\.ops_missions/,
    ],
    [
      'a database that takes no writes',
      'rights',
      'broken',
      () => asSuperuser(`alter database ${database.name} set default_transaction_read_only = on`),
      /no writes/,
    ],
    ['clocks that differ a little', 'clock', 'warning', sql(clock('20 seconds')), /differ by (19|2\d) s/],
    ['clocks that differ a lot', 'clock', 'broken', sql(clock('-3 minutes')), /differ by (179|18\d) s/],
    [
      'a policy that nothing reads',
      'policies',
      'warning',
      unchecked("insert into ops_policy (key, value) values ('colour', '{}')"),
      /"colour" is not one of/,
    ],
    [
      'a policy that is not valid',
      'policies',
      'broken',
      unchecked(`update ops_policy set value = '{"max_dept": 3}' where key = 'control'`),
      /"control" is not valid: max_dept/,
    ],
    [
      'a pattern that is out of service',
      'policies',
      'broken',
      unchecked(
        `update ops_policy set value = '{"patterns": [{"id": "bad", "event_type": "a", "when": "event.data.x ==", "template": {"title": "t", "steps": [{"kind": "noop"}]}}]}' where key = 'reaction_matrix'`,
      ),
      /pattern "bad" is out of service/,
    ],
    [
      'policies that were never seeded',
      'policies',
      'warning',
      sql("delete from ops_policy where key = 'auto_approve'"),
      /no policy "auto_approve"/,
    ],
    [
      'a switch that was forgotten',
      'control',
      'warning',
      sql(
        `update ops_policy set value = '{"pause": {"claims": true, "executors": ["http"]}}' where key = 'control'`,
      ),
      /paused: claims, executor http|paused: executor http, claims/,
    ],
    [
      'a copy that was restored from a backup',
      'control',
      'broken',
      sql("insert into ops.homes (identity, actor) values ('elsewhere', '{}')"),
      /restored copy/,
    ],
    [
      'that there is no heartbeat',
      'heartbeat',
      'broken',
      sql('delete from ops.heartbeats'),
      /never been one/,
    ],
    [
      'a heartbeat that stopped',
      'heartbeat',
      'broken',
      sql("update ops.heartbeats set at = at - interval '12 minutes'"),
      /last one was 12 min ago/,
    ],
    [
      'a heartbeat that failed',
      'heartbeat',
      'broken',
      sql(`update ops.heartbeats set ok = false, report = '{"errors": [{"message": "no room"}]}'`),
      /failed: no room/,
    ],
    [
      'events that wait for long',
      'heartbeat',
      'warning',
      sql("insert into ops_agent_events (type, created_at) values ('a:b', now() - interval '20 minutes')"),
      /waited for 20 min/,
    ],
    [
      'that no worker is there',
      'workers',
      'warning',
      sql("update ops.workers set last_seen_at = last_seen_at - interval '3 minutes'"),
      /none is running/,
    ],
    ['steps that no worker can run', 'workers', 'broken', queue('http'), /no live worker has executor http/],
    [
      'steps that wait for long',
      'workers',
      'warning',
      queue('noop', "run_at = now() - interval '20 minutes'"),
      /of noop have waited/,
    ],
    [
      'a worker of another version',
      'workers',
      'warning',
      sql("update ops.workers set version = '0.0.9'"),
      /vps-1 \(0\.0\.9\)/,
    ],
    ['leases that nobody recovers', 'workers', 'broken', abandoned, /1 lease ran out/],
  ])('%s', async (_, check, status, plant, message) => {
    await plant()
    const { exitCode, troubles } = await doctor()
    expect(troubles).toEqual([
      { check, status, message: expect.stringMatching(message), hint: expect.stringMatching(/\.$/) },
    ])
    expect(exitCode).toBe(status === 'broken' ? 1 : 0)
  })

  test('a database that is away, and says no more than that', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://ada:secret@127.0.0.1:1/postgres')
    const { exitCode, troubles } = await doctor()
    expect(exitCode).toBe(1)
    expect(troubles).toEqual([expect.objectContaining({ check: 'connection', status: 'broken' })])
  })

  test('a login that may not ask', async () => {
    vi.stubEnv('DATABASE_URL', urlFor(database, 'ops_worker'))
    const { exitCode, troubles } = await doctor()
    expect(exitCode).toBe(1)
    expect(troubles).toEqual([
      expect.objectContaining({ check: 'connection', hint: expect.stringContaining('ops_operator') }),
    ])
  })

  test('a schema that is not there', async () => {
    const empty = await freshDatabase({ empty: true })
    vi.stubEnv('DATABASE_URL', empty.url)
    const { troubles } = await doctor()
    expect(troubles).toEqual([
      expect.objectContaining({ message: expect.stringContaining('npm run migrate') }),
    ])
  })

  test('environment variables that are wrong', async () => {
    vi.stubEnv('OPS_EVENT_BATCH_SIZE', 'many')
    const { exitCode, troubles } = await doctor()
    vi.stubEnv('OPS_EVENT_BATCH_SIZE', undefined)
    expect(exitCode).toBe(1)
    expect(troubles).toEqual([
      expect.objectContaining({
        check: 'environment',
        message: expect.stringContaining('OPS_EVENT_BATCH_SIZE'),
      }),
    ])
  })

  test('keys that can be guessed, and a file that others may read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ops-loop-doctor-'))
    const file = join(folder, '.env')
    await writeFile(file, 'A=b\n', { mode: 0o600 })
    vi.stubEnv('OPS_API_KEY', 'k'.repeat(16))
    expect(checkEnvironment(folder)).toMatchObject([{ status: 'ok' }])
    vi.stubEnv('OPS_API_KEY', 'short')
    await chmod(file, 0o644)
    expect(checkEnvironment(folder)).toMatchObject([
      { status: 'ok' },
      { status: 'warning', message: expect.stringMatching(/^OPS_API_KEY can be guessed/) },
      { status: 'warning', hint: `Run chmod 600 ${file}` },
    ])
    vi.stubEnv('OPS_API_KEY', undefined)
  })
})

test('a Postgres that is too old, and connections that run out', () => {
  const health = { schema_version: 2, postgres_version: '14.9' }
  expect(checkSchema(health, 2).at(-1)).toMatchObject({
    status: 'broken',
    message: 'Postgres 14.9 is too old',
  })
  expect(checkRoom({ connections: { used: 79, most: 100 } })).toMatchObject([{ status: 'ok' }])
  expect(checkRoom({ connections: { used: 80, most: 100 } })).toMatchObject([{ status: 'warning' }])
})

test('what is blocked on purpose is no trouble', () => {
  const queued = { queued: 3, scheduled: 0, running: 0, oldest_seconds: 9999, live_workers: 0, blocked: true }
  const worker = {
    id: '',
    name: 'a',
    version: '1',
    executors: [],
    concurrency: 1,
    running: 0,
    live: true,
    registered_at: '',
    last_seen_at: '',
  }
  const overview = {
    now: '',
    counted_up_to: 10_000,
    executors: [{ executor: 'http', ...queued }],
    workers: [worker],
    expired_leases: 0,
  }
  expect(checkWorkers(overview, '1')).toMatchObject([{ status: 'ok' }])
})

function clock(offset: string): string {
  return `create or replace function ops.now() returns timestamptz language sql as $$ select clock_timestamp() + interval '${offset}' $$;
    update ops.heartbeats set at = ops.now(); update ops.workers set last_seen_at = ops.now()`
}

/** As somebody does who knows how to get around the check. */
function unchecked(statement: string) {
  return sql(`alter table ops_policy disable trigger user;
    ${statement};
    alter table ops_policy enable trigger user`)
}
