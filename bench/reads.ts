/**
 * Do views, reads and the archive stay fast over millions of finished steps? Loads a hundred days of finished work, then times every
 * view `ops_*` as a reader, what asks for single rows or pages, and what runs now and then, and lists the plans that read a large table
 * from end to end. Exits 1 when one does, or when anything takes longer than --limit milliseconds once ANALYZE has run.
 *
 *     npx tsx bench/reads.ts --help
 */
import { Command } from 'commander'
import postgres from 'postgres'
import { cancellable, interruptible, tenths, wholeNumber } from './harness/options.js'
import { startServer } from './harness/server.js'

const STEPS_PER_MISSION = 10
const DAYS = 100
const CHUNK = 20_000
const LIVE_MISSIONS = 500
const ROUNDS = 5

interface Options {
  steps: number
  limit: number
}

/** The superuser's session, in which everything is done. */
interface Session {
  sql: postgres.Sql
  /** Plans that Postgres has told it. */
  plans: string[]
  signal: AbortSignal
}

const program = new Command('npx tsx bench/reads.ts')
  .description(
    'Times views, reads and the archive over a hundred days of finished work, on an embedded Postgres 17.',
  )
  .option('--steps <n>', 'finished steps', wholeNumber(STEPS_PER_MISSION, 999_999_999), 10_000_000)
  .option('--limit <ms>', 'milliseconds that nothing may take longer than', wholeNumber(1, 999_999), 2_000)
const options = program.parse().opts<Options>()
await interruptible(bench)

async function bench(signal: AbortSignal): Promise<void> {
  const server = await startServer()
  const plans: string[] = []
  try {
    const { adminUrl } = await server.ourDatabase()
    const onnotice = ({ message }: postgres.Notice) =>
      void (message?.includes('plan:') && plans.push(message))
    const sql = postgres(adminUrl, { max: 1, onnotice })
    try {
      await report({ sql, plans, signal }, options)
    } finally {
      await sql.end()
    }
  } finally {
    await server.stop()
  }
}

async function report(session: Session, { steps, limit }: Options): Promise<void> {
  console.log(`storing ${steps.toLocaleString('en')} finished steps of ${DAYS} days …`)
  await load(session, Math.ceil(steps / STEPS_PER_MISSION))
  const questions = await ask(session)
  console.log('measuring before ANALYZE …')
  const stale = await measure(session, questions)
  await cancellable(session.sql`vacuum (analyze)`, session.signal)
  console.log('measuring after ANALYZE …')
  const analyzed = await measure(session, questions)
  const slow: string[] = []
  const table: Record<string, object> = {}
  for (const [question, after] of Object.entries(analyzed)) {
    table[question] = { 'before ANALYZE, ms': stale[question], 'after, ms': after }
    if (after > limit) slow.push(question)
  }
  console.table(table)
  const scans = await largeScans(session, questions)
  console.log(
    scans.length === 0 ? 'no plan scans a large table' : `plans that scan a large table: ${scans.join(', ')}`,
  )
  console.log(slow.length === 0 ? `nothing takes ${limit} ms` : `over ${limit} ms: ${slow.join(', ')}`)
  process.exitCode = scans.length + slow.length === 0 ? 0 : 1
}

