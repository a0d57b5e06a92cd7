/** Rights: who may do what, asked of the catalog and tried for real, so that what is added later is covered too. */
import { join } from 'node:path'
import { execa } from 'execa'
import postgres from 'postgres'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import {
  adminUrlFor,
  freshDatabase,
  startRest,
  type TestDatabase,
  urlFor,
} from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import type { EngineRole } from '../../test/support/names.js'
import {
  type Connection,
  claimOne,
  complete,
  fail,
  lease,
  missionRow,
  registerWorker,
  startMission,
  stepById,
} from './work.js'
import { brokenInvariants, openDatabase, setPolicy } from './world.js'

let db: TestDatabase

beforeAll(async () => {
  db = await openDatabase()
})

const runbookTables = [
  'ops_action_runs',
  'ops_agent_events',
  'ops_agent_reactions',
  'ops_demand_radar',
  'ops_mission_proposals',
  'ops_mission_steps',
  'ops_missions',
  'ops_policy',
]

const workerFunctions = [
  'ops_claim_next_step',
  'ops_claim_silence_notices',
  'ops_claim_steps',
  'ops_complete_steps',
  'ops_fail_steps',
  'ops_handed_steps',
  'ops_radar_add',
  'ops_radar_list',
  'ops_radar_update',
  'ops_record_notice',
  'ops_recover_expired_leases',
  'ops_recover_stale_steps',
  'ops_register_worker',
  'ops_release_steps',
  'ops_renew_steps',
  'ops_snooze_steps',
  'ops_watch_heartbeat',
  'ops_worker_heartbeat',
]

const readerFunctions = [
  'ops_cap_usage',
  'ops_doctor',
  'ops_extract_step_kinds',
  'ops_gate_proposal',
  'ops_health',
  'ops_hold',
  'ops_is_auto_approvable',
  'ops_list_alerts',
  'ops_list_checks',
  'ops_list_events',
  'ops_list_missions',
  'ops_list_proposals',
  'ops_list_services',
  'ops_list_steps',
  'ops_list_violations',
  'ops_overview',
  'ops_policies_at',
  'ops_policy_changes',
  'ops_radar_list',
  'ops_read_policies',
  'ops_recording',
  'ops_timeline',
  'ops_trace',
  'ops_watch_state',
  'ops_why',
]

const operatorFunctions = [
  'ops_acknowledge_alert',
  'ops_apply_policies',
  'ops_approve_proposal',
  'ops_archive',
  'ops_cancel_mission',
  'ops_cancel_step',
  'ops_create_proposal_and_maybe_autoapprove',
  'ops_define_check',
  'ops_emit_events',
  'ops_maybe_finalize_mission',
  'ops_policy_rollback',
  'ops_radar_add',
  'ops_radar_update',
  'ops_recover_expired_leases',
  'ops_recover_stale_steps',
  'ops_reject_proposal',
  'ops_release_hold',
  'ops_retry_dead_steps',
  'ops_retry_step',
  'ops_run_checks',
  'ops_silence_alerts',
]

interface Routine {
  schema: string
  name: string
  /** With its argument types. */
  signature: string
  arguments: string[]
  verb: 'select' | 'call'
}

interface Relation {
  schema: string
  name: string
  kind: 'table' | 'view' | 'sequence' | 'other'
  column: string
}

/** Every function and procedure of both schemas. */
const routines = (sql: Connection) => sql<Routine[]>`
  select p.pronamespace::regnamespace::text as schema, p.proname as name, p.oid::regprocedure::text as signature,
    array(select t::regtype::text from unnest(p.proargtypes) t) as arguments,
    case p.prokind when 'p' then 'call' else 'select' end as verb
  from pg_proc p where p.pronamespace in ('public'::regnamespace, 'ops'::regnamespace)
  order by 1, 3`

/** Every table, view and sequence of both schemas, with a column that can be written. */
const relations = (sql: Connection) => sql<Relation[]>`
  select c.relnamespace::regnamespace::text as schema, c.relname as name,
    case when c.relkind in ('r', 'p', 'f') then 'table' when c.relkind in ('v', 'm') then 'view'
      when c.relkind = 'S' then 'sequence' else 'other' end as kind,
    (select quote_ident(a.attname) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and a.attgenerated = '' order by a.attnum limit 1) as "column"
  from pg_class c where c.relnamespace in ('public'::regnamespace, 'ops'::regnamespace) and c.relkind not in ('i', 'I', 'c', 't')
  order by 1, 2`

