import { readFile } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import postgres from 'postgres'
import { expect, test } from 'vitest'
import { githubDeliveries } from '../../embedded/deliveries.js'
import { stackPaths } from '../../embedded/stackPaths.js'
import { freshDataDir } from '../support/dataDir.js'
import { onFileEnd } from '../support/fileEnd.js'
import { partsOf, type Running, start } from './program.js'

/** The monitor's own events run beside those that the tests are about. */
const SUMMARY = /^\{"summary"/

/** The environment of the stack that runs on a data folder. */
async function connectionOf(dataDir: string): Promise<Record<string, string | undefined>> {
  return parseEnv(await readFile(stackPaths(dataDir).connection, 'utf8'))
}

async function databaseOf(dataDir: string): Promise<postgres.Sql> {
  const { DATABASE_URL = '' } = await connectionOf(dataDir)
  const sql = postgres(DATABASE_URL, { max: 1, onnotice: () => undefined })
  onFileEnd(() => sql.end({ timeout: 1 }))
  return sql
}

/** Everything at once, as when the machine loses power. */
async function losePower(dataDir: string, running: Running): Promise<void> {
  process.kill(running.pid, 'SIGSTOP')
  for (const pid of await partsOf(dataDir)) process.kill(pid, 'SIGKILL')
  await running.end('SIGKILL')
}

/**
 * The monitor's canaries go on beside what the tests are about: one may be under way just now, and one that a kill
 * interrupted fails by its lease. Neither is doubled.
 */
async function expectOneSuccessPerStep(sql: postgres.Sql): Promise<void> {
  const steps = await sql`
    with steps as (
      select s.kind, s.status, s.attempt, m.source is not distinct from 'canary' as is_canary,
        (select count(*)::int from ops_action_runs r where r.step_id = s.id and r.status = 'succeeded') as successes,
        (select array_agg(concat_ws(' ', r.status, r.error) order by r.attempt)
          from ops_action_runs r where r.step_id = s.id and r.status <> 'released') as ends
      from ops_mission_steps s join ops_missions m on m.id = s.mission_id)
    select * from steps
    where (status <> 'succeeded' or successes <> 1)
      and (is_canary and status in ('queued', 'running') and ends is null) is not true
      and (is_canary and status = 'failed' and ends = array['failed lease expired: the worker fell silent']) is not true`
  expect([...steps]).toEqual([])
}

test('killed at every stage of the demonstration, it goes on where it was: nothing lost, nothing doubled', async () => {
  const dataDir = await freshDataDir()
  for (const stage of [/Creating a Postgres/, /Playing/, /"github:push"/, /"pattern_id":"new-issue"/]) {
    const running = await start(dataDir, '--json')
    await running.line(stage)
    expect(await running.end('SIGKILL')).toBe('SIGKILL')
  }
  const powerless = await start(dataDir, '--json')
  // Or the end of it all: what outlived the kill before for a moment may have finished every step.
  await powerless.line(/"entity":"step"|^\{"summary"/)
  await losePower(dataDir, powerless)

  const running = await start(dataDir, '--json')
  const sql = await (async () => {
    await running.line(/Playing|Continuing/)
    const sql = await databaseOf(dataDir)
    // Leases that lost their worker run out by themselves after five minutes; we do not wait for it.
    await sql`update ops_mission_steps set lease_expires_at = now() where status = 'running'`
    return sql
  })()
  await running.line(SUMMARY)

  const delivered =
    await sql`select data ->> 'delivery_id' as id from ops_agent_events where depth = 0 and type like 'github:%'`
  expect(delivered.map(({ id }) => id).toSorted()).toEqual(
    githubDeliveries()
      .map(({ id }) => id)
      .toSorted(),
  )
  const proposals =
    await sql`select status, code, count(*)::int from ops_mission_proposals where source <> 'canary' group by status, code order by status, code`
  expect([...proposals]).toEqual([
    { status: 'pending', code: 'pending_approval', count: 2 },
    { status: 'rejected', code: 'cap_source', count: 1 },
    { status: 'auto_approved', code: 'auto_approved', count: 5 },
  ])
  const missions =
    await sql`select status, count(*)::int from ops_missions where source <> 'canary' group by status`
  expect([...missions]).toEqual([{ status: 'succeeded', count: 5 }])
  const ends =
    await sql`select count(*)::int from ops_agent_events where type = 'mission:succeeded' and processed_at is not null and data ->> 'source' <> 'canary'`
  expect([...ends]).toEqual([{ count: 5 }])
  await expectOneSuccessPerStep(sql)
  await sql.end()

  expect(await running.end('SIGINT')).toBe(0)
  expect(await partsOf(dataDir)).toEqual([])
}, 180_000)

test('killed while steps run, it records each of them once', async () => {
  const dataDir = await freshDataDir()
  const first = await start(dataDir, '--json', '--no-demo')
  await first.line(SUMMARY)
  await propose(dataDir, 1500)
  const sql = await databaseOf(dataDir)
  await until(async () => (await sql`select from ops_mission_steps where status = 'running'`).length === 3)
  await sql.end()
  // The worker, which lives on for a moment, finishes what it has begun.
  await first.end('SIGKILL')

  const second = await start(dataDir, '--json')
  await second.line(SUMMARY)
  const again = await databaseOf(dataDir)
  await expectOneSuccessPerStep(again)
  expect([
    ...(await again`select s.status, s.attempt from ops_mission_steps s join ops_missions m on m.id = s.mission_id where m.source <> 'canary'`),
  ]).toEqual(Array(3).fill({ status: 'succeeded', attempt: 1 }))
  await again.end()
  expect(await second.end('SIGTERM')).toBe(0)
  expect(await partsOf(dataDir)).toEqual([])
})

test('a second Ctrl-C does not wait for steps: they are handed back, and cost nothing', async () => {
  const dataDir = await freshDataDir()
  const running = await start(dataDir, '--json', '--no-demo')
  await running.line(SUMMARY)
  await propose(dataDir, 600_000)
  const sql = await databaseOf(dataDir)
  await until(async () => (await sql`select from ops_mission_steps where status = 'running'`).length === 3)
  await sql.end()
  const ended = running.end('SIGINT')
  await running.line(/Stopping/)
  await running.end('SIGTERM')
  expect(await ended).toBe(0)
  expect(running.output()).toMatch(/Hurrying/)

  const again = await start(dataDir, '--json')
  await again.line(/Continuing: \d+ events? to match, [34] steps to run/)
  await losePower(dataDir, again)
})

async function propose(dataDir: string, sleep_ms: number): Promise<void> {
  const { OPS_API_URL, OPS_API_KEY } = await connectionOf(dataDir)
  const steps = ['a', 'b', 'c'].map((key) => ({ key, kind: 'noop', params: { sleep_ms }, depends_on: [] }))
  const response = await fetch(`${OPS_API_URL}/api/ops/proposals`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${OPS_API_KEY}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ template: { title: 'Three slow steps', risk_level: 'low', steps } }),
  })
  expect(response.status).toBe(201)
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}
