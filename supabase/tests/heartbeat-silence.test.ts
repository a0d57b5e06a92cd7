/** A silent heartbeat: seen by those who live on without it, told once, and over when it is back. */
import postgres from 'postgres'
import { beforeAll, beforeEach, expect, test } from 'vitest'
import { urlFor } from '../../test/support/database.js'
import { onFileEnd } from '../../test/support/fileEnd.js'
import { openSharedDatabase, type SharedDatabase } from './reset.js'
import type { Connection } from './work.js'
import { type Clock, setPolicy, stopClock } from './world.js'

let db: SharedDatabase
let worker: Connection
let clock: Clock

beforeAll(async () => {
  db = await openSharedDatabase()
  worker = postgres(urlFor(db, 'ops_worker'), { max: 8, onnotice: () => undefined })
  onFileEnd(() => worker.end())
})
const policy = {
  resolve_after_minutes: 5,
  violations: false,
  rules: { heartbeat_silence_minutes: { warning: 15, critical: 60 }, queued_events: { warning: 0 } },
  channels: { chat: { type: 'slack' }, mail: { type: 'email', from: 'a@b.test', to: ['c@d.test'] } },
  routes: { critical: ['chat', 'mail'], warning: ['chat', 'mail'] },
}
beforeEach(async () => {
  await db.reset()
  await db.sql`delete from ops.watch`
  await setPolicy(db.sql, 'alerts', policy)
  clock = await stopClock(db.sql)
})

const beat = async () => {
  await db.sql`select ops_evaluate_alerts()`
  await db.sql`select ops_record_heartbeat(true, '{}')`
}
const ask = async () =>
  (await worker<{ said: { silent_minutes: number } | null }[]>`select ops_watch_heartbeat() as said`)[0]?.said
const told = async () =>
  (
    await db.sql<{ line: string }[]>`
    select transition || ' ' || (message ->> 'priority') || ' to ' || channel as line from ops_alert_notices order by created_at, channel`
  ).map(({ line }) => line)
const claim = (channels: string[]) =>
  worker<{ id: string; token: string; channel: string; message: { rule: string } }[]>`
    select * from ops_claim_silence_notices(${channels})`

test('is none while heartbeats come, nor before the first', async () => {
  expect(await ask()).toBeNull()
  await clock.advance(86_400)
  expect(await ask()).toBeNull()
  await beat()
  await clock.advance(14 * 60)
  expect(await ask()).toBeNull()
  expect(await told()).toEqual([])
})

test('opens one alert however many workers ask, gets worse, and is over when heartbeats are back', async () => {
  await beat()
  await clock.advance(15 * 60)
  const answers = await Promise.all(Array.from({ length: 8 }, ask))
  expect(answers).toEqual(
    answers.map(() => ({
      silent_minutes: 15,
      channels: expect.objectContaining({ chat: { type: 'slack' } }),
    })),
  )
  await clock.advance(60)
  await ask()
  expect(await told()).toEqual(['opened P2 to chat', 'opened P2 to mail'])
  await clock.advance(44 * 60)
  await ask()
  expect((await told()).slice(2)).toEqual(['escalated P0 to chat', 'escalated P0 to mail'])
  // The first sees the gap before it, the second that there is none any more, the third that it has been so for a while.
  for (let i = 0; i < 3; i++) {
    await clock.advance(5 * 60)
    await beat()
    expect(await ask()).toBeNull()
  }
  expect((await told()).slice(4)).toEqual(['resolved P0 to chat', 'resolved P0 to mail'])
})

test.each([
  ['without the rule', { ...policy, rules: {} }],
  ['while alerts are off', { ...policy, enabled: false }],
])('is nobody’s business %s', async (_, value) => {
  await beat()
  await clock.advance(3600)
  await setPolicy(db.sql, 'alerts', value)
  expect(await ask()).toBeNull()
  expect(await told()).toEqual([])
})

test('is told by a worker through the channels that it names, and nothing else is', async () => {
  await db.sql`insert into ops_agent_events (type) values ('test:unprocessed')`
  await beat()
  await clock.advance(3600)
  await ask()
  const [notice, ...others] = await claim(['mail'])
  expect(others).toEqual([])
  expect(notice).toMatchObject({ channel: 'mail', message: { rule: 'heartbeat_silence_minutes' } })
  expect(await claim(['mail'])).toEqual([])
  await worker`select ops_record_notice(${notice?.id ?? ''}, ${notice?.token ?? ''}, 'delivered')`
  expect([
    ...(await db.sql`select message ->> 'rule' as rule, channel, status from ops_alert_notices order by 1, 2`),
  ]).toEqual([
    { rule: 'heartbeat_silence_minutes', channel: 'chat', status: 'pending' },
    { rule: 'heartbeat_silence_minutes', channel: 'mail', status: 'delivered' },
    { rule: 'queued_events', channel: 'chat', status: 'pending' },
    { rule: 'queued_events', channel: 'mail', status: 'pending' },
  ])
})