/** What the catalog says a role may do, as `<right> <object>`; an object counts when its schema can be reached. */
async function rightsOf(sql: Connection, role: string): Promise<string[]> {
  const rows = await sql<{ granted: string }[]>`
    with spaces as (
      select oid from pg_namespace where nspname in ('public', 'ops') and has_schema_privilege(${role}, oid, 'usage')
    )
    select 'execute ' || p.proname as granted from pg_proc p
    where p.pronamespace in (select oid from spaces) and has_function_privilege(${role}, p.oid, 'execute')
    union
    select lower(r) || ' ' || c.oid::regclass
    from pg_class c, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) r
    where c.relnamespace in (select oid from spaces) and c.relkind in ('r', 'v', 'm', 'p', 'f')
      and case when r in ('DELETE', 'TRUNCATE', 'TRIGGER') then has_table_privilege(${role}, c.oid, r)
        else has_any_column_privilege(${role}, c.oid, r) end
    union
    select lower(r) || ' ' || c.oid::regclass from pg_class c, unnest(array['SELECT', 'UPDATE', 'USAGE']) r
    where c.relnamespace in (select oid from spaces)
      and case when c.relkind = 'S' then has_sequence_privilege(${role}, c.oid, r) end
    order by 1`
  return rows.map((row) => row.granted)
}

const executes = (granted: string[]) =>
  granted.filter((g) => g.startsWith('execute ')).map((g) => g.slice('execute '.length))
const touches = (granted: string[]) => granted.filter((g) => !g.startsWith('execute '))

type Attempt = (statement: string) => Promise<string>

/** Lets a role try statements, each answered with its SQLSTATE or `ok`. Nothing of them stays. */
async function trying(
  sql: Connection,
  role: string,
  work: (attempt: Attempt) => Promise<void>,
): Promise<void> {
  const undo = new Error('undo')
  const undone = (error: unknown) => {
    if (error !== undo) throw error
  }
  await sql
    .begin(async (tx) => {
      await tx.unsafe(`set local role ${role}; set local lock_timeout = '5s'`)
      await work(async (statement) => {
        try {
          await tx.savepoint(async (inner) => {
            await inner.unsafe(statement)
            throw undo
          })
        } catch (error) {
          if (error instanceof postgres.PostgresError) return error.code
          undone(error)
        }
        return 'ok'
      })
      throw undo
    })
    .catch(undone)
}

const denied = '42501'
const callOf = (routine: Routine) =>
  `${routine.verb} ${routine.schema}.${routine.name}(${routine.arguments.map((type) => `null::${type}`).join(', ')})`

/** Tries to read and write a relation in every way; answers with the ways that were not denied. */
async function waysInto(attempt: Attempt, { schema, name, kind, column }: Relation): Promise<string[]> {
  const at = `${schema}.${name}`
  const ways: Record<string, string> = { select: `select from ${at}` }
  if (kind === 'sequence') ways.nextval = `select nextval('${at}')`
  if (kind === 'table') {
    ways.insert = `insert into ${at} default values`
    ways.update = `update ${at} set ${column} = default`
    ways.delete = `delete from ${at}`
    ways.truncate = `truncate ${at}`
  }
  const open: string[] = []
  for (const [way, statement] of Object.entries(ways)) {
    if ((await attempt(statement)) !== denied) open.push(`${way} ${at}`)
  }
  return open
}

describe.each(['anon', 'authenticated'])('%s', (role) => {
  test('has no right to anything in either schema', async () => {
    expect(await rightsOf(db.sql, role)).toEqual([])
  })

  test('is denied every function and relation when it tries', async () => {
    const functions = await routines(db.sql)
    const all = await relations(db.sql)
    expect(functions.length).toBeGreaterThan(80)
    expect(all.length).toBeGreaterThan(25)
    await trying(db.sql, role, async (attempt) => {
      const open: string[] = []
      for (const routine of functions) {
        if ((await attempt(callOf(routine))) !== denied) open.push(routine.signature)
      }
      for (const relation of all) open.push(...(await waysInto(attempt, relation)))
      expect(open).toEqual([])
    })
  })
})

