/** The monitor: each check finds the trouble that is planted for it and is silent without; violations open, repeat and resolve. */
import postgres from 'postgres'
import { beforeAll, describe, expect, test } from 'vitest'
import { adminUrlFor, type TestDatabase, urlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { emitOne, matched, respond, runReactions, settle } from './loop.js'
import { only } from './proposals.js'
import { type Connection, claimOne, complete, lease, registerWorker, startMission } from './work.js'
import { brokenInvariants, openDatabase, setPolicy, stopClock } from './world.js'

interface Outcome {
  name: string
  outcome: string
  violations: number
  error: string | null
}

let db: TestDatabase
let admin: Connection
/** A mission whose steps a and b have ended, of which c runs, d and e wait; its worker. */
let mission: { id: string; a: string; c: string; d: string; e: string }

beforeAll(async () => {
  db = await openDatabase()
  await setPolicy(db.sql, 'proposal_caps', { daily_limit: 1000, daily_budget_usd: 50 })
  admin = postgres(adminUrlFor(db), { max: 1, onnotice: () => undefined })
  const work = postgres(urlFor(db, 'ops_worker'), { max: 1 })
  onFileEnd(() => Promise.all([admin.end(), work.end()]).then(() => undefined))
  await db.sql`delete from ops.watch`

  const worker = await registerWorker(work)
  await respond(db.sql, await emitOne(db.sql, { type: 'test:begin' }), matched('pattern'))
  await complete(work, [lease(await claimOne(work, worker))])
  for (const { id } of await db.sql<
    { id: string }[]
  >`select id from ops_agent_events where processed_at is null`)
    await settle(db.sql, { [id]: [] })
  await runReactions(db.sql)

  const started = await startMission(
    db.sql,
    ['a', 'b', 'c', 'd', 'e'].map((key) => ({ key, cost_usd: 1 })),
    { dedupeKey: 'the one' },
  )
  for (let i = 0; i < 2; i++) await complete(work, [lease(await claimOne(work, worker))])
  await claimOne(work, worker)
  const [a, c, d, e] = ['a', 'c', 'd', 'e'].map((key) => started.step(key))
  if (!a || !c || !d || !e) throw new Error('unreachable')
  mission = { id: started.id, a, c, d, e }
})

const run = (sql: Connection, names: string[] | null = null, everything = false) =>
  sql<Outcome[]>`select * from ops_run_checks(${names}, ${everything})`

const open = (sql: Connection, name: string) =>
  sql<{ subject: string; severity: string; message: string; occurrences: number; details: object }[]>`
    select * from ops.invariant_violations where check_name = ${name} and not resolved order by subject`

/** Does something past triggers and foreign keys, looks, and undoes it. */
async function planted<T>(
  plant: (tx: Connection) => Promise<unknown>,
  look: (tx: Connection) => Promise<T>,
): Promise<T> {
  await admin`begin`
  try {
    await admin`set local session_replication_role = replica`
    await plant(admin)
    return await look(admin)
  } finally {
    await admin`rollback`
  }
}

const end = (tx: Connection, id: string, status = 'succeeded') =>
  tx`update ops_mission_steps set status = ${status}, completed_at = now(), lease_token = null where id = ${id}`

/** The trouble for each check. */
const plants: Record<string, (tx: Connection) => Promise<unknown>> = {
  event_processed_once: (tx) => tx`delete from ops.event_verdicts`,
  reaction_needs_verdict: (tx) => tx`
    insert into ops_agent_reactions (event_id, payload, status)
    select event_id, '{"pattern_id": "ghost"}', 'done' from ops.event_verdicts limit 1`,
  one_success_per_step: (tx) => tx`
    insert into ops_action_runs (step_id, status, attempt, completed_at) values (${mission.a}, 'succeeded', 9, now())`,
  success_has_run: (tx) => tx`delete from ops_action_runs where step_id = ${mission.a}`,
  terminal_is_final: (tx) => tx`
    update ops_action_runs set started_at = now() + interval '1 hour' where step_id = ${mission.a}`,
  claims_equal_runs: (tx) => tx`update ops_mission_steps set attempt = 7 where id = ${mission.a}`,
  running_has_lease: async (tx) => {
    await tx`alter table ops_mission_steps drop constraint ops_mission_steps_running_has_lease`
    await tx`update ops_mission_steps set lease_token = null where id = ${mission.c}`
  },
  token_names_one_attempt: (tx) => tx`
    update ops_mission_steps set lease_token = (select id from ops_action_runs where step_id = ${mission.a}) where id = ${mission.c}`,
  order: (tx) => tx`update ops_mission_steps set status = 'queued' where id = ${mission.d}`,
  no_step_waits_for_nothing: (tx) => end(tx, mission.c),
  no_step_waits_for_ever: (tx) => end(tx, mission.c, 'failed'),
  mission_agrees_with_steps: (tx) => end(tx, mission.e),
  mission_runs_once_started: (tx) => tx`update ops_missions set status = 'approved' where id = ${mission.id}`,
  one_event_per_end: (tx) => tx`delete from ops_agent_events where type = 'mission:succeeded'`,
  depth_follows_mission: (tx) => tx`update ops_agent_events set depth = 9 where mission_id is not null`,
  admitted_has_mission: (tx) => tx`delete from ops_missions where id = ${mission.id}`,
  mission_was_decided: (tx) => tx`update ops.decisions set digest = 'another'`,
  cap_kept: async (tx) => {
    // Before this limit another was in force today; that one is long gone here.
    await tx`update ops.policy_history set updated_at = now() - interval '9 days' where key = 'proposal_caps'`
    await tx`update ops.cap_stripes set used = 1001 where scope = 'daily'`
  },
  cap_dealt_once: (tx) => tx`update ops.cap_stripes set room = 1000 where scope = 'daily' and stripe = 3`,
  counters_are_true: (tx) => tx`update ops.cap_stripes set used = used + 1`,
  money_is_true: (tx) => tx`update ops.cap_stripes set used_usd = used_usd + 1 where scope = 'daily'`,
  chain_is_counted: (tx) => tx`insert into ops.root_missions values (gen_random_uuid(), 3)`,
  live_key_is_live: (tx) =>
    tx`insert into ops.live_keys (dedupe_key, proposal_id) values ('k', gen_random_uuid())`,
  live_work_holds_its_key: (tx) => tx`delete from ops.live_keys`,
  policy_is_audited: (tx) => tx`delete from ops.policy_audit where policy_key = 'control'`,
  policy_is_in_history: (tx) =>
    tx`update ops_policy set value = '{"enabled": false}' where key = 'auto_approve'`,
  runtime_identity: (tx) => tx`
    insert into ops.workers (name, version, executors, concurrency, role) values ('intruder', '1', '{noop}', 1, 'postgres')`,
  rls_disabled: (tx) => tx`create table public.invoices (id int)`,
  rls_no_policies: async (tx) => {
    await tx`create table public.invoices (id int)`
    await tx`alter table public.invoices enable row level security`
  },
  monitor_blind_spots: async (tx) => {
    await tx`create table public.invoices (id int)`
    await tx`alter table public.invoices enable row level security`
    await tx`grant select on public.invoices to ops_monitor`
  },
  stuck_reactions: (tx) => tx`
    update ops_agent_reactions set status = 'processing', updated_at = now() - interval '61 minutes'`,
  stuck_webhooks: (tx) => tx`
    insert into ops_agent_events (type, created_at) values ('github:push', now() - interval '61 minutes')`,
  running_past_recovery: (tx) => tx`
    update ops_mission_steps set lease_expires_at = now() - interval '11 minutes' where id = ${mission.c}`,
  mission_open_without_steps: (tx) => tx`
    update ops_mission_steps set status = 'succeeded', completed_at = now(), lease_token = null where mission_id = ${mission.id}`,
  unclaimable_steps: (tx) => tx`
    update ops.queue set status = 'queued', executor = 'exotic', run_at = now() - interval '11 minutes' where step_id = ${mission.e}`,
  queue_follows_steps: (tx) => tx`update ops_mission_steps set priority = 9 where id = ${mission.e}`,
  running_has_claim: (tx) => tx`delete from ops.claims`,
  heartbeat_silence: (tx) => tx`
    insert into ops.heartbeats (ok, report, at) values (true, '{}', now() - interval '16 minutes')`,
  worker_silence: (tx) => tx`update ops.workers set last_seen_at = now() - interval '6 minutes'`,
  pattern_quarantined: (tx) =>
    tx`select ops_report('quarantined_patterns', 1, '{"triage": "patterns[0].when: no such field"}')`,
}

describe('checks', () => {
  test('are all silent on a loop that is well, whether they look at what changed last or at everything', async () => {
    const outcomes = [...(await run(db.sql)), ...(await run(db.sql, null, true))]
    expect(outcomes.filter((o) => o.outcome !== 'clean')).toEqual([])
    expect(await brokenInvariants(db.sql)).toEqual([])
  })

  test('are all tried here', async () => {
    const names = await db.sql<{ name: string }[]>`select name from ops.checks order by name`
    expect(names.map(({ name }) => name)).toEqual(Object.keys(plants).sort())
  })

  test.each(Object.keys(plants))('%s finds its trouble', async (name) => {
    const plant = plants[name]
    if (!plant) throw new Error('unreachable')
    const { outcome, violations } = await planted(plant, async (tx) => ({
      outcome: only(await run(tx, [name])),
      violations: await open(tx, name),
    }))
    expect(outcome).toMatchObject({ name, outcome: 'violated', error: null })
    expect(violations.length).toBeGreaterThan(0)
    expect(violations.every(({ message }) => message.length > 10)).toBe(true)
  })

  test('that would have to read everything wait until they are asked', async () => {
    const names = (await run(db.sql)).map(({ name }) => name)
    expect(names).not.toContain('counters_are_true')
    expect((await run(db.sql, null, true)).map(({ name }) => name)).toContain('counters_are_true')
  })

  test('stay silent about what the control switch has paused', async () => {
    const outcomes = await planted(
      async (tx) => {
        await plants.stuck_webhooks?.(tx)
        await plants.unclaimable_steps?.(tx)
        await tx`update ops_policy set value = '{"pause": {"reactions": true, "claims": true}}' where key = 'control'`
      },
      (tx) => run(tx, ['stuck_webhooks', 'unclaimable_steps']),
    )
    expect(outcomes.map((o) => o.outcome)).toEqual(['clean', 'clean'])
  })
})

describe('runtime_identity', () => {
  const roles = (role: string) =>
    planted(
      (tx) => tx`
        insert into ops.workers (name, version, executors, concurrency, role) values ('w', '1', '{noop}', 1, ${role})`,
      async (tx) => only(await run(tx, ['runtime_identity'])).outcome,
    )
  test.each([
    ['ops_worker', 'clean'],
    ['test_worker', 'clean'],
    ['service_role', 'violated'],
    ['test_service', 'violated'],
    ['postgres', 'violated'],
    ['supabase_admin', 'violated'],
    ['gone', 'violated'],
  ])('a worker as %s: %s', async (role, outcome) => {
    expect(await roles(role)).toBe(outcome)
  })

  test('expects what policy says', async () => {
    await setPolicy(db.sql, 'invariants', { expected_roles: { worker: ['ops_worker', 'service_role'] } })
    expect(await roles('service_role')).toBe('clean')
    expect(await roles('postgres')).toBe('violated')
    await setPolicy(db.sql, 'invariants', {})
  })

  test('sees as whom the heartbeat comes', async () => {
    const asOwner = await planted(
      (tx) => tx`select ops_begin_checks()`,
      (tx) => open(tx, 'runtime_identity').then(() => run(tx, ['runtime_identity'])),
    )
    expect(only(asOwner)).toMatchObject({ outcome: 'violated' })
    const asService = await planted(
      async (tx) => {
        await tx`set local role service_role`
        await tx`select ops_begin_checks()`
        await tx`reset role`
      },
      (tx) => run(tx, ['runtime_identity']),
    )
    expect(only(asService)).toMatchObject({ outcome: 'clean' })
  })
})

describe('checks of the operator', () => {
  const define = (name: string, sql: string, severity = 'high') =>
    db.sql`select ops_define_check(${name}, ${severity}, 'What it means', ${sql})`

  test('open once, count repeats, and resolve by themselves', async () => {
    await db.sql`create table public.invoices (id int primary key, total int)`
    await db.sql`alter table public.invoices enable row level security`
    await db.sql`grant select on public.invoices to ops_monitor`
    await db.sql`create policy ops_monitor_reads on public.invoices for select to ops_monitor using (true)`
    await db.sql`insert into public.invoices values (1, 5), (2, -3), (3, -4)`
    await define(
      'negative_invoices',
      'select id, total, total || $$ is negative$$ as message from invoices where total < 0;',
    )
    for (let i = 0; i < 3; i++) await run(db.sql, ['negative_invoices'])
    expect(await open(db.sql, 'negative_invoices')).toMatchObject([
      {
        subject: '2',
        severity: 'high',
        message: '-3 is negative',
        occurrences: 3,
        details: { id: 2, total: -3 },
      },
      { subject: '3', occurrences: 3 },
    ])
    await db.sql`update public.invoices set total = 3 where id = 2`
    await run(db.sql, ['negative_invoices'])
    expect((await open(db.sql, 'negative_invoices')).map(({ subject }) => subject)).toEqual(['3'])
    await db.sql`delete from public.invoices`
    await run(db.sql, ['negative_invoices'])
    expect(await open(db.sql, 'negative_invoices')).toEqual([])
    // What comes back is another violation.
    await db.sql`insert into public.invoices values (3, -4)`
    await run(db.sql, ['negative_invoices'])
    expect(
      await db.sql`
      select check_name, count(*)::int as occurrences from invariant_violations
      where check_name = 'negative_invoices' and created_at > now() - interval '24 hours' group by 1`,
    ).toEqual([{ check_name: 'negative_invoices', occurrences: 3 }])
  })

  test('may leave out id and message', async () => {
    await define('no_names', 'select 1 as one union all select 2')
    await run(db.sql, ['no_names'])
    expect(await open(db.sql, 'no_names')).toMatchObject([
      { subject: '', message: '2 rows, the first: What it means: {"one": 1}' },
    ])
  })

  test('with more rows than are kept resolve none, for nobody knows which are gone', async () => {
    await define('many', `select g as id from generate_series(1, 150) g`)
    await run(db.sql, ['many'])
    await define('many', `select g as id from generate_series(51, 200) g`)
    expect(only(await run(db.sql, ['many'])).violations).toBe(101)
    expect((await open(db.sql, 'many')).length).toBe(150)
    await define('many', `select g as id from generate_series(1, 3) g`)
    await run(db.sql, ['many'])
    expect((await open(db.sql, 'many')).length).toBe(3)
  })

  test('that break are told of, keep what they had found, and stop no other', async () => {
    await define('fickle', 'select 7 as id')
    await define('healthy', 'select 1 where false')
    await run(db.sql, ['fickle', 'healthy'])
    await define('fickle', 'select 1 / 0 as id')
    const outcomes = await run(db.sql, ['fickle', 'healthy'])
    expect(outcomes).toMatchObject([
      { name: 'fickle', outcome: 'failed', error: 'division by zero (22012)' },
      { name: 'healthy', outcome: 'clean' },
    ])
    expect((await open(db.sql, 'fickle')).map(({ subject }) => subject)).toEqual(['7'])
    expect(await open(db.sql, 'check_failed')).toMatchObject([
      { subject: 'fickle', severity: 'high', message: 'check fickle: division by zero (22012)' },
    ])
    await define('fickle', 'select 7 as id')
    await run(db.sql, ['fickle'])
    expect(await open(db.sql, 'check_failed')).toEqual([])
  })

  test.each([
    ['deletes', 'with gone as (delete from ops_policy returning key) select key as id from gone'],
    ['calls what writes', "select ops_report('x', 1)::text as id"],
    ['ends the query early', 'select 1 as id) q) r; delete from ops_policy where true; select (select (1'],
    ['turns writing on', "select set_config('transaction_read_only', 'off', true) as id"],
    ['takes another role', "select set_config('role', 'postgres', true) as id"],
    ['takes a sequence', "select nextval('public.numbers') as id"],
  ])('cannot change anything: one that %s', async (_, sql) => {
    await db.sql`create sequence if not exists public.numbers`
    await db.sql`grant usage on sequence public.numbers to ops_monitor`
    await define('harmful', sql)
    const before = await db.sql`select key, version from ops_policy order by key`
    expect(only(await run(db.sql, ['harmful']))).toMatchObject({ outcome: 'failed' })
    expect(await db.sql`select key, version from ops_policy order by key`).toEqual(before)
    expect(await db.sql`select from ops.reports where name = 'x'`).toEqual([])
  })

  test('leave no setting behind', async () => {
    await define('sticky', `select set_config('work_mem', '9MB', false) as id`)
    const connection = postgres(db.url, { max: 1 })
    const before = await connection`show work_mem`
    expect(only(await run(connection, ['sticky'])).outcome).toBe('violated')
    expect(await connection`show work_mem`).toEqual(before)
    await connection.end()
  })

  test('see nothing that was not granted to ops_monitor', async () => {
    await db.sql`create table public.secrets (id int)`
    await define('curious', 'select * from secrets')
    expect(only(await run(db.sql, ['curious'])).error).toContain('permission denied')
    await db.sql`drop table public.secrets`
  })

  test("cannot take a shipped check's name", async () => {
    await expect(define('order', 'select 1')).rejects.toMatchObject({ code: 'OP011' })
    await expect(define('Not A Name', 'select 1')).rejects.toMatchObject({ code: 'OP011' })
  })

  test.each([
    ['that of a shipped one', 'order', 'checks[0].name'],
    ['there twice', 'mine', 'checks[1].name'],
  ])('have names of their own, also when they come by hand: %s', async (_, name, path) => {
    const check = { severity: 'high', description: 'What it means', sql: 'select 1 as id' }
    const checks = [
      { ...check, name },
      { ...check, name: 'mine' },
    ]
    await expect(setPolicy(db.sql, 'invariants', { checks })).rejects.toMatchObject({
      code: 'OP011',
      detail: JSON.stringify({ path }).replace(':', ': '),
    })
    await setPolicy(db.sql, 'invariants', { checks: checks.slice(1) })
  })

  test('that are skipped or taken out violate nothing any more', async () => {
    await define('gone', 'select 1 as id')
    await define('off', 'select 1 as id')
    await run(db.sql, ['gone', 'off'])
    const [policy] = await db.sql<{ value: { checks: { name: string }[] } }[]>`
      select value from ops_policy where key = 'invariants'`
    const checks = policy?.value.checks.filter(({ name }) => name !== 'gone') ?? []
    await setPolicy(db.sql, 'invariants', { checks, skip: ['off', 'order'] })
    await db.sql`delete from ops.watch`
    const [round] = await db.sql<{ round: { checks: string[] } }[]>`select ops_begin_checks() as round`
    expect(round?.round.checks).not.toContain('order')
    expect(round?.round.checks).not.toContain('off')
    expect([...(await open(db.sql, 'gone')), ...(await open(db.sql, 'off'))]).toEqual([])
    expect(await run(db.sql, ['off'])).toEqual([])
  })
})

describe('rounds', () => {
  test('begin once in five minutes, however many heartbeats overlap', async () => {
    const fresh = await openDatabase()
    const clock = await stopClock(fresh.sql, '2026-03-01T12:00:30Z')
    await fresh.sql`delete from ops.watch`
    const due = async () => {
      const rounds = await Promise.all(
        Array.from(
          { length: 8 },
          () => fresh.sql<{ round: { due: boolean } }[]>`select ops_begin_checks() as round`,
        ),
      )
      return rounds.flat().filter(({ round }) => round.due).length
    }
    expect(await due()).toBe(1)
    await clock.advance(4 * 60)
    expect(await due()).toBe(0)
    await clock.advance(60)
    expect(await due()).toBe(1)
    // A heartbeat that comes a little early does not skip its round.
    await clock.advance(4 * 60 + 35)
    expect(await due()).toBe(1)
    await setPolicy(fresh.sql, 'invariants', { enabled: false })
    await clock.advance(3600)
    expect(await due()).toBe(0)
  })
})
