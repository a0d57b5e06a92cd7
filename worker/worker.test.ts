import { cp, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { z } from 'zod'
import { migrate } from '../embedded/migrate.js'
import { migrationsDir } from '../embedded/paths.js'
import { connectEngine, type Engine, type TemplateStep } from '../engine/index.js'
import {
  defineExecutor,
  done,
  type Executor,
  type ExecutorContext,
  fail,
  type Log,
  type Outcome,
  retry,
  snooze,
} from '../executors/define.js'
import { shippedExecutors } from '../executors/registry.js'
import { freshDatabase, type TestDatabase, urlFor } from '../test/support/database.js'
import { SCHEMA_VERSION } from './presence.js'
import { createWorker, type WorkerOptions } from './worker.js'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

let database: TestDatabase
let control: Engine
let engine: Engine

beforeEach(async () => {
  database = await freshDatabase()
  control = connectEngine({ databaseUrl: urlFor(database, 'service_role') })
  engine = connectEngine({ databaseUrl: urlFor(database, 'ops_worker') })
})
afterEach(async () => {
  await Promise.all([control.close(), engine.close()])
  await database.drop()
})

/** An executor that takes any params and is run by the test. */
function executor(run: (context: ExecutorContext<unknown>) => Outcome | Promise<Outcome>): Executor {
  return defineExecutor({ kind: 'noop', params: z.unknown(), run })
}

/** Executors that take any params and are run by the test, by kind. */
function executorsOf(
  runs: Record<string, (context: ExecutorContext<unknown>) => Outcome | Promise<Outcome>>,
) {
  const defined = Object.entries(runs).map(([kind, run]) =>
    defineExecutor({ kind, params: z.unknown(), run }),
  )
  return new Map(defined.map((executor) => [executor.kind, executor]))
}

async function allowKinds(...kinds: string[]): Promise<void> {
  const change = database.sql.json({ allowed_step_kinds: kinds })
  await database.sql`update ops_policy set value = value || ${change} where key = 'auto_approve'`
}

function worker(options: Partial<WorkerOptions> & { executor?: Executor } = {}) {
  const executors = options.executor
    ? new Map([[options.executor.kind, options.executor]])
    : shippedExecutors()
  return createWorker({
    engine,
    executors,
    name: 'test',
    version: '0.0.0',
    concurrency: 10,
    watch: false,
    env: {},
    log: silent,
    ...options,
  })
}

/** A mission with these steps, admitted; answers its id. */
async function mission(steps: TemplateStep[]): Promise<string> {
  const template = { title: 'A mission', risk_level: 'low', steps }
  const { mission_id, reason } = await control.createProposal({ source: 'test', template })
  if (!mission_id) throw new Error(`not admitted: ${reason}`)
  return mission_id
}

const stepsOf = async (mission_id: string) => {
  const steps = await control.listSteps({ mission_id })
  return steps.toSorted((a, b) => a.key.localeCompare(b.key))
}

async function statusOf(mission_id: string) {
  const missions = await control.listMissions()
  return missions.find(({ id }) => id === mission_id)?.status
}

/** A promise and what settles it. */
function signal() {
  let ring = () => {}
  const rung = new Promise<void>((resolve) => {
    ring = resolve
  })
  return { ring, rung }
}

const untilAborted = ({ signal }: ExecutorContext<unknown>) =>
  new Promise<Outcome>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

describe('a worker that does not watch', () => {
  it('finds nothing to do on an empty queue', async () => {
    const summary = await worker().start()
    expect(Object.values(summary).every((count) => count === 0)).toBe(true)
  })

  it('understands exactly the schema that is here', async () => {
    expect((await control.health()).schema_version).toBe(SCHEMA_VERSION)
  })

  it('runs missions to their end, steps in their order, with the results of earlier ones', async () => {
    const id = await mission([
      { key: 'look', kind: 'noop', params: { color: 'red' } },
      { key: 'tell', kind: 'noop', params: { text: 'It is {{steps.look.result.echo.color}}' } },
    ])
    const summary = await worker().start()
    expect(summary).toMatchObject({ succeeded: 2 })
    expect(await statusOf(id)).toBe('succeeded')
    expect(await stepsOf(id)).toMatchObject([
      { key: 'look', status: 'succeeded', result: { echo: { color: 'red' } } },
      { key: 'tell', status: 'succeeded', result: { echo: { text: 'It is red' } } },
    ])
  })

  it('drains many steps at once, each recorded once', async () => {
    const ids = await Promise.all(
      Array.from({ length: 5 }, () =>
        mission(Array.from({ length: 20 }, (): TemplateStep => ({ kind: 'noop', depends_on: [] }))),
      ),
    )
    const summary = await worker().start()
    expect(summary).toMatchObject({ succeeded: 100, lost: 0, undelivered: 0 })
    for (const id of ids) expect(await statusOf(id)).toBe('succeeded')
  })

  it('never runs more steps at a time than it is allowed to', async () => {
    await mission(Array.from({ length: 12 }, (): TemplateStep => ({ kind: 'noop', depends_on: [] })))
    let running = 0
    let most = 0
    const counted = executor(async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return done()
    })
    await worker({ executor: counted, concurrency: 3 }).start()
    expect(most).toBe(3)
  })

  it('never runs more steps of one executor than that is allowed, and lets the others go on meanwhile', async () => {
    await allowKinds('slow', 'quick')
    await mission([
      ...Array.from({ length: 6 }, (): TemplateStep => ({ kind: 'slow', depends_on: [], priority: -1 })),
      ...Array.from({ length: 6 }, (): TemplateStep => ({ kind: 'quick', depends_on: [] })),
    ])
    let slow = 0
    let most = 0
    let quick = 0
    const quickDone = signal()
    const executors = executorsOf({
      slow: async () => {
        most = Math.max(most, ++slow)
        // Stands until all quick ones are done: they would never be if slow ones took every place.
        await quickDone.rung
        slow--
        return done()
      },
      quick: () => {
        if (++quick === 6) quickDone.ring()
        return done()
      },
    })
    const summary = await worker({ executors, concurrency: 4, concurrencyOf: { slow: 2 } }).start()
    expect({ summary, most }).toMatchObject({ summary: { succeeded: 12 }, most: 2 })
  })

  it('adds a radar item, moves it on, lists it, and emits each stage', async () => {
    const id = await mission([
      { key: 'add', kind: 'radar', params: { action: 'add', title: 'CSV export' } },
      {
        key: 'move',
        kind: 'radar',
        params: { action: 'update', id: '{{steps.add.result.id}}', stage: 'building', notes: 'asked for' },
      },
      { key: 'see', kind: 'radar', params: { action: 'list', stage: 'building' } },
    ])
    expect(await worker().start()).toMatchObject({ succeeded: 3 })
    const [item] = await database.sql`select id, title, stage, notes from ops_demand_radar`
    expect(item).toMatchObject({ title: 'CSV export', stage: 'building', notes: 'asked for' })
    expect(await stepsOf(id)).toMatchObject([
      { key: 'add', result: { id: item?.id } },
      { key: 'move', result: { previous_stage: 'watching', stage: 'building' } },
      { key: 'see', result: { items: [{ id: item?.id, title: 'CSV export' }] } },
    ])
    for (const stage of ['watching', 'building'])
      expect(await control.listEvents({ type: `radar:${stage}` })).toMatchObject([
        { data: { radar_id: item?.id, stage } },
      ])
  })
})