describe('over PostgREST', () => {
  test.each(['anon', 'authenticated', 'ops_worker'])(
    '%s reads no table and calls no function of others',
    async (role) => {
      const rest = await startRest(db)
      const headers = { authorization: `Bearer ${rest.keyFor(role)}`, 'content-type': 'application/json' }
      const status = async (path: string, init: RequestInit = {}) => {
        const response = await fetch(`${rest.url}/rest/v1/${path}`, { headers, ...init })
        await response.text()
        return response.status
      }
      const refused = role === 'anon' ? 401 : 403
      expect(await status('ops_policy')).toBe(refused)
      expect(await status('ops_system_health')).toBe(refused)
      expect(await status('ops_policy?key=eq.control', { method: 'DELETE' })).toBe(refused)
      expect(await status('rpc/ops_emit_events', { method: 'POST', body: '{"p_events": []}' })).toBe(refused)
      const renews = await status('rpc/ops_renew_steps', { method: 'POST', body: '{"p_leases": []}' })
      expect(renews).toBe(role === 'ops_worker' ? 200 : refused)
      await rest.stop()
    },
  )
})

describe('ops_worker', () => {
  test('may execute its list and nothing else, and touches no table or view', async () => {
    const granted = await rightsOf(db.sql, 'ops_worker')
    expect(executes(granted)).toEqual(workerFunctions)
    expect(touches(granted)).toEqual([])
  })

  test('is denied every other function and every relation when it tries', async () => {
    const functions = await routines(db.sql)
    const all = await relations(db.sql)
    await trying(db.sql, 'ops_worker', async (attempt) => {
      const open: string[] = []
      for (const routine of functions) {
        if ((await attempt(callOf(routine))) !== denied) open.push(`${routine.schema}.${routine.name}`)
      }
      expect([...new Set(open)].sort()).toEqual(workerFunctions.map((name) => `public.${name}`))
      for (const relation of all) expect(await waysInto(attempt, relation)).toEqual([])
    })
  })

  test('was granted no table right, DELETE and TRUNCATE least of all', async () => {
    const rows = await db.sql`
      select table_schema, table_name, privilege_type from information_schema.role_table_grants
      where grantee in ('ops_worker', 'anon', 'authenticated', 'PUBLIC') and table_schema in ('public', 'ops')`
    expect([...rows]).toEqual([])
  })

  test('works a mission to its end through its own login', async () => {
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const sql = login('ops_worker')
    const claimed = await claimOne(sql, await registerWorker(sql))
    expect(await complete(sql, [lease(claimed)])).toMatchObject([
      { outcome: 'ok', mission_status: 'succeeded' },
    ])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded' })
  })

  test('cannot put a clock, a table or a function of its own in the way', async () => {
    await trying(db.sql, 'ops_worker', async (attempt) => {
      expect(await attempt('create table public.ops_policy2 (a int)')).toBe(denied)
      expect(
        await attempt("create function ops.now() returns timestamptz language sql as 'select null'"),
      ).toBe(denied)
      expect(await attempt('alter function public.ops_claim_steps reset all')).toBe(denied)
      expect(await attempt('set local role service_role')).toBe('ok') // of the owner's session: a login of its own may not
    })
    const sql = login('ops_worker')
    for (const role of ['service_role', 'ops_operator', 'postgres']) {
      await expect(sql.unsafe(`set role ${role}`)).rejects.toMatchObject({ code: denied })
    }
  })
})

