/**
 * What the watch costs with millions of finished steps: one round of all checks, one look at all rules and one canary, with their share
 * of the five minutes (or the minute) between two of them. Exits 1 when together they take 1 % of the database's time or more.
 *
 *     npx tsx bench/monitor.ts [--steps 5000000]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import postgres from 'postgres'
import { migrate, seedPolicies } from '../embedded/migrate.js'
import { startPostgres } from '../embedded/postgres.js'

const STEPS_PER_MISSION = 10
const CHUNK = 50_000
const LIVE_MISSIONS = 2000
const ROUNDS = 9

const { values } = parseArgs({ options: { steps: { type: 'string', default: '5000000' } } })
const steps = Number(values.steps)
if (!Number.isInteger(steps) || steps < STEPS_PER_MISSION)
  throw new Error('--steps must be a whole number, at least 10')

const dataDir = await mkdtemp(join(tmpdir(), 'ops-loop-bench-'))
const server = await startPostgres({ dataDir })
await migrate(server.url())
await seedPolicies(server.url())
const sql = postgres(server.adminUrl(), { max: 1, onnotice: () => undefined })
try {
  console.log(`loading ${steps.toLocaleString('en')} finished steps …`)
  await load(Math.ceil(steps / STEPS_PER_MISSION))
  const stale = await measure()
  await sql`vacuum (analyze)`
  const analyzed = await measure()
  console.table({ 'before ANALYZE, ms': stale, 'after, ms': analyzed })
  const slowest = await sql<{ name: string; duration_ms: string; outcome: string }[]>`
    select name, duration_ms, outcome from ops_check_runs order by duration_ms desc limit 5`
  console.table(slowest.map((row) => ({ ...row })))
  // A minute holds a look at the rules, and a fifth of a round and of a canary.
  const share = Math.max(...[stale, analyzed].map((m) => (m.rules + (m.checks + m.canary) / 5) / 60_000))
  console.log(`${(100 * share).toFixed(3)} % of the time of one connection`)
  process.exitCode = share < 0.01 ? 0 : 1
} finally {
  await sql.end()
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
}

/** Median milliseconds of each part. */
async function measure(): Promise<{ checks: number; rules: number; canary: number }> {
  const rounds: { checks: number; rules: number; canary: number }[] = []
  for (let i = 0; i < ROUNDS; i++) {
    await sql`delete from ops.watch`
    rounds.push({
      canary: await timed(() => sql`select ops_send_canary()`),
      checks: await timed(() => sql`select ops_begin_checks(), (select count(*) from ops_run_checks())`),
      rules: await timed(() => sql`select ops_evaluate_alerts()`),
    })
  }
  const median = (part: 'checks' | 'rules' | 'canary') =>
    rounds.map((round) => round[part]).sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? Number.NaN
  return { checks: median('checks'), rules: median('rules'), canary: median('canary') }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return Math.round(10 * (performance.now() - begin)) / 10
}

/** Finished missions, written past the triggers, all of the last day; and on top of them missions that are at work. */
async function load(missions: number): Promise<void> {
  await sql`update ops_policy set value = '{}' where key = 'proposal_caps'`
  await sql`update ops_policy set value = '{"enabled": true}' where key = 'auto_approve'`
  await sql`set session_replication_role = replica`
  for (let from = 0; from < missions; from += CHUNK) {
    const n = Math.min(CHUNK, missions - from)
    await sql`
      with proposal as (
        insert into ops_mission_proposals (source, status, template, approved_at, digest)
        select 'bench', 'auto_approved', '{"title": "old", "steps": [{"kind": "noop"}]}', now(), 'x' from generate_series(1, ${n}::int)
        returning id, template
      ), decision as (
        insert into ops.decisions (proposal_id, decision, digest, actor, actor_context)
        select id, 'auto_approved', 'x', 'bench', '{}' from proposal
      ), mission as (
        insert into ops_missions (proposal_id, status, title, source, steps_total, completed_at, started_at)
        select id, 'succeeded', 'old', 'bench', ${STEPS_PER_MISSION}, now(), now() from proposal returning id
      ), event as (
        insert into ops_agent_events (type, dedupe_key, mission_id, processed_at, depth)
        select 'mission:succeeded', 'mission:' || id || ':1', id, now(), 1 from mission returning id
      ), verdict as (
        insert into ops.event_verdicts (event_id) select id from event
      ), step as (
        insert into ops_mission_steps (mission_id, kind, executor, status, key, position, reserved_at, completed_at, attempt, revision)
        select m.id, 'noop', 'noop', 'succeeded', 'step-' || p, p, now(), now(), 1, 3
        from mission m, generate_series(1, ${STEPS_PER_MISSION}) p returning id
      )
      insert into ops_action_runs (step_id, executor, status, completed_at, attempt)
      select id, 'noop', 'succeeded', now(), 1 from step`
  }
  await sql`set session_replication_role = origin`
  const template = sql.json({
    title: 'live',
    steps: Array.from({ length: STEPS_PER_MISSION }, () => ({ kind: 'noop' })),
  })
  for (let i = 0; i < LIVE_MISSIONS; i++)
    await sql`select ops_create_proposal_and_maybe_autoapprove(null, 'bench', ${template})`
}