describe('a step', () => {
  it('that fails is queued for another attempt, after the time that it asked for', async () => {
    const id = await mission([{ kind: 'noop' }])
    const flaky = executor(() => retry({ error: 'busy', afterSeconds: 3600 }))
    expect(await worker({ executor: flaky }).start()).toMatchObject({ retried: 1 })
    expect(await stepsOf(id)).toMatchObject([{ status: 'queued', failure_count: 1, last_error: 'busy' }])
    expect(await worker({ executor: flaky }).start()).toMatchObject({ retried: 0 })
  })

  it('that keeps failing becomes a dead letter, and its mission fails', async () => {
    const id = await mission([{ kind: 'noop', max_retries: 3 }, { kind: 'noop' }])
    const attempts: number[] = []
    const broken = executor(({ attempt }) => {
      attempts.push(attempt)
      return retry({ error: 'still broken', afterSeconds: 0 })
    })
    const summary = await worker({ executor: broken }).start()
    expect(attempts).toEqual([1, 2, 3])
    expect(summary).toMatchObject({ retried: 2, failed: 1 })
    expect(await statusOf(id)).toBe('failed')
    expect(await stepsOf(id)).toMatchObject([
      { status: 'failed', failure_count: 3, last_error: 'still broken' },
      { status: 'cancelled' },
    ])
  })

  it('that fails for good is not tried again', async () => {
    const id = await mission([{ kind: 'noop' }])
    expect(await worker({ executor: executor(() => fail('never')) }).start()).toMatchObject({ failed: 1 })
    expect(await stepsOf(id)).toMatchObject([{ status: 'failed', failure_count: 1, last_error: 'never' }])
  })

  it('that snoozes is put off and has not failed', async () => {
    const id = await mission([{ kind: 'noop' }])
    expect(await worker({ executor: executor(() => snooze(3600)) }).start()).toMatchObject({ snoozed: 1 })
    expect(await stepsOf(id)).toMatchObject([{ status: 'queued', failure_count: 0 }])
  })

  it('that runs past its timeout fails, even when its executor ignores the signal', async () => {
    const id = await mission([{ kind: 'noop', timeout_seconds: 1, max_retries: 0 }])
    let reason: unknown
    const deaf = executor(({ signal }) => {
      signal.addEventListener('abort', () => {
        reason = signal.reason
      })
      return new Promise(() => {})
    })
    expect(await worker({ executor: deaf }).start()).toMatchObject({ failed: 1 })
    expect(await stepsOf(id)).toMatchObject([{ status: 'failed', last_error: 'timed out after 1 s' }])
    expect(reason).toMatchObject({ message: 'timed out after 1 s' })
  })

  it('with a result that cannot be stored fails for good, and stops none of the others', async () => {
    const id = await mission([
      { key: 'a', kind: 'noop', params: { result: 'fine' }, depends_on: [] },
      { key: 'b', kind: 'noop', params: { result: 'bad' }, depends_on: [] },
      { key: 'c', kind: 'noop', params: { result: 'fine' }, depends_on: [] },
    ])
    const results = executor(async ({ step }) => done(step.key === 'b' ? { out: 'x\0' } : 'fine'))
    expect(await worker({ executor: results }).start()).toMatchObject({ failed: 1 })
    const [, b] = await stepsOf(id)
    expect(b).toMatchObject({
      status: 'failed',
      last_error: expect.stringContaining('result.out holds a NUL'),
    })
  })

  it('keeps its secrets out of the database', async () => {
    const id = await mission([{ kind: 'noop' }])
    const careless = executor(({ emit }) => {
      emit({ type: 'found', data: { text: 'hunter22' } })
      return done({ text: 'hunter22' }, { meta: { text: 'hunter22' } })
    })
    await worker({ executor: careless, env: { API_TOKEN: 'hunter22' } }).start()
    const dump = JSON.stringify([
      await control.trace(id),
      await control.listSteps(),
      await control.listEvents(),
    ])
    expect(dump).toContain('[masked]')
    expect(dump).not.toContain('hunter22')
  })

  it('is given the role of its agent', async () => {
    const roles = { scout: { instructions: 'Look around.', model: 'small', tools: [] } }
    await database.sql`
      insert into ops_policy (key, value) values ('agent_roles', ${database.sql.json(roles)})
      on conflict (key) do update set value = excluded.value`
    await database.sql`
      update ops_policy set value = value || '{"allowed_step_kinds": ["noop:scout"]}' where key = 'auto_approve'`
    await mission([{ kind: 'noop:scout' }])
    let role: unknown
    const curious = executor((context) => {
      role = context.role
      return done()
    })
    await worker({ executor: curious }).start()
    expect(role).toMatchObject({ instructions: 'Look around.', model: 'small' })
  })
})