describe('ops_readonly', () => {
  test('reads all of the loop, and nothing else', async () => {
    const granted = await rightsOf(db.sql, 'ops_readonly')
    expect(executes(granted)).toEqual(['new_id', 'now', ...readerFunctions])
    expect(touches(granted).filter((g) => !g.startsWith('select '))).toEqual([])
    const inPublic = (await relations(db.sql)).filter((r) => r.schema === 'public')
    const reads = touches(granted).map((g) => g.slice('select '.length))
    expect(reads.filter((name) => !name.startsWith('ops.'))).toEqual(inPublic.map((r) => r.name))
    expect(reads.filter((name) => name.startsWith('ops.'))).toEqual([
      'ops.alert_notices',
      'ops.alerts',
      'ops.canaries',
      'ops.check_runs',
      'ops.claims',
      'ops.invariant_violations',
      'ops.open_missions',
      'ops.policy_audit',
      'ops.policy_history',
      'ops.queue',
      'ops.running_steps',
      'ops.schedules',
      'ops.service_checks',
      'ops.services',
      'ops.shadow_reactions',
      'ops.silences',
      'ops.workers',
    ])
  })

  test('sees the rows', async () => {
    const sql = login('ops_readonly')
    expect((await sql`select from ops_policy`).length).toBeGreaterThan(4)
    expect((await sql`select from ops_policy_history`).length).toBeGreaterThan(4)
    await expect(sql`update ops_policy set value = '{}'`).rejects.toMatchObject({ code: denied })
  })
})

describe('ops_operator', () => {
  test('reads what readers read, writes policies, steps and the radar, and calls the decisions', async () => {
    const granted = await rightsOf(db.sql, 'ops_operator')
    expect(executes(granted)).toEqual(['new_id', 'now', ...readerFunctions, ...operatorFunctions].sort())
    const writes = touches(granted).filter((g) => !g.startsWith('select '))
    expect(writes).toEqual(
      ['delete', 'insert', 'update'].flatMap((right) => [
        `${right} ops_demand_radar`,
        `${right} ops_mission_steps`,
        `${right} ops_policy`,
        ...(right === 'insert' ? ['insert ops_policy_audit'] : []), // which ignores it: see 80_views.sql
      ]),
    )
  })

  test('edits a policy, under its own name', async () => {
    const sql = login('ops_operator')
    await setPolicy(sql, 'proposal_caps', { daily_limit: 500 })
    const [audit] = await db.sql`
      select policy_key, changed_by, new_value from ops_policy_audit order by changed_at desc, id desc limit 1`
    expect(audit).toEqual({
      policy_key: 'proposal_caps',
      changed_by: 'test_operator',
      new_value: { daily_limit: 500 },
    })
    await expect(sql`truncate ops_policy`).rejects.toMatchObject({ code: denied })
  })

  test('resets a dead step by hand, and by the function', async () => {
    const sql = login('ops_operator')
    const mission = await startMission(db.sql, [{ key: 'a' }])
    const worker = await registerWorker(db.sql)
    const die = async () => {
      const claimed = await claimOne(db.sql, worker)
      await fail(db.sql, [{ ...lease(claimed), error: 'broken', permanent: true }])
    }
    await die()
    await sql`update ops_mission_steps set status = 'queued', failure_count = 0, last_error = null where id = ${mission.step('a')}`
    expect(await stepById(db.sql, mission.step('a'))).toMatchObject({ status: 'queued', failure_count: 0 })
    await die()
    await sql`select * from ops_retry_step(${mission.step('a')}, 'dana')`
    const claimed = await claimOne(db.sql, worker)
    await complete(db.sql, [lease(claimed)])
    expect(await missionRow(db.sql, mission.id)).toMatchObject({ status: 'succeeded', round: 3 })
    expect(await brokenInvariants(db.sql)).toEqual([])
  })

  test('changes no proposal, mission, event, reaction or run, and does no work of a worker', async () => {
    const sql = login('ops_operator')
    for (const statement of [
      `update ops_mission_proposals set status = 'approved'`,
      `update ops_missions set status = 'succeeded'`,
      'delete from ops_agent_events',
      `update ops_agent_reactions set status = 'queued'`,
      'delete from ops_action_runs',
      `insert into ops_missions (proposal_id) values (gen_random_uuid())`,
      'truncate ops_mission_steps',
      `select * from ops_claim_steps(null, '{noop}', 1)`,
      'select * from ops_claim_next_step(5)',
      `select * from ops_complete_steps('[]')`,
      `select * from ops_fail_steps('[]')`,
      `select * from ops_renew_steps('[]')`,
      `select ops_create_mission_from_proposal(gen_random_uuid())`,
      `select * from ops_settle_events(1, '{}')`,
      'select * from ops.decisions',
      `insert into ops.policy_audit (policy_key, action, changed_by, actor) values ('x', 'update', 'x', '{}')`,
      'delete from ops.policy_history',
      'select ops.seal()',
    ]) {
      await expect(sql.unsafe(statement), statement).rejects.toMatchObject({ code: denied })
    }
  })
})

