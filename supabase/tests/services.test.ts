/** Services: when a check is due, when a breaker opens and closes, and the steps that wait for it. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openSession } from './contention.js'
import { propose, refusal } from './proposals.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import { cancelMission, claim, complete, lease, registerWorker, startMission, stepById } from './work.js'
import { brokenInvariants, type Clock, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let clock: Clock
let worker: string

beforeAll(async () => {
  db = await openSharedDatabase()
})
beforeEach(async () => {
  await db.reset()
  clock = await stopClock(db.sql)
  worker = await registerWorker(db.sql)
  await list({ billing: {} })
})
afterEach(async () => expect(await brokenInvariants(db.sql)).toEqual([]))

const list = (services: Record<string, object>) =>
  setPolicy(db.sql, 'services', {
    services: Object.fromEntries(
      Object.entries(services).map(([name, more]) => [
        name,
        {
          url: 'https://billing.example/health',
          every_minutes: 5,
          breaker: { failures: 3, reset_seconds: 60 },
          ...more,
        },
      ]),
    ),
  })
const taken = async (limit = 10, sql = db.sql) =>
  (await sql<{ name: string }[]>`select name from ops_take_service_checks(${limit})`).map((row) => row.name)
const said = async (ok: boolean, name = 'billing', error: string | null = ok ? null : 'HTTP 500') => {
  const [row] = await db.sql<{ state: string }[]>`
    select ops_record_service_check(${name}, ${ok}, ${ok ? 200 : 500}, 12, ${error}) as state`
  return row?.state
}
const down = async () => {
  for (let i = 0; i < 3; i++) await said(false)
}
const state = async () => (await db.sql`select ops_list_services() as service`)[0]?.service
const events = async () =>
  (await db.sql<{ type: string }[]>`select type from ops_agent_events order by created_at, id`).map(
    (e) => e.type,
  )
const claimed = async () => (await claim(db.sql, worker, { limit: 10 })).map((step) => step.key)
const held = async (id: string) => {
  const { status, ready, held } = await stepById(db.sql, id)
  return { status, ready, held }
}

describe('a check', () => {
  test('is due at once, then after its minutes', async () => {
    expect(await taken()).toEqual(['billing'])
    expect(await taken()).toEqual([])
    await said(true)
    await clock.advance(299)
    expect(await taken()).toEqual([])
    await clock.advance(1)
    expect(await taken()).toEqual(['billing'])
  })

  test('is due at once when the entry of its service was changed, and not for that of another', async () => {
    await list({ billing: { every_minutes: 1440 }, mail: { every_minutes: 1440 } })
    expect(await taken()).toEqual(['billing', 'mail'])
    await list({
      billing: { every_minutes: 1440, url: 'https://billing.example/elsewhere' },
      mail: { every_minutes: 1440 },
    })
    expect(await taken()).toEqual(['billing'])
    expect(await taken()).toEqual([])
  })

  test('is given to one of two that ask at once', async () => {
    await list({ a: {}, b: {} })
    const [first, second] = [await openSession(db), await openSession(db)]
    await taken(1)
    await clock.advance(600)
    await first.begin()
    const mine = await taken(1, first.sql)
    await second.sql`set lock_timeout = '3s'`
    const theirs = await taken(10, second.sql)
    await first.commit()
    expect([...mine, ...theirs].sort()).toEqual(['a', 'b'])
  })

  test('that nobody records is due again after its minutes: whoever took it may have died', async () => {
    await taken()
    await clock.advance(300)
    expect(await taken()).toEqual(['billing'])
  })

  test('of a service that is switched off or not listed is never due, and cannot be recorded', async () => {
    await list({ billing: { enabled: false } })
    expect(await taken()).toEqual([])
    expect(await refusal(said(true))).toMatchObject({ code: 'OP013', path: 'p_name' })
  })

  test.each([0, 101])('of a batch of %s is refused', async (limit) => {
    expect(await refusal(taken(limit))).toMatchObject({ code: 'OP011', path: 'p_limit' })
  })

  test('is kept, and its last day is summed up in the view', async () => {
    await said(true)
    await said(false)
    const [row] = await db.sql`
      select name, healthy, http_status, error, checks_last_day::int, healthy_percent_last_day::float8 from ops_services`
    expect(row).toEqual({
      name: 'billing',
      healthy: false,
      http_status: 500,
      error: 'HTTP 500',
      checks_last_day: 2,
      healthy_percent_last_day: 50,
    })
  })
})

describe('a breaker', () => {
  test('opens with the last of its failures in a row, and says so once', async () => {
    expect(await said(false)).toBe('closed')
    expect(await said(true)).toBe('closed')
    expect(await said(false)).toBe('closed')
    expect(await said(false)).toBe('closed')
    expect(await said(false)).toBe('open')
    expect(await said(false)).toBe('open')
    expect(await events()).toEqual(['service:down'])
    expect(await state()).toMatchObject({ state: 'open', failures: 4, error: 'HTTP 500' })
  })

  test('is tried after its seconds, again and again, and closes with the first check that goes well', async () => {
    await taken()
    await down()
    for (let i = 0; i < 2; i++) {
      await clock.advance(59)
      expect(await taken()).toEqual([])
      await clock.advance(1)
      expect(await taken()).toEqual(['billing'])
      await said(false)
    }
    expect(await said(true)).toBe('closed')
    expect(await events()).toEqual(['service:down', 'service:up'])
    expect(await state()).toMatchObject({ state: 'closed', failures: 0, error: null, opened_at: null })
  })
})

describe('a step that names a service', () => {
  const needsBilling = { key: 'a', service: 'billing' }

  test('is claimed while the breaker is closed, also when nobody lists the service', async () => {
    await startMission(db.sql, [needsBilling])
    await startMission(db.sql, [{ key: 'b', service: 'unknown' }])
    expect((await claimed()).sort()).toEqual(['a', 'b'])
  })

  test('made while it is open waits until it closes; others go on', async () => {
    await down()
    const mission = await startMission(db.sql, [
      { ...needsBilling, depends_on: [] },
      { key: 'b', depends_on: [] },
    ])
    expect(await held(mission.step('a'))).toEqual({ status: 'queued', ready: false, held: true })
    expect(await claimed()).toEqual(['b'])
    expect(await state()).toMatchObject({ held_steps: 1 })
    await said(true)
    expect(await held(mission.step('a'))).toEqual({ status: 'queued', ready: true, held: false })
    expect(await claimed()).toEqual(['a'])
  })

  test('that was queued before is held from then on; one that runs goes on', async () => {
    await startMission(db.sql, [{ key: 'runs', service: 'billing' }])
    const [running] = await claim(db.sql, worker)
    if (!running) throw new Error('nothing to claim')
    await startMission(db.sql, [needsBilling])
    await down()
    expect(await claimed()).toEqual([])
    expect(await complete(db.sql, [lease(running)])).toMatchObject([{ outcome: 'ok' }])
    await said(true)
    expect(await claimed()).toEqual(['a'])
  })

  test('that comes up while nobody checks the service is held again', async () => {
    await down()
    const mission = await startMission(db.sql, [needsBilling])
    for (let i = 0; i < 3; i++) {
      await clock.advance(3600)
      expect(await claimed()).toEqual([])
    }
    expect(await held(mission.step('a'))).toMatchObject({ status: 'queued', held: true })
    await said(true)
    expect(await claimed()).toEqual(['a'])
  })

  test('whose turn comes while it is open is held then', async () => {
    const mission = await startMission(db.sql, [{ key: 'first' }, needsBilling])
    await down()
    await complete(db.sql, (await claim(db.sql, worker)).map(lease))
    expect(await held(mission.step('a'))).toEqual({ status: 'queued', ready: false, held: true })
  })

  test('and is put off keeps its own time', async () => {
    const mission = await startMission(db.sql, [{ ...needsBilling, delay_seconds: 600 }])
    await down()
    await said(true)
    expect(await held(mission.step('a'))).toEqual({ status: 'queued', ready: false, held: false })
    expect(await claimed()).toEqual([])
    await clock.advance(600)
    expect(await claimed()).toEqual(['a'])
  })

  test('can be cancelled while it is held', async () => {
    await down()
    const mission = await startMission(db.sql, [needsBilling])
    await cancelMission(db.sql, mission.id)
    await said(true)
    expect(await held(mission.step('a'))).toMatchObject({ status: 'cancelled' })
    expect(await state()).toMatchObject({ held_steps: 0 })
  })

  test.each([
    ['leaves the policy', () => list({})],
    ['is switched off', () => list({ billing: { enabled: false } })],
  ])('is let go when its service %s', async (_, edit) => {
    await down()
    await startMission(db.sql, [needsBilling])
    await edit()
    expect(await claimed()).toEqual(['a'])
  })

  test('is refused with a name that is none', async () => {
    const refused = await refusal(
      propose(db.sql, { title: 't', steps: [{ kind: 'noop', service: 'no such name' }] }),
    )
    expect(refused).toMatchObject({ code: 'OP004', path: 'steps[0].service' })
  })
})