describe('a lease that is lost', () => {
  it('aborts its step at once; the late result is evidence, not state', async () => {
    const id = await mission([{ kind: 'noop' }])
    const begun = signal()
    const stubborn = executor(async (context) => {
      begun.ring()
      await untilAborted(context).catch(() => {})
      return done('too late')
    })
    const working = worker({ executor: stubborn, leaseSeconds: 2 }).start()
    await begun.rung
    await control.cancelMission(id, { actor: 'test' })

    expect(await working).toMatchObject({ lost: 1, succeeded: 0 })
    expect(await stepsOf(id)).toMatchObject([{ status: 'cancelled', result: null }])
    const late = await database.sql`select outcome, payload from ops.late_results`
    expect(late).toMatchObject([{ outcome: 'succeeded', payload: { result: 'too late' } }])
  })

  it('does not happen to a step that takes longer than one lease', async () => {
    const id = await mission([{ kind: 'noop', params: { sleep_ms: 2500 } }])
    expect(await worker({ leaseSeconds: 1 }).start()).toMatchObject({ succeeded: 1 })
    expect(await stepsOf(id)).toMatchObject([{ status: 'succeeded', failure_count: 0 }])
  })
})

describe('a worker that watches', () => {
  it('is known by what it told about itself, and seen for as long as it lives', async () => {
    const watching = worker({
      watch: true,
      name: 'vps-1',
      version: '1.2.3',
      concurrency: 7,
      heartbeatMs: 20,
      executors: executorsOf({ slow: () => done(), quick: () => done() }),
    })
    const ended = watching.start()
    await registered(1)
    const [first] = await database.sql`select * from ops_workers`
    expect(first).toMatchObject({
      name: 'vps-1',
      version: '1.2.3',
      executors: ['slow', 'quick'],
      concurrency: 7,
      live: true,
    })
    await until(async () => {
      const later = await database.sql`select from ops_workers where last_seen_at > ${first?.last_seen_at}`
      return later.length === 1
    })
    await watching.stop('drain')
    await ended
  })

  it('is woken by work that comes in while it sleeps', async () => {
    const ran = signal()
    const watching = worker({
      watch: true,
      pollIntervalMs: 3_600_000,
      executor: executor(() => {
        ran.ring()
        return done()
      }),
    })
    const ended = watching.start()
    await sleepers(1)
    await mission([{ kind: 'noop' }])
    await ran.rung
    await watching.stop('drain')
    expect(await ended).toMatchObject({ succeeded: 1 })
  })

  it('finds work by asking where it cannot listen', async () => {
    const ran = signal()
    const { listen: _, ...deaf } = engine
    const watching = worker({
      engine: deaf,
      watch: true,
      pollIntervalMs: 20,
      executor: executor(() => {
        ran.ring()
        return done()
      }),
    })
    const ended = watching.start()
    await registered(1)
    await mission([{ kind: 'noop' }])
    await ran.rung
    await watching.stop('drain')
    expect(await ended).toMatchObject({ succeeded: 1 })
  })

  it('finishes what is under way when it is drained, and claims nothing more', async () => {
    const id = await mission([{ kind: 'noop' }, { kind: 'noop' }])
    const begun = signal()
    const finish = signal()
    const slow = executor(async () => {
      begun.ring()
      await finish.rung
      return done('in peace')
    })
    const watching = worker({ watch: true, executor: slow })
    const ended = watching.start()
    await begun.rung
    const stopped = watching.stop('drain')
    finish.ring()
    await stopped
    expect(await ended).toMatchObject({ succeeded: 1 })
    expect(await stepsOf(id)).toMatchObject([
      { status: 'succeeded', result: 'in peace' },
      { status: 'queued' },
    ])
  })

  it('hands its steps back when it is released, which costs them nothing', async () => {
    const id = await mission([{ kind: 'noop' }])
    const begun = signal()
    const slow = executor((context) => {
      begun.ring()
      return untilAborted(context)
    })
    const watching = worker({ watch: true, executor: slow })
    const ended = watching.start()
    await begun.rung
    void watching.stop('drain')
    await watching.stop('release')
    expect(await ended).toMatchObject({ released: 1 })
    expect(await stepsOf(id)).toMatchObject([{ status: 'queued', failure_count: 0, last_error: null }])
  })
})