describe('what somebody adds later', () => {
  const additions = `
    create function public.ops_x(a int, b text default '') returns int language sql as 'select 1';
    create procedure public.ops_p() language sql as 'select 1';
    create table public.ops_y (id serial primary key, big bigint generated always as identity);
    create table public.ops_ctas as select 1 as a;
    select 1 as a into public.ops_into;
    create view public.ops_v with (security_invoker = true) as select * from public.ops_policy;
    create materialized view public.ops_m as select 1 as a;
    create sequence public.ops_s;
    create table public.ops_parts (a int) partition by range (a);
    create table public.ops_part partition of public.ops_parts default;
    create table public.mine (id int);
    alter table public.mine rename to ops_renamed;
    create function public.mine() returns int language sql as 'select 1';
    alter function public.mine() rename to ops_renamed;
    create schema elsewhere;
    create table elsewhere.ops_moved (id int);
    alter table elsewhere.ops_moved set schema public`

  const privateAdditions = `
    create function ops.later() returns int language sql as 'select 1';
    create table ops.later_table (id serial primary key);
    create view ops.later_view as select * from public.ops_policy`

  const names = [
    'ops_x',
    'ops_p',
    'ops_y',
    'ops_y_id_seq',
    'ops_y_big_seq',
    'ops_ctas',
    'ops_into',
    'ops_v',
    'ops_m',
    'ops_s',
    'ops_parts',
    'ops_part',
    'ops_renamed',
    'ops_moved',
  ]

  const added = async (sql: Connection, role: string) =>
    (await rightsOf(sql, role)).filter((granted) => names.some((name) => granted.endsWith(` ${name}`)))

  test('stands open under the default grants of Supabase until ops.seal() has run', async () => {
    const { sql } = await freshDatabase()
    await sql.unsafe(additions)
    expect((await added(sql, 'anon')).length).toBeGreaterThan(20)
    await sql`select ops.seal()`
    for (const role of ['anon', 'authenticated', 'ops_worker']) expect(await added(sql, role)).toEqual([])
  })

  test('is closed at once where the database allows event triggers', async () => {
    const database = await freshDatabase()
    const admin = postgres(adminUrlFor(database), { max: 1, onnotice: () => undefined })
    await admin`drop event trigger if exists ops_seal`
    await admin`create event trigger ops_seal on ddl_command_end execute function ops.seal_on_ddl()`
    await admin.end()
    const { sql } = database
    for (const statement of additions.split(';')) {
      await sql.unsafe(statement)
      for (const role of ['anon', 'authenticated', 'ops_worker'])
        expect(await added(sql, role), statement).toEqual([])
    }
    expect(await added(sql, 'service_role')).toContain('execute ops_x')
    expect(await added(sql, 'ops_readonly')).toContain('select ops_y')
    await trying(sql, 'anon', async (attempt) => {
      expect(await attempt('select public.ops_x(1)')).toBe(denied)
      expect(await attempt('select from public.ops_y')).toBe(denied)
      expect(await attempt(`select nextval('public.ops_y_id_seq')`)).toBe(denied)
    })
  })

  test('is denied in either schema, as is all the rest, to anyone who tries', async () => {
    const database = await freshDatabase()
    const admin = postgres(adminUrlFor(database), { max: 1, onnotice: () => undefined })
    await admin`drop event trigger if exists ops_seal`
    await admin`create event trigger ops_seal on ddl_command_end execute function ops.seal_on_ddl()`
    await admin.end()
    const { sql } = database
    await sql.unsafe(`${additions}; ${privateAdditions}`)
    const functions = await routines(sql)
    const all = await relations(sql)
    for (const role of ['anon', 'authenticated', 'ops_worker']) {
      await trying(sql, role, async (attempt) => {
        const open: string[] = []
        for (const routine of functions) {
          if ((await attempt(callOf(routine))) !== denied) open.push(`${routine.schema}.${routine.name}`)
        }
        for (const relation of all) open.push(...(await waysInto(attempt, relation)))
        const allowed = role === 'ops_worker' ? workerFunctions.map((name) => `public.${name}`) : []
        expect([...new Set(open)].sort(), role).toEqual(allowed)
      })
    }
  })

  test('sealing again changes nothing', async () => {
    const rights = async () =>
      Promise.all(
        ['anon', 'authenticated', 'service_role', 'ops_worker', 'ops_operator', 'ops_readonly'].map((role) =>
          rightsOf(db.sql, role),
        ),
      )
    const before = await rights()
    await db.sql`select ops.seal()`
    expect(await rights()).toEqual(before)
  })
})