/** What is timed, by its name. Whatever changes something is undone. */
async function ask({ sql }: Session): Promise<Record<string, string>> {
  const views = await sql<{ name: string }[]>`
    select viewname as name from pg_views where schemaname = 'public' and viewname like 'ops\\_%' order by 1`
  const [old] = await sql<{ event: string; run: string; mission: string }[]>`
    select e.id as event, r.id as run, m.id as mission from ops_agent_events e
    join ops_agent_reactions x on x.event_id = e.id join ops_mission_proposals p on p.reaction_id = x.id
    join ops_missions m on m.proposal_id = p.id join ops_mission_steps s on s.mission_id = m.id join ops_action_runs r on r.step_id = s.id
    order by e.id limit 1`
  if (!old) throw new Error('nothing was loaded')
  const statuses = ['queued', 'waiting', 'running', 'failed', 'cancelled']
  return {
    ...Object.fromEntries(views.map(({ name }) => [name, `select * from ${name}`])),
    // Lists everything there ever was; readers name a window.
    ops_reactions_and_shadows: `select * from ops_reactions_and_shadows where created_at > now() - interval '1 day'`,
    ops_trace: `select * from ops_trace('${old.run}')`,
    ops_why: `select * from ops_why('${old.event}')`,
    ops_timeline: `select * from ops_timeline(now() - interval '1 minute')`,
    ops_health: 'select ops_health()',
    ops_overview: 'select ops_overview()',
    ops_metrics: 'select ops_metrics()',
    'ops_list_events of a chain': `select ops_list_events('{"root_event_id": "${old.event}"}')`,
    'ops_list_steps of a mission': `select ops_list_steps('{"mission_id": "${old.mission}"}')`,
    ...Object.fromEntries(
      statuses.map((status) => [
        `ops_list_steps ${status}`,
        `select ops_list_steps('{"status": "${status}"}')`,
      ]),
    ),
    'ops_list_missions running': `select ops_list_missions('{"status": "running"}')`,
    'ops_list_proposals pending': `select ops_list_proposals('{"status": "pending"}')`,
    ops_expire_proposals: 'select ops_expire_proposals()',
    ops_pending_events: 'select * from ops_pending_events(100)',
    ops_retry_dead_steps: 'select * from ops_retry_dead_steps(null, 10)',
    'ops_archive, 100 chains': `select * from ops_archive('30 days', 100)`,
    'ops_archive, nothing to do': `select * from ops_archive('200 days', 100)`,
  }
}

/** Median milliseconds of each. */
async function measure(session: Session, questions: Record<string, string>): Promise<Record<string, number>> {
  const taken: Record<string, number> = {}
  for (const [name, question] of Object.entries(questions)) {
    const rounds: number[] = []
    for (let i = 0; i < ROUNDS; i++) rounds.push(await timed(session, question))
    taken[name] = rounds.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? Number.NaN
  }
  return taken
}

async function timed({ sql, signal }: Session, question: string): Promise<number> {
  await sql.unsafe('begin')
  const begin = performance.now()
  await cancellable(sql.unsafe(question), signal)
  const taken = performance.now() - begin
  await sql.unsafe('rollback')
  return Math.round(10 * taken) / 10
}

/** The questions that read a large table from end to end. */
async function largeScans(session: Session, questions: Record<string, string>): Promise<string[]> {
  const { sql, plans } = session
  await sql`load 'auto_explain'`
  await sql`set auto_explain.log_min_duration = 0`
  await sql`set auto_explain.log_nested_statements = on`
  await sql`set client_min_messages = log`
  const found: string[] = []
  for (const [name, question] of Object.entries(questions)) {
    plans.length = 0
    await timed(session, question)
    const scan =
      /Seq Scan on (ops_mission_steps|ops_missions|ops_mission_proposals|ops_action_runs|ops_agent_events|ops_agent_reactions)/
    if (plans.some((plan) => scan.test(plan))) found.push(name)
  }
  return found
}

/**
 * Chains of an event, its reaction and a mission of ten steps, written past the triggers, evenly over the days; every hundredth ends
 * with a dead step. On top of them missions that are at work.
 */