describe('the database', () => {
  it('that is newer than the worker refuses it', async () => {
    await database.sql`insert into ops.migrations (version, name) values ('9999', 'tomorrow')`
    await expect(worker().start()).rejects.toMatchObject({ code: 'OPS_011' })
  })

  it('that is migrated further lets a worker finish and record what it holds, and no more', async () => {
    const id = await mission([{ kind: 'noop' }, { kind: 'noop' }])
    const [begun, told, finish] = [signal(), signal(), signal()]
    const slow = executor(async () => {
      begun.ring()
      await finish.rung
      return done('in peace')
    })
    const workerHeartbeat: Engine['workerHeartbeat'] = async (...args) => {
      const settings = await engine.workerHeartbeat(...args)
      if (settings.schema_version > SCHEMA_VERSION) told.ring()
      return settings
    }
    const old = worker({
      watch: true,
      concurrency: 1,
      heartbeatMs: 20,
      executor: slow,
      engine: { ...engine, workerHeartbeat },
    })
    const refused = expect(old.start()).rejects.toMatchObject({
      code: 'OPS_011',
      message: `the database has schema ${SCHEMA_VERSION + 1}, this worker (0.0.0) understands up to ${SCHEMA_VERSION}`,
      hint: 'update the worker',
    })
    await begun.rung
    await migrateFurther()
    await told.rung
    finish.ring()
    await refused
    expect(await stepsOf(id)).toMatchObject([
      { status: 'succeeded', result: 'in peace' },
      { status: 'queued', failure_count: 0 },
    ])
  })

  it('that has forgotten the worker is told of it again, and may then refuse it', async () => {
    const watching = worker({ watch: true, heartbeatMs: 20, pollIntervalMs: 20 })
    const ended = watching.start()
    await registered(1)
    await database.sql`delete from ops.workers`
    await registered(1)
    const refused = expect(ended).rejects.toMatchObject({ code: 'OPS_011' })
    await database.sql.begin(async (sql) => {
      await sql`insert into ops.migrations (version, name) values ('9999', 'tomorrow')`
      await sql`delete from ops.workers`
    })
    await refused
  })

  it('that is away for a while loses no result', async () => {
    const id = await mission([{ kind: 'noop' }, { kind: 'noop' }])
    let outages = 3
    const flaky: Engine['completeSteps'] = (items) =>
      outages-- > 0 ? cutConnections().then(() => engine.completeSteps(items)) : engine.completeSteps(items)
    const summary = await worker({ engine: { ...engine, completeSteps: flaky } }).start()
    expect(summary).toMatchObject({ succeeded: 2 })
    expect(await statusOf(id)).toBe('succeeded')
  })
})

/** Applies one migration more than there is, as an update of the control plane does. */
async function migrateFurther() {
  const folder = await mkdtemp(join(inject('testDir'), 'next-'))
  await cp(migrationsDir, folder, { recursive: true })
  const version = String(SCHEMA_VERSION + 1).padStart(4, '0')
  await writeFile(
    join(folder, `${version}_next.sql`),
    `alter table public.ops_mission_steps add column next_thing text not null default 'none';
     insert into ops.migrations (version, name) values ('${version}', 'next');`,
  )
  const { applied } = await migrate(database.url, { folder })
  expect(applied).toEqual([`${version}_next.sql`])
}

/** Ends every connection of the worker's role, as a restart would. */
async function cutConnections() {
  await database.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = ${database.name} and usename = ${new URL(urlFor(database, 'ops_worker')).username}`
}

/** Waits until so many workers sleep and want to be notified. */
const sleepers = (wanted: number) =>
  until(async () => (await database.sql`select from ops.sleepers`).length === wanted)

const registered = (wanted: number) =>
  until(async () => (await database.sql`select from ops.workers`).length === wanted)

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10))
}
