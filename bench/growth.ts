/**
 * Does the cost of the hot verbs grow with finished work? Measures claim, complete, recover and gate in an empty database and in one
 * with millions of finished steps, in turn, and looks at every plan inside those functions for a scan of a large table.
 *
 *     npx tsx bench/growth.ts [--steps 5000000]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { migrate, seedPolicies } from '../embedded/migrate.js'
import { startPostgres } from '../embedded/postgres.js'

const STEPS_PER_MISSION = 10
const BATCH = 50
const ROUNDS = 20
const LARGE = [
  'ops_mission_steps',
  'ops_missions',
  'ops_mission_proposals',
  'ops_action_runs',
  'ops_agent_events',
]

const { values } = parseArgs({ options: { steps: { type: 'string', default: '5000000' } } })
const steps = Number(values.steps)
if (!Number.isInteger(steps) || steps < STEPS_PER_MISSION)
  throw new Error('--steps must be a whole number, at least 10')

const dataDir = await mkdtemp(join(tmpdir(), 'ops-loop-bench-'))
const server = await startPostgres({ dataDir })
const plans: string[] = []
const empty = await prepared('empty')
const loaded = await prepared('loaded')
try {
  console.log(`loading ${steps.toLocaleString('en')} finished steps …`)
  await loadFinished(loaded, steps)
  const stale = await compare()
  await loaded`vacuum (analyze)`
  const analyzed = await compare()

  console.table(
    Object.fromEntries(
      Object.entries(analyzed).map(([verb, { empty, loaded }]) => [
        verb,
        {
          'empty, ms': round(empty),
          'loaded, ms': round(loaded),
          ratio: round(loaded / empty),
          'ratio before ANALYZE': round((stale[verb]?.loaded ?? 0) / (stale[verb]?.empty ?? 1)),
        },
      ]),
    ),
  )
  const scans = await largeScans(loaded)
  console.log(
    scans.length === 0
      ? 'no plan scans a large table'
      : `plans that scan a large table:\n${scans.join('\n')}`,
  )
  process.exitCode = scans.length === 0 ? 0 : 1
} finally {
  await Promise.all([empty.end(), loaded.end()])
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
}

/** A database of that name with schema and policies, without caps that the bench would meet. */
async function prepared(name: string): Promise<postgres.Sql> {
  const owner = postgres(server.url(), { max: 1, onnotice: () => undefined })
  await owner`create database ${owner(name)} template postgres`
  await owner.end()
  await migrate(server.url(name))
  await seedPolicies(server.url(name))
  const sql = postgres(server.adminUrl(name), {
    max: 1,
    onnotice: (notice) => {
      if (notice.message?.includes('plan:')) plans.push(notice.message)
    },
  })
  await sql`update ops_policy set value = '{"daily_limit": 1000000}' where key = 'proposal_caps'`
  await sql`update ops_policy set value = '{"enabled": true}' where key = 'auto_approve'`
  return sql
}

/** Median milliseconds of one call of each verb, round by round in turn, so that whatever else the machine does hits both. */
async function compare(): Promise<Record<string, { empty: number; loaded: number }>> {
  const rounds: Record<'empty' | 'loaded', Record<string, number>>[] = []
  for (let i = 0; i < ROUNDS; i++)
    rounds.push({ empty: await oneRound(empty), loaded: await oneRound(loaded) })
  const verbs = Object.keys(rounds[0]?.empty ?? {})
  return Object.fromEntries(
    verbs.map((verb) => [
      verb,
      {
        empty: median(rounds.map((round) => round.empty[verb] ?? 0)),
        loaded: median(rounds.map((round) => round.loaded[verb] ?? 0)),
      },
    ]),
  )
}

async function oneRound(sql: postgres.Sql): Promise<Record<string, number>> {
  const template = sql.json({ title: 'bench', steps: [{ kind: 'noop' }] })
  const gate: number[] = []
  for (let i = 0; i < BATCH; i++) {
    gate.push(
      await timed(
        () => sql`select * from ops_create_proposal_and_maybe_autoapprove(null, 'bench', ${template})`,
      ),
    )
  }
  const claim = () => sql`select step_id, token from ops_claim_steps(null, array['noop'], ${BATCH})`
  let leases = await claim()
  const failing = await timed(
    () =>
      sql`select * from ops_fail_steps(${sql.json(leases.map((l) => ({ ...l, error: 'bench', retry_after_seconds: 0 })))})`,
  )
  const claiming = await timed(async () => {
    leases = await claim()
  })
  await sql`update ops_mission_steps set lease_expires_at = now() - interval '1 second' where status = 'running'`
  const recovering = await timed(() => sql`select * from ops_recover_expired_leases()`)
  await sql`update ops_mission_steps set run_at = now(), ready = true where status = 'queued'`
  leases = await claim()
  const completing = await timed(
    () => sql`select * from ops_complete_steps(${sql.json(leases.map((l) => ({ ...l })))})`,
  )
  return {
    gate: median(gate),
    claim: claiming,
    complete: completing,
    'fail (retry)': failing,
    recover: recovering,
  }
}

/** Finished missions with their steps, runs and events, written past the triggers: how they got there is not the question. */
async function loadFinished(sql: postgres.Sql, count: number): Promise<void> {
  const missions = Math.ceil(count / STEPS_PER_MISSION)
  const chunk = 50_000
  await sql`set session_replication_role = replica`
  for (let from = 0; from < missions; from += chunk) {
    const n = Math.min(chunk, missions - from)
    await sql`
      with proposal as (
        insert into ops_mission_proposals (source, status, template, approved_at, digest, cap_day)
        select 'bench', 'auto_approved', '{"title": "old", "steps": [{"kind": "noop"}]}', now(), 'x', null from generate_series(1, ${n}::int)
        returning id
      ), mission as (
        insert into ops_missions (proposal_id, status, title, source, steps_total, completed_at, started_at)
        select id, 'succeeded', 'old', 'bench', ${STEPS_PER_MISSION}, now(), now() from proposal returning id
      ), event as (
        insert into ops_agent_events (type, dedupe_key, mission_id, processed_at, depth)
        select 'mission:succeeded', 'mission:' || id || ':1', id, now(), 1 from mission
      ), step as (
        insert into ops_mission_steps (mission_id, kind, executor, status, key, position, reserved_at, completed_at, attempt, revision)
        select m.id, 'noop', 'noop', 'succeeded', 'step-' || p, p, now(), now(), 1, 3
        from mission m, generate_series(1, ${STEPS_PER_MISSION}) p returning id
      )
      insert into ops_action_runs (step_id, executor, status, completed_at, attempt)
      select id, 'noop', 'succeeded', now(), 1 from step`
  }
  await sql`set session_replication_role = origin`
}

/** Statements of one round that read a large table from end to end. */
async function largeScans(sql: postgres.Sql): Promise<string[]> {
  await sql`load 'auto_explain'`
  await sql`set auto_explain.log_min_duration = 0`
  await sql`set auto_explain.log_nested_statements = on`
  await sql`set client_min_messages = log`
  plans.length = 0
  await oneRound(sql)
  await sql`reset client_min_messages`
  const scan = new RegExp(`Seq Scan on (${LARGE.join('|')})`)
  const mine = /update ops_mission_steps set (lease_expires_at|run_at)/
  return [...new Set(plans.filter((plan) => scan.test(plan) && !mine.test(plan)))]
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

function median(list: number[]): number {
  const sorted = [...list].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

function round(value: number | undefined): number {
  return Math.round((value ?? 0) * 100) / 100
}