async function load({ sql, signal }: Session, missions: number): Promise<void> {
  const tell = tenths(missions * STEPS_PER_MISSION, console.log)
  await sql`update ops_policy set value = '{}' where key = 'proposal_caps'`
  await sql`update ops_policy set value = '{"enabled": true}' where key = 'auto_approve'`
  await sql`set session_replication_role = replica`
  await sql`set synchronous_commit = off`
  await sql`
    create function pg_temp.id_at(p_at timestamptz) returns uuid language sql as $$
      select overlay(gen_random_uuid()::text placing overlay(lpad(to_hex((extract(epoch from p_at) * 1000)::bigint), 12, '0') placing '-' from 9 for 0) || '-7' from 1 for 15)::uuid $$`
  for (let from = 0; from < missions; from += CHUNK) {
    signal.throwIfAborted()
    const n = Math.min(CHUNK, missions - from)
    await sql`
      with chain as materialized (
        select a.at, a.n, pg_temp.id_at(a.at) as event, pg_temp.id_at(a.at) as reaction, pg_temp.id_at(a.at) as proposal,
          pg_temp.id_at(a.at) as mission
        from (select g as n, now() - ${DAYS} * (1 - g / ${missions}::float8) * interval '1 day' as at
              from generate_series(${from}::int, ${from + n - 1}::int) g) a
      ), event as (
        insert into ops_agent_events (id, type, processed_at, created_at) select event, 'bench:begin', at, at from chain
      ), verdict as (
        insert into ops.event_verdicts (event_id, policy_version, decisions, settled_at)
        select event, 1, '[{"mode": "active", "decision": "matched", "pattern_id": "triage-failed-ci"}]', at from chain
      ), reaction as (
        insert into ops_agent_reactions (id, event_id, status, payload, created_at, updated_at)
        select reaction, event, 'done', '{"pattern_id": "triage-failed-ci"}', at, at from chain
      ), proposal as (
        insert into ops_mission_proposals (id, source, status, template, approved_at, digest, reaction_id, root_event_id, pattern_id, created_at, updated_at)
        select proposal, 'reaction', 'auto_approved', '{"title": "old", "steps": [{"kind": "noop"}]}', at, 'x', reaction, event, 'triage-failed-ci', at, at
        from chain
      ), decision as (
        insert into ops.decisions (proposal_id, decision, digest, actor, actor_context, at)
        select proposal, 'auto_approved', 'x', 'bench', '{}', at from chain
      ), mission as (
        insert into ops_missions (id, proposal_id, status, title, source, steps_total, steps_failed, completed_at, started_at, created_at, updated_at, root_event_id)
        select mission, proposal, case when n % 100 = 0 then 'failed' else 'succeeded' end::ops_mission_status, 'old', 'reaction', ${STEPS_PER_MISSION},
          case when n % 100 = 0 then 1 else 0 end, at, at, at, at, event from chain
      ), ended as (
        insert into ops_agent_events (id, type, dedupe_key, mission_id, processed_at, depth, root_event_id, created_at)
        select pg_temp.id_at(at), 'mission:succeeded', 'mission:' || mission || ':1', mission, at, 1, event, at from chain
      ), step as (
        insert into ops_mission_steps (id, mission_id, kind, executor, status, key, position, reserved_at, completed_at, created_at, updated_at, run_at, attempt, revision)
        select pg_temp.id_at(at), mission, 'noop', 'noop', case when n % 100 = 0 and p = ${STEPS_PER_MISSION} then 'failed' else 'succeeded' end::ops_step_status,
          'step-' || p, p, at, at, at, at, at, 1, 3
        from chain, generate_series(1, ${STEPS_PER_MISSION}) p returning id, status, created_at
      )
      insert into ops_action_runs (id, step_id, executor, status, started_at, completed_at, attempt)
      select pg_temp.id_at(created_at), id, 'noop', case status when 'failed' then 'failed' else 'succeeded' end, created_at, created_at, 1 from step`
    tell((from + n) * STEPS_PER_MISSION)
  }
  await sql`set session_replication_role = origin`
  const template = sql.json({ title: 'live', steps: Array.from({ length: 3 }, () => ({ kind: 'noop' })) })
  for (let i = 0; i < LIVE_MISSIONS; i++)
    await sql`select ops_create_proposal_and_maybe_autoapprove(null, 'bench', ${template})`
  await sql`select count(*) from ops_claim_steps(null, array['noop'], 50)`
  await sql`update ops_policy set value = '{"enabled": false}' where key = 'auto_approve'`
  for (let i = 0; i < 50; i++)
    await sql`select ops_create_proposal_and_maybe_autoapprove(null, 'bench', ${template})`
}