describe('every object', () => {
  test('in public is one of the eight tables, or a view over the private schema', async () => {
    const all = (await relations(db.sql)).filter((r) => r.schema === 'public')
    expect(all.filter((r) => r.kind !== 'view').map((r) => r.name)).toEqual(runbookTables)
    const pgTables = await db.sql<{ tablename: string }[]>`
      select tablename from pg_tables where schemaname = 'public' and tablename like 'ops_%' order by 1`
    expect(pgTables.map((r) => r.tablename)).toEqual(runbookTables)
  })

  test('that is a function pins its search_path', async () => {
    const loose = await db.sql`
      select p.oid::regprocedure::text as name, p.proconfig from pg_proc p
      where p.pronamespace in ('public'::regnamespace, 'ops'::regnamespace)
        and not coalesce(p.proconfig, '{}') && array['search_path=pg_catalog, pg_temp']`
    expect([...loose]).toEqual([])
  })

  test('that is a table has row level security and a policy', async () => {
    const bare = await db.sql`
      select c.oid::regclass::text as name from pg_class c
      where c.relnamespace in ('public'::regnamespace, 'ops'::regnamespace) and c.relkind in ('r', 'p')
        and not (c.relrowsecurity and exists (select from pg_policy where polrelid = c.oid))`
    expect([...bare]).toEqual([])
  })

  test('that is a view in public runs with the rights of its reader', async () => {
    const definers = await db.sql`
      select c.oid::regclass::text as name from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm')
        and not coalesce(c.reloptions, '{}') && array['security_invoker=true']`
    expect([...definers]).toEqual([])
  })

  test('that runs as its owner is a function of public which no stranger may call', async () => {
    const open = await db.sql`
      select p.oid::regprocedure::text as name from pg_proc p
      where p.prosecdef and p.pronamespace in ('public'::regnamespace, 'ops'::regnamespace)
        and (has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'))`
    expect([...open]).toEqual([])
  })
})

interface Lint {
  name: string
  detail: string
}

describe("Supabase's advisors", () => {
  /** Runs without network and with a home of its own, so that no login of the developer is touched. */
  async function advisors(url: string): Promise<Lint[]> {
    const { stdout } = await execa(
      process.execPath,
      [
        join('node_modules', 'supabase', 'dist', 'supabase.js'),
        'db',
        'advisors',
        `--remote=${url}`,
        '--level=info',
        '--output-format=json',
      ],
      { env: { HOME: inject('testDir'), SUPABASE_TELEMETRY_DISABLED: '1' } },
    )
    const report: { results: Lint[] } = JSON.parse(stdout)
    return report.results
  }

  test('have nothing to say, but that indexes of a fresh database are unused', async () => {
    const found = await advisors(db.url)
    expect(found.filter((lint) => lint.name !== 'unused_index')).toEqual([])
  })

  test('are heard: they see a table without row level security and a foreign key without an index', async () => {
    const { sql, url } = await freshDatabase()
    await sql`alter table ops_missions disable row level security`
    await sql`drop index ops_agent_events_by_run`
    const found = (await advisors(url)).map((lint) => lint.name)
    expect(found).toEqual(expect.arrayContaining(['policy_exists_rls_disabled', 'unindexed_foreign_keys']))
  })
})

function login(role: EngineRole): postgres.Sql {
  const sql = postgres(urlFor(db, role), { max: 1, onnotice: () => undefined })
  onFileEnd(() => sql.end({ timeout: 1 }))
  return sql
}
